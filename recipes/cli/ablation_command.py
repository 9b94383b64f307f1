"""`rpm-methods estimator ablation`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes.cli.run_commands import Overrides
from recipes.cli.showing import follow


def ablation(
    recipe: Annotated[str, typer.Argument(help="Bundled name (small/estimator) or file of an estimator's recipe.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory; folds that are trained there are reused.")],
    folds: Annotated[
        list[int] | None, typer.Option("--fold", help="Train and compare on this fold alone; may be repeated.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Compare an estimator with variants that lack co-evolution, reasoning or training, on held-out responses.

    Example: rpm-methods estimator ablation small/estimator --fold 0 --out runs/estimator
    """
    from recipes.ablation import prepare_ablation, run_ablation

    console = Console(highlight=False)
    console.print("checking recipe, benchmark and model")
    prepared = prepare_ablation(recipe, overrides or [], folds or [])
    finished = follow(console, partial(run_ablation, prepared, out))
    page, *others = finished.files
    console.print(f"\n{page.read_text(encoding='utf-8')}", markup=False, soft_wrap=True)
    console.print("Where everything lies:")
    for path in (page, *others):
        console.print(f"  {path}", markup=False, soft_wrap=True)
