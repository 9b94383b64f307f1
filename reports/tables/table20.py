"""The comparison table in the form of the paper's Table 20, and its intervals as a table of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reports.run_data import TOKEN, MethodKey, Row, RunData, read_run
from reports.table import MISSING, Cell, Column, Table, interval_detail, number, words
from reports.table_formats import write_table
from reports.tables.columns import (
    AVERAGE,
    REFERENCE,
    method_cells,
    method_columns,
    sources,
    subset_column,
)
from reports.tables.notes import LEVEL, interval_table_notes, table_notes


@dataclass(frozen=True)
class _Estimate:
    """R-EMI of a method on a subset, or its mean over all, in nats a token."""

    value: float | None
    low: float | None
    high: float | None
    reliable: bool | None


_Estimates = Mapping[MethodKey, Mapping[str, _Estimate]]
"""Method -> subset key or AVERAGE -> estimate."""


def write_table20(run_folder: Path) -> Path:
    """Write `tables/table20.{md,csv,tex}` and `tables/table20_intervals.{md,csv,tex}`; return the Markdown table.

    Raises:
        UserMistakes, RunFailure: see `reports.run_data.read_run`.
    """
    run, folder = read_run(run_folder), run_folder / "tables"
    write_table(table20_intervals(run), folder)
    return write_table(table20(run), folder)[0]


def table20(run: RunData) -> Table:
    """Return R-EMI in nats a token by method and subset, and its mean over the subsets (paper, Table 20).

    The best value of each column on a base model is bold. A star stands behind a value that differs from that of SFT
    on the same base model after Holm's correction. A cell's detail is its 95 % interval. The mean is missing where one
    of its subsets is.
    """
    found = _estimates(run)
    best = _best(found)
    marked = _marked(run)
    arithmetic = _arithmetic(run)

    def cell(key: MethodKey, column: str) -> Cell:
        one = found[key][column]
        detail = interval_detail(one.low, one.high, one.reliable)
        bold = one.value is not None and one.value == best[key.base_model, column]
        return number(one.value, bold=bold, mark="*" if (key, column) in marked else "", detail=detail)

    head = "Method" if arithmetic in ("exact", "") else f"Method ({arithmetic} arithmetic)"
    columns = (
        *method_columns(run, head),
        Column("arithmetic", None, "left"),
        *(subset_column(key) for key in run.subsets),
        Column(AVERAGE, "Avg."),
    )
    rows = tuple(
        (*method_cells(run, key), words(arithmetic), *(cell(key, column) for column in (*run.subsets, AVERAGE)))
        for key in run.methods
    )
    used = sources(run, ("remi", "averages", "differences"), "manifest.json")
    return Table("table20", "R-EMI by method and subset", columns, rows, tuple(table_notes(run)), used)


def table20_intervals(run: RunData) -> Table:
    """Return the 95 % intervals of Table 20; in CSV files each has a column for either end."""
    found = _estimates(run)
    columns = [*method_columns(run)]
    for key in run.subsets:
        columns += [subset_column(key, suffix="_low"), subset_column(key, suffix="_high", head=False)]
    columns += [Column(f"{AVERAGE}_low", "Avg."), Column(f"{AVERAGE}_high", None)]
    rows = tuple(
        (*method_cells(run, key), *(end for one in found[key].values() for end in _ends(one))) for key in run.methods
    )
    used = sources(run, ("remi", "averages"), "manifest.json")
    title = "95 % intervals of R-EMI by method and subset"
    return Table("table20_intervals", title, tuple(columns), rows, tuple(interval_table_notes(run)), used)


def _estimates(run: RunData) -> _Estimates:
    known = {(MethodKey(row["base_model"], row["method"]), row["subset"]): row for row in run.rows("remi", unit=TOKEN)}
    averages = {MethodKey(row["base_model"], row["method"]): row for row in run.rows("averages", unit=TOKEN)}
    found = {}
    for key in run.methods:
        subsets = {name: _estimate(known.get((key, name))) for name in run.subsets}
        found[key] = {**subsets, AVERAGE: _average(list(subsets.values()), averages.get(key))}
    return found


def _estimate(row: Row | None) -> _Estimate:
    if row is None or row["remi"] is None:
        return _Estimate(None, None, None, None)
    return _Estimate(row["remi"], row["ci_low"], row["ci_high"], row["interval_reliable"])


def _average(subsets: list[_Estimate], row: Row | None) -> _Estimate:
    """Return the mean with the interval of the scores' average, if that is over the same subsets."""
    values = [one.value for one in subsets if one.value is not None]
    if not values or len(values) < len(subsets):
        return _Estimate(None, None, None, None)
    mean = sum(values) / len(values)
    if row is None or row["n_subsets"] != len(subsets):
        return _Estimate(mean, None, None, None)
    return _Estimate(mean, row["ci_low"], row["ci_high"], row["interval_reliable"])


def _best(found: _Estimates) -> dict[tuple[str | None, str], float]:
    """Return the highest value by base model and column."""
    best: dict[tuple[str | None, str], float] = {}
    for key, of_method in found.items():
        for column, one in of_method.items():
            if one.value is not None:
                place = key.base_model, column
                best[place] = max(one.value, best.get(place, one.value))
    return best


def _marked(run: RunData) -> set[tuple[MethodKey, str]]:
    """Return where a method differs from the reference; rows name the two in either order."""
    marked = set()
    for row in run.rows("differences", unit=TOKEN):
        names = {row["first"], row["second"]} - {REFERENCE}
        if len(names) == 1 and row["adjusted_p"] is not None and row["adjusted_p"] < LEVEL:
            marked.add((MethodKey(row["base_model"], names.pop()), row["subset"]))
    return marked


def _arithmetic(run: RunData) -> str:
    return ", ".join(sorted({row["arithmetic"] for row in run.rows("remi", unit=TOKEN)}))


def _ends(one: _Estimate) -> tuple[Cell, Cell]:
    """Return the cells of an interval's ends; the first one shows both."""
    shown = interval_detail(one.low, one.high, one.reliable) or MISSING
    return Cell(one.low, shown), Cell(one.high, "")
