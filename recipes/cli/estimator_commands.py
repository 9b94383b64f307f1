"""`rpm-methods estimator base`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

estimator_app = typer.Typer(help="Make estimators of log p(y | x, r).", no_args_is_help=True)


@estimator_app.callback()
def _group() -> None:
    """Keep `base` a command of its own although it is the only one."""


@estimator_app.command()
def base(
    model: Annotated[str, typer.Argument(help="Packaged name, folder or hub id of a causal language model.")],
    out: Annotated[Path, typer.Option("--out", help="Directory of the estimator.")],
    templates: Annotated[Path | None, typer.Option(help="Folder of your own prompt templates.")] = None,
) -> None:
    """Make an estimator from a language model as it is, without reasoning.

    Example: rpm-methods estimator base smollm2-135m --out estimators/smollm2
    """
    from scoring.estimator import write_base_estimator

    estimator = write_base_estimator(model, out, templates=templates)
    Console(highlight=False).print(f"{estimator.description.label}, format version 1, in {out}", markup=False)
