"""`rpm-methods plan`: what a comparison would do in a run directory, which it only looks at, or what it would cost."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from recipes.cli.run_commands import Launch, Out, Overrides, default_out
from recipes.execution import Execution, check_execution

if TYPE_CHECKING:
    from recipes.stage import Outlook
    from recipes.time_left import KindTimes

Machine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Estimate what a run from nothing costs on this machine: cpu, rtx4090, a100-80g, h100, h200, with x8 "
        "behind a name for eight of them, or a YAML file that describes one.",
    ),
]
Price = Annotated[
    float | None, typer.Option(min=0, metavar="USD", help="With --hardware: price of one device an hour.")
]
Times = Annotated[
    int, typer.Option(min=1, help="With --hardware: as if the benchmark had so many times as many samples.")
]
AsJson = Annotated[bool, typer.Option("--json", help="With --hardware: print the estimate as JSON.")]


def plan(
    recipes: Annotated[list[str], typer.Argument(help="Recipes by name or file, or a folder of them.")],
    overrides: Overrides = None,
    out: Out = None,
    launch: Launch = None,
    hardware: Machine = None,
    price: Price = None,
    times: Times = 1,
    as_json: AsJson = False,
) -> None:
    """Show the stages that compare would run or reuse, and how long they take. Runs and writes nothing.

    Example: rpm-methods plan demo --out runs/demo

    With --hardware instead: tokens, operations, hours, memory and price of each stage of a run from nothing. Nothing is
    downloaded or loaded for it.

    Example: rpm-methods plan paper/table20 --hardware h100x8 --price 2.50
    """
    if hardware is not None:
        _refuse_with_hardware(launch is not None)
        _estimate(recipes, overrides or [], hardware, price, times, as_json=as_json)
        return
    _refuse_without_hardware(price is not None, times > 1, as_json)
    _look(recipes, overrides, out, Execution(launch=launch))


def _refuse_with_hardware(launch: bool) -> None:
    from benchmark.errors import Mistake, UserMistakes

    if launch:
        remedy = "leave one out: the machine's own figures say how many devices train"
        raise UserMistakes([Mistake("--launch", "does not go with --hardware", remedy)])


def _refuse_without_hardware(price: bool, times: bool, as_json: bool) -> None:
    from benchmark.errors import Mistake, UserMistakes

    given = [name for name, is_given in (("--price", price), ("--times", times), ("--json", as_json)) if is_given]
    if given:
        remedy = "name a machine, such as --hardware h100x8"
        raise UserMistakes([Mistake(name, "goes with --hardware alone", remedy) for name in given])


def _estimate(
    recipes: list[str], overrides: list[str], machine: str, price: float | None, times: int, *, as_json: bool
) -> None:
    from recipes.cost.estimate import CostPlan
    from recipes.cost.hardware import find_hardware
    from recipes.cost.inputs import read_inputs
    from recipes.cost.showing import notes, plain, stage_table, total_table

    found = find_hardware(machine, price)
    estimate = CostPlan(read_inputs(recipes, overrides, times=times), found)
    if as_json:
        typer.echo(json.dumps(plain(estimate), indent=1))
        return
    stages, totals, remarks = stage_table(estimate), total_table(estimate), notes(estimate)
    console = Console(highlight=False)
    of_them = f"{found.devices} x " if found.devices > 1 else ""
    console.print(f"On {of_them}{found.title}, {found.price:,.2f} USD an hour:\n", markup=False, soft_wrap=True)
    console.print(stages, "", totals, "", sep="\n")
    for note in remarks:
        console.print(f"- {note}", markup=False, soft_wrap=True)


def _look(recipes: list[str], overrides: Overrides, out: Out, execution: Execution) -> None:
    """Show what would be reused and run in a run directory."""
    check_execution(execution)
    from benchmark.progress import SilentProgress
    from benchmark.run_store import RunStore
    from recipes.comparison import prepare_comparison
    from recipes.environment import settle_compute
    from recipes.launch import devices_of, launch_of_comparison
    from recipes.plan import Planner
    from recipes.stage import look_ahead, recorded_times

    console = Console(highlight=False)
    comparison = prepare_comparison(recipes, overrides or [])
    store = RunStore(out or default_out(recipes[0]))
    compute = settle_compute(comparison.shared.compute)
    devices = devices_of(launch_of_comparison(execution, comparison, compute))
    planner = Planner(comparison, compute, store, SilentProgress(), devices)
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
