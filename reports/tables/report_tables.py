"""All tables of a run, in the order in which they are read."""

from reports.run_data import RunData
from reports.table import Table
from reports.tables.agreement import agreement_table
from reports.tables.table01 import table01
from reports.tables.table02 import table02
from reports.tables.table12 import table12, table12_all
from reports.tables.table13 import table13
from reports.tables.table14 import Price, table14
from reports.tables.table20 import table20, table20_intervals

NAMES = (
    "table20",
    "table20_intervals",
    "table01",
    "table02",
    "table12",
    "table13",
    "agreement",
    "table14",
    "table12_all",
)
"""Of all tables that there can be."""


def report_tables(run: RunData, price: Price | None = None) -> tuple[Table, ...]:
    """Return the tables that the run has rows for.

    Args:
        run: a finished run.
        price: rates of the machine, for the table of costs.

    Raises:
        UserMistakes: a file is of a newer version.
        RunFailure: a file is damaged.
    """
    made = (
        table20(run),
        table20_intervals(run),
        table01(run),
        table02(run),
        table12(run),
        table13(run),
        agreement_table(run),
        table14(run, price),
        table12_all(run),
    )
    return tuple(table for table in made if table is not None and table.rows)
