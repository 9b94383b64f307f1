"""How far bounds and R-EMID go together, by shift, in the form of the paper's Table 13 and with intervals."""

from collections.abc import Iterator, Sequence

from benchmark.seeds import derive_seed
from benchmark.statistics import SHIFT_LABELS
from reports.run_data import MethodKey, Row, RunData
from reports.table import Cell, Column, Table, number, words
from reports.tables.columns import sources, with_bounds, with_bounds_columns
from reports.tables.notes import caution
from reports.tables.table12 import UNITS
from scoring.agreement import MIN_POINTS, correlations

ALL = "all"
"""Key of the row of all shifts together."""
_COEFFICIENTS = {"pearson": "Pearson r", "spearman": "Spearman rho", "kendall": "Kendall tau-b"}


def table13(run: RunData) -> Table | None:
    """Return correlations of bound and R-EMID by form of the bound and shift (paper, Table 13); None without bounds.

    A point is a method on a base model and a shifted subset. Intervals (95 %) are those of `scoring.agreement`.
    """
    rows = [row for row in run.scores["bounds"] if row["bound"] is not None and row["remid"] is not None]
    if not rows:
        return None
    columns = [Column("form", "Form", "left"), Column("unit", None, "left"), Column("shift", "Shift", "left")]
    columns.append(Column("n_points", "Points"))
    for key, head in _COEFFICIENTS.items():
        columns += with_bounds_columns(key, head)
    body = tuple(_row(run, form, shift, found) for form, shift, found in _groups(rows))
    used = sources(run, ("bounds",))
    return Table("table13", "Correlation of bound and R-EMID", tuple(columns), body, tuple(_notes(run, rows)), used)


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield the points of each form by shift, then all of them."""
    for form in dict.fromkeys(row["form"] for row in rows):
        of_form = [row for row in rows if row["form"] == form]
        for shift in SHIFT_LABELS:
            if found := [row for row in of_form if row["shift"] == shift]:
                yield form, shift, found
        yield form, ALL, of_form


def _row(run: RunData, form: str, shift: str, rows: Sequence[Row]) -> tuple[Cell, ...]:
    found = correlations(
        [row["bound"] for row in rows],
        [row["remid"] for row in rows],
        [MethodKey(row["base_model"], row["method"]) for row in rows],
        [row["subset"] for row in rows],
        seed=derive_seed(run.manifest.get("seed", 0), "table13", form, shift),
    )
    cells: list[Cell] = []
    for one in (found.pearson, found.spearman, found.kendall):
        cells += with_bounds(one.value, one.low, one.high, None)
    shift_shown = words(SHIFT_LABELS.get(shift, "All shifts"), value=shift)
    return words(form), words(rows[0]["unit"]), shift_shown, number(found.n_points), *cells


def _notes(run: RunData, rows: Sequence[Row]) -> Iterator[str]:
    yield from caution(run)
    yield "A point is a method on a base model and a shifted subset that has both a bound and R-EMID."
    yield (
        "95 % intervals resample methods and subsets, whose points are not independent: percentiles of a bootstrap "
        "over both. There is none where too many resamples hold one bound alone."
    )
    yield "The calibrated bound is the same for all methods on a subset."
    if any(len(found) < MIN_POINTS for _, _, found in _groups(rows)):
        yield f"Where there are fewer than {MIN_POINTS} points no correlation is given."
    labels = dict.fromkeys((row["form"], row["label"]) for row in rows)
    yield from (f"{form.capitalize()} form, with R-EMID in {_unit(rows, form)}: {label}." for form, label in labels)


def _unit(rows: Sequence[Row], form: str) -> str:
    units = sorted({row["unit"] for row in rows if row["form"] == form})
    return ", ".join(UNITS.get(unit, unit) for unit in units)
