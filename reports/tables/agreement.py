"""How far scores agree with judges, and bounds with what they bound, from `scores/agreement.json`."""

from collections.abc import Iterator, Sequence

from benchmark.statistics import SHIFT_LABELS
from reports.run_data import Row, RunData
from reports.table import Cell, Column, Table, number, words
from reports.tables.columns import with_bounds, with_bounds_columns
from reports.tables.notes import caution
from scoring.agreement import MIN_POINTS

WORDS = {
    "remi_and_judges": "R-EMI and judges",
    "remid_and_loss_by_judges": "R-EMID and loss by judges",
    "emi_and_judges": "EMI (baseline) and judges",
    "emid_and_loss_by_judges": "EMID (baseline) and loss by judges",
    "bound_and_remid": "Bound and R-EMID",
}
"""Name of a pairing -> its words; others have figures of their own."""
COEFFICIENTS = {"pearson": "Pearson r", "spearman": "Spearman rho", "kendall": "Kendall tau-b"}


def agreement_table(run: RunData) -> Table | None:
    """Return correlations over (method, subset) points (paper, section 3.4); None where they were not computed."""
    rows = [row for row in run.scores["agreement"] if row["name"] in WORDS]
    if not rows:
        return None
    columns = [Column("name", "What", "left"), Column("of", "Of", "left"), Column("shift", "Shift", "left")]
    columns.append(Column("n_points", "Points"))
    for key, head in COEFFICIENTS.items():
        columns += with_bounds_columns(key, head)
    body = tuple(_cells(row) for row in rows)
    notes = tuple(_notes(run, rows))
    return Table("agreement", "Agreement of the scores", tuple(columns), body, notes, ("scores/agreement.json",))


def _cells(row: Row) -> tuple[Cell, ...]:
    of = str(row.get("metric") or row.get("form") or "").replace("_", " ")
    shift = SHIFT_LABELS.get(row["shift"], "All")
    cells = [words(WORDS[row["name"]], value=row["name"]), words(of), words(shift, value=row["shift"])]
    cells.append(number(row["n_points"]))
    for key in COEFFICIENTS:
        cells += with_bounds(row[key], row[f"{key}_low"], row[f"{key}_high"], None)
    return tuple(cells)


def _notes(run: RunData, rows: Sequence[Row]) -> Iterator[str]:
    yield from caution(run)
    yield "A point is a method on a base model and a subset; loss by judges is their mean on ID less that on a subset."
    yield "95 % intervals resample methods and subsets (two-way bootstrap, percentiles)."
    if any(row["n_points"] < MIN_POINTS for row in rows):
        yield f"Where there are fewer than {MIN_POINTS} points no correlation is given."
