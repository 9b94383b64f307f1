"""Averages of the paper's Table 20 beside those of a run, with the methods' ranks on either side."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from benchmark.subsets import SUBSET_KEYS
from reports.published.compared import (
    PUBLISHED_BASES,
    PUBLISHED_FOLDER,
    compare,
    measured_cells,
    published_beside,
    published_scores,
)
from reports.run_data import RunData
from reports.table import UNRELIABLE, Cell, Column, Table, cut, number
from reports.tables.columns import AVERAGE, method_cells, method_columns, sources
from reports.tables.notes import caution, unreliable_note


def beside_table(run: RunData) -> Table:
    """Return each method's average R-EMI in nats a token with the published one (paper, Table 20), and their ranks.

    A run's base model stands beside the same one of the paper, or beside both where it is none of them. Averages are
    over the run's subsets on either side. Ranks are among the methods that have both, 1 the highest.
    """
    compared, cells, bases = compare(run), measured_cells(run), compared_bases(run)
    columns = [*method_columns(run), Column("measured", "Average", group="This run")]
    columns.append(Column("measured_rank", "Rank", group="This run"))
    for base in bases:
        columns += [Column(slug(base), "Average", group=base), Column(f"{slug(base)}_rank", "Rank", group=base)]
    rows = []
    for key in run.methods:
        sides = {base: compared[key.base_model, base] for base in published_beside(key.base_model)}
        ours = _averages(next(iter(sides.values())).measured)
        average = cells[key][AVERAGE]
        row = [*method_cells(run, key), replace(average, bold=False, mark=""), _rank(key.method, ours)]
        for base in bases:
            theirs = _averages(sides[base].published) if base in sides else {}
            shared = {method: value for method, value in theirs.items() if method in ours}
            row += [number(theirs.get(key.method)), _rank(key.method, shared)]
        rows.append(tuple(row))
    used = sources(run, ("remi", "averages"), "manifest.json")
    title = "Average R-EMI beside the published one"
    return Table("published_beside", title, tuple(columns), tuple(rows), tuple(_notes(run)), used)


def compared_bases(run: RunData) -> tuple[str, ...]:
    """Return the paper's base models that any of the run's is compared with, in the paper's order."""
    wanted = {base for own in run.base_models for base in published_beside(own)}
    return tuple(base for base in PUBLISHED_BASES if base in wanted)


def slug(base: str) -> str:
    """Return a base model's name as columns' keys have it."""
    return base.lower().replace("-", "_")


def base_notes(run: RunData) -> Iterator[str]:
    """Say which base model stands beside which, and why levels are not compared."""
    for own in run.base_models:
        beside = published_beside(own)
        name = "Responses made elsewhere" if own is None else cut(own)
        if len(beside) == 1:
            yield f"{name} stands beside the paper's {beside[0]}, the same pretrained model."
        else:
            yield f"{name}: none of the paper's base models, so it stands beside {' and '.join(beside)}."
    yield (
        f"Published: Table 20 of the paper ({PUBLISHED_FOLDER}). Its estimator, samples and training are others than "
        "the run's: order and signs can be compared, levels cannot."
    )


def _averages(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {method: of[AVERAGE] for method, of in scores.items() if AVERAGE in of}


def _rank(method: str, values: Mapping[str, float]) -> Cell:
    if method not in values:
        return number(None)
    return number(1 + sum(value > values[method] for value in values.values()))


def _notes(run: RunData) -> Iterator[str]:
    yield from caution(run)
    yield "Mean R-EMI over the subsets in nats a token, higher is better. Ranks are among the methods that have both."
    yield from base_notes(run)
    if len(run.subsets) < len(SUBSET_KEYS):
        yield f"Published averages are over the run's subsets too: {', '.join(run.subsets)}."
    if any(UNRELIABLE in of[AVERAGE].detail for of in measured_cells(run).values()):
        yield unreliable_note()
    published = published_scores(PUBLISHED_BASES[0])
    methods = dict.fromkeys(key.method for key in run.methods)
    yield from _listed("Published and not in this run", (name for name in published if name not in methods))
    yield from _listed("In this run and not published", (cut(name) for name in methods if name not in published))


def _listed(what: str, names: Iterable[str]) -> Iterator[str]:
    if found := ", ".join(names):
        yield f"{what}: {found}."
