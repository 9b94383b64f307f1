"""`rpm-methods run` and `rpm-methods compare`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes.cli.showing import command_line, run_and_show

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Replace a value of the recipes; may be repeated.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Run directory, made if need be; what is done there is reused.")
]

WithReport = Annotated[
    bool, typer.Option("--report/--no-report", help="Make tables, figures, report.pdf and report.html at the end.")
]


def run(
    recipe: Annotated[str, typer.Argument(help="Bundled name (demo/sft) or file of a method recipe.")],
    overrides: Overrides = None,
    out: Out = None,
    report: WithReport = True,
) -> None:
    """Run one recipe: its method, generations and scores.

    Example: rpm-methods run demo/sft --set config.training.learning_rate=1e-4 --out runs/sft
    """
    _run("run", [recipe], overrides or [], out or default_out(recipe), report)


def compare(
    recipes: Annotated[list[str], typer.Argument(help="Recipes by name or file, or a folder of them.")],
    overrides: Overrides = None,
    out: Out = None,
    report: WithReport = True,
) -> None:
    """Run many recipes into one table and report.

    Example: rpm-methods compare demo --out runs/demo
    """
    _run("compare", recipes, overrides or [], out or default_out(recipes[0]), report)


def _run(command: str, names: list[str], overrides: list[str], out: Path, report: bool) -> None:
    from recipes.comparison import prepare_comparison
    from recipes.run import run_comparison

    console = Console(highlight=False)
    console.print("checking recipes, benchmark and models")
    comparison = prepare_comparison(names, overrides)
    again = command_line(command, *names, *(part for value in overrides for part in ("--set", value)), out=out)
    run_and_show(console, partial(run_comparison, comparison, out, command=again), report=report)


def default_out(name: str) -> Path:
    """Return the run directory of a comparison whose first recipe has this name, where none is given."""
    slug = Path(name.rstrip("/")).with_suffix("").as_posix().removeprefix("recipes/").strip("./").replace("/", "-")
    return Path("runs") / slug
