"""`rpm-methods estimator import`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Adapters = Annotated[list[Path], typer.Option(help="Folder of an adapter; repeat it in the order of merging.")]


def import_adapters(
    model: Annotated[str, typer.Argument(help="The base model: packaged name, folder or hub id.")],
    generator: Adapters,
    policy: Adapters,
    templates: Annotated[Path, typer.Option(help="Folder with the prompts that the adapters were trained under.")],
    out: Annotated[Path, typer.Option("--out", help="Directory of the estimator.")],
    max_reasoning_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a reasoning.")] = 2048,
) -> None:
    """Make an estimator from LoRA adapters trained elsewhere, such as those that the paper's authors released.

    Example: rpm-methods estimator import Qwen/Qwen3-8B --generator sft-g --generator rl-g --policy sft-p --policy rl-p
    --templates their_prompts --out estimators/released
    """
    from scoring.imported_estimator import import_estimator

    estimator = import_estimator(
        model, out, generator=generator, policy=policy, templates=templates, max_new_tokens=max_reasoning_tokens
    )
    console = Console(highlight=False)
    console.print(f"{estimator.description.label}, in {out}", markup=False)
    for note in estimator.description.notes:
        console.print(f"note: {note}", markup=False)
