"""`rpm-methods run` and `rpm-methods compare`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from recipes.cli.showing import command_line, run_and_show
from recipes.execution import Execution, check_execution

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Replace a value of the recipes; may be repeated.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Run directory, made if need be; what is done there is reused.")
]

WithReport = Annotated[
    bool, typer.Option("--report/--no-report", help="Make tables, figures, report.pdf and report.html at the end.")
]

ExecutorOption = Annotated[
    Literal["local", "ray"], typer.Option("--executor", help="Where stages run: in this process, or spread by Ray.")
]
Address = Annotated[str | None, typer.Option("--address", help="A Ray cluster's; without it one starts here.")]
Launch = Annotated[
    Path | None, typer.Option("--launch", help="A configuration of accelerate's: train on the devices that it names.")
]


def run(
    recipe: Annotated[str, typer.Argument(help="Bundled name (demo/sft) or file of a method recipe.")],
    overrides: Overrides = None,
    out: Out = None,
    executor: ExecutorOption = "local",
    address: Address = None,
    launch: Launch = None,
    report: WithReport = True,
) -> None:
    """Run one recipe: its method, generations and scores.

    Example: rpm-methods run demo/sft --set config.training.learning_rate=1e-4 --out runs/sft
    """
    execution = Execution(executor, address, launch)
    _run("run", [recipe], overrides or [], out or default_out(recipe), execution, report)


def compare(
    recipes: Annotated[list[str], typer.Argument(help="Recipes by name or file, or a folder of them.")],
    overrides: Overrides = None,
    out: Out = None,
    executor: ExecutorOption = "local",
    address: Address = None,
    launch: Launch = None,
    report: WithReport = True,
) -> None:
    """Run many recipes into one table and report.

    Example: rpm-methods compare demo --out runs/demo
    """
    execution = Execution(executor, address, launch)
    _run("compare", recipes, overrides or [], out or default_out(recipes[0]), execution, report)


def _run(command: str, names: list[str], overrides: list[str], out: Path, execution: Execution, report: bool) -> None:
    check_execution(execution)
    from recipes.comparison import prepare_comparison
    from recipes.run import run_comparison

    console = Console(highlight=False)
    console.print("checking recipes, benchmark and models")
    comparison = prepare_comparison(names, overrides)
    launch = () if execution.launch is None else ("--launch", str(execution.launch))
    again = command_line(command, *names, *(part for value in overrides for part in ("--set", value)), *launch, out=out)
    run_and_show(console, partial(run_comparison, comparison, out, execution=execution, command=again), report=report)


def default_out(name: str) -> Path:
    """Return the run directory of a comparison whose first recipe has this name, where none is given."""
    slug = Path(name.rstrip("/")).with_suffix("").as_posix().removeprefix("recipes/").strip("./").replace("/", "-")
    return Path("runs") / slug
