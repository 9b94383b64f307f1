"""`rpm-methods run` and `rpm-methods compare`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Replace a value of the recipes; may be repeated.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Run directory, made if need be; what is done there is reused.")
]


def run(
    recipe: Annotated[str, typer.Argument(help="Bundled name (demo/sft) or file of a method recipe.")],
    overrides: Overrides = None,
    out: Out = None,
) -> None:
    """Run one recipe: its method, generations and scores.

    Example: rpm-methods run demo/sft --set config.training.learning_rate=1e-4 --out runs/sft
    """
    _run([recipe], overrides or [], out or Path("runs") / _slug(recipe))


def compare(
    recipes: Annotated[list[str], typer.Argument(help="Recipes by name or file, or a folder of them.")],
    overrides: Overrides = None,
    out: Out = None,
) -> None:
    """Run many recipes into one table.

    Example: rpm-methods compare demo --out runs/demo
    """
    _run(recipes, overrides or [], out or Path("runs") / _slug(recipes[0]))


def _run(names: list[str], overrides: list[str], out: Path) -> None:
    from recipes.comparison import prepare_comparison
    from recipes.display import ConsoleProgress
    from recipes.run import run_comparison

    console = Console(highlight=False)
    console.print("checking recipes, benchmark and models")
    comparison = prepare_comparison(names, overrides)
    try:
        finished = run_comparison(
            comparison,
            out,
            progress=ConsoleProgress(console),
            tell=lambda line: console.print(line, markup=False),
        )
    except KeyboardInterrupt:
        console.print("\ninterrupted; the same command goes on from here")
        raise typer.Exit(130) from None
    text = finished.table.read_text(encoding="utf-8")
    console.print()
    _show_table(console, text)
    _show_places(console, out)


def _show_table(console: Console, text: str) -> None:
    """Print the Markdown rendered on a terminal that is wide enough, else as it is."""
    if console.is_terminal and console.width >= 120:
        console.print(Markdown(text))
    else:
        console.print(text, markup=False, soft_wrap=True)


def _show_places(console: Console, out: Path) -> None:
    places = (
        (out / "tables", "the table as Markdown, CSV and LaTeX"),
        (out / "responses", "every method's responses"),
        (out / "scores" / "remi.json", "R-EMI with its terms"),
        (out / "manifest.json", "recipe, versions, seeds, times"),
    )
    console.print("\nWhere everything lies:")
    for path, what in places:
        console.print(f"  {path}  {what}", markup=False, soft_wrap=True)


def _slug(name: str) -> str:
    return Path(name.rstrip("/")).with_suffix("").as_posix().removeprefix("recipes/").strip("./").replace("/", "-")
