"""`rpm-methods plan`: what a comparison would do in a run directory, which it only looks at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from recipes.cli.run_commands import Out, Overrides, default_out

if TYPE_CHECKING:
    from recipes.stage import Outlook
    from recipes.time_left import KindTimes


def plan(
    recipes: Annotated[list[str], typer.Argument(help="Recipes by name or file, or a folder of them.")],
    overrides: Overrides = None,
    out: Out = None,
) -> None:
    """Show the stages that compare would run or reuse, and how long they take. Runs and writes nothing.

    Example: rpm-methods plan demo --out runs/demo
    """
    from benchmark.progress import SilentProgress
    from benchmark.run_store import RunStore
    from recipes.comparison import prepare_comparison
    from recipes.environment import settle_compute
    from recipes.plan import Planner
    from recipes.stage import look_ahead, recorded_times

    console = Console(highlight=False)
    comparison = prepare_comparison(recipes, overrides or [])
    store = RunStore(out or default_out(recipes[0]))
    planner = Planner(comparison, settle_compute(comparison.shared.compute), store, SilentProgress())
    outlooks, times = look_ahead(planner.stages(), store), recorded_times(store)
    there = "" if store.folder.exists() else ", which is not there yet"
    console.print(f"The plan in {store.folder}{there}:\n", markup=False, soft_wrap=True)
    console.print(_table(outlooks, times))
    console.print(f"\n{_totals(outlooks, times)}", soft_wrap=True)


def _table(outlooks: Sequence["Outlook"], times: "KindTimes") -> Table:
    from benchmark.run_store import SHORT_KEY
    from recipes.time_left import about, exactly

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("stage", overflow="fold")
    table.add_column("key", no_wrap=True)
    for head in ("what", "took", "expected"):
        table.add_column(head, no_wrap=True)
    for number, outlook in enumerate(outlooks, start=1):
        took = "" if outlook.seconds is None else exactly(outlook.seconds)
        expected = times.mean(outlook.name) if outlook.seconds is None else None
        shown = "" if expected is None else about(expected)
        table.add_row(str(number), outlook.name, outlook.key[:SHORT_KEY], outlook.prospect, took, shown)
    return table


def _totals(outlooks: Sequence["Outlook"], times: "KindTimes") -> str:
    """Return how many stages there are of each sort, what the reused ones took and what the others will."""
    from recipes.stage import Prospect
    from recipes.time_left import add_up, exactly

    found = [outlook.prospect for outlook in outlooks]
    reused, begun = found.count(Prospect.REUSED), found.count(Prospect.GOES_ON)
    took = sum(outlook.seconds for outlook in outlooks if outlook.seconds is not None)
    left = add_up(times.mean(outlook.name) for outlook in outlooks if outlook.seconds is None)
    of_them = f" ({begun} of them begun)" if begun else ""
    return f"{reused} reused, which took {exactly(took)}\n{len(found) - reused} to run{of_them}: {left}"
