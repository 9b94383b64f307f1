"""`rpm-methods report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory that run, compare or score wrote.")],
    published: Annotated[
        bool, typer.Option("--published", help="Put the paper's numbers beside the run's, and test its findings.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, help="What an hour of the machine costs, for the table of costs.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Of the price.")] = "USD",
    watts: Annotated[float | None, typer.Option(min=0, help="What the machine draws, for the energy used.")] = None,
) -> None:
    """Make tables, figures, report.pdf and report.html from what a run stored. Nothing is trained or scored.

    Example: rpm-methods report runs/demo --published --price 1.475
    """
    from recipes.cli.showing import show_report
    from reports.report import write_report
    from reports.tables.table14 import Price

    written = write_report(run, published=published, price=Price(price, currency, watts))
    show_report(Console(highlight=False), written)
