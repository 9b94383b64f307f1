"""`rpm-methods agreement`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def agreement(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory that run, compare or score wrote.")],
) -> None:
    """Correlate scores with judges' scores, and bounds with R-EMID, over methods and subsets.

    Judges' scores are those of `rpm-methods judge`, or your own in scores/judges.json. Writes scores/agreement.json and
    tables/agreement.md.

    Example: rpm-methods agreement runs/demo
    """
    from recipes.agreement import write_agreement
    from reports.run_data import read_run
    from reports.table_formats import as_markdown, write_table
    from reports.tables.agreement import agreement_table

    console = Console(highlight=False)
    rows = write_agreement(read_run(run))
    found = read_run(run)
    table = agreement_table(found)
    if table is not None:
        write_table(table, run / "tables")
        console.print(as_markdown(table), markup=False, soft_wrap=True)
    if not found.scores["judges"]:
        console.print(
            "There are no judges' scores: run `rpm-methods judge` first to compare with judges.", markup=False
        )
    console.print(f"{len(rows)} correlations in {run / 'scores' / 'agreement.json'}", markup=False, soft_wrap=True)
