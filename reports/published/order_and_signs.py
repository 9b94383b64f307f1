"""How far the order of the methods, and the signs of their differences from SFT, agree with the published ones."""

from collections.abc import Iterator

from benchmark.seeds import derive_seed
from reports.published.beside import base_notes, compared_bases, slug
from reports.published.compared import Compared, compare, measured_differences
from reports.run_data import RunData
from reports.table import Cell, Column, Table, cut, label, number, p_text, words
from reports.tables.columns import (
    AVERAGE,
    REFERENCE,
    method_columns,
    method_label,
    sources,
    subset_words,
    with_bounds,
    with_bounds_columns,
)
from reports.tables.notes import caution
from scoring.agreement import MIN_POINTS, Correlation, correlations, rank_agreement, sign_test

ALL = "all"
"""Key of the row over all methods and subsets at once."""
_DIGITS = 2
_Pair = tuple[Correlation, Correlation]
"""Spearman's and Kendall's."""


def order_and_signs_table(run: RunData) -> Table:
    """Return how far the run's R-EMI agrees with the published one: on average, by subset, and over all points.

    Spearman's and Kendall's correlation over the methods that have both; over all methods and subsets at once with an
    interval (see `scoring.agreement`). Signs are those of differences from SFT, printed and paired in the run.
    """
    columns = [method_columns(run)[0], Column("over", "Over", "left"), Column("points", "Points")]
    columns += [column for base in compared_bases(run) for column in _columns(base)]
    used = sources(run, ("remi", "differences"), "manifest.json")
    title = "Agreement of R-EMI with the published one"
    return Table("published_agreement", title, tuple(columns), tuple(_rows(run)), tuple(_notes(run)), used)


def _rows(run: RunData) -> Iterator[tuple[Cell, ...]]:
    compared = compare(run)
    for own in run.base_models:
        first = next(side for (of, _), side in compared.items() if of == own)
        for over in (AVERAGE, *run.subsets, ALL):
            row = [label(own), _over(over), number(len(_points(first, over)))]
            for base in compared_bases(run):
                seed = derive_seed(run.manifest.get("seed", 0), "published", str(own), base)
                row += _cells(compared[own, base], over, seed) if (own, base) in compared else _no_cells(base)
            yield tuple(row)


def _columns(base: str) -> list[Column]:
    key = slug(base)
    return [
        *with_bounds_columns(f"{key}_spearman", "Spearman", base),
        *with_bounds_columns(f"{key}_kendall", "Kendall", base),
        Column(f"{key}_signs", "Signs", group=base),
        Column(f"{key}_signs_of", None, group=base),
        Column(f"{key}_p", "p", group=base),
    ]


def _over(key: str) -> Cell:
    if key == AVERAGE:
        return words("Average", value=AVERAGE)
    return words("All points", value=ALL) if key == ALL else subset_words(key)


def _points(side: Compared, over: str) -> list[tuple[str, str]]:
    """Return the methods with a value, each with the subset; of all subsets for the row over all points."""
    return [
        (method, key)
        for method, of in side.measured.items()
        for key in of
        if key == over or (over == ALL and key != AVERAGE)
    ]


def _cells(side: Compared, over: str, seed: int) -> list[Cell]:
    found = _over_all(side, seed) if over == ALL else _over_methods(side, over)
    cells = [cell for one in found for cell in with_bounds(one.value, one.low, one.high, None, _DIGITS)]
    agree, n = _signs(side, over)
    p = sign_test(agree, n)
    shown = words(f"{agree} of {n}", value=agree) if n else number(None)
    return [*cells, shown, number(n), Cell(p, p_text(p))]


def _no_cells(base: str) -> list[Cell]:
    return [number(None)] * len(_columns(base))


def _over_methods(side: Compared, over: str) -> _Pair:
    ranks = rank_agreement(*_values(side, over))
    return Correlation(ranks.spearman, None, None), Correlation(ranks.kendall, None, None)


def _over_all(side: Compared, seed: int) -> _Pair:
    points = _points(side, ALL)
    methods, subsets = [method for method, _ in points], [key for _, key in points]
    found = correlations(*_values(side, ALL), methods, subsets, seed=seed)
    return found.spearman, found.kendall


def _values(side: Compared, over: str) -> tuple[list[float], list[float]]:
    points = _points(side, over)
    ours, theirs = ([scores[method][key] for method, key in points] for scores in (side.measured, side.published))
    return theirs, ours


def _signs(side: Compared, over: str) -> tuple[int, int]:
    """Return how many differences from SFT have the published sign, and of how many; zeros are left out."""
    products = [
        value * side.published_differences[method][key]
        for method, of in side.measured_differences.items()
        for key, value in of.items()
        if key == over or (over == ALL and key != AVERAGE)
    ]
    return sum(product > 0 for product in products), sum(product != 0 for product in products)


def _notes(run: RunData) -> Iterator[str]:
    yield from caution(run)
    yield (
        "Spearman's and Kendall's correlation of R-EMI over the methods that have both, not below three. A point is a "
        "method; in the last row it is a method on a subset, so that the subsets' levels count too, and there the 95 % "
        f"interval is from resampled methods and subsets. Below {MIN_POINTS} points that row has no correlation."
    )
    yield _signs_note(run)
    yield from base_notes(run)


def _signs_note(run: RunData) -> str:
    reference = cut(method_label(run, REFERENCE))
    if not any(measured_differences(run, own) for own in run.base_models):
        return f"No signs: the run has no differences from {reference} (scores/differences.json)."
    return (
        f"Signs: how many differences from {reference} have the published sign, without those that are zero; p of the "
        f"two-sided sign test, half being chance. All differences share the scores of {reference}, and methods share "
        "samples and the estimator, so the signs are not independent: p is too small, and indicative alone."
    )
