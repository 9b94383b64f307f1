"""`rpm-methods export`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run, finished or not.")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method whose policy is wanted.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the model.")],
    dtype: Annotated[str, typer.Option(help="bfloat16, float32, or auto: the run's.")] = "auto",
) -> None:
    """Write a trained policy as one model: base and adapters merged, with the tokenizer, as safetensors.

    Example: rpm-methods export runs/demo grpo --out models/grpo
    """
    from recipes.exporting import export_policy

    made = export_policy(run, method, out, dtype=dtype)
    console = Console(highlight=False)
    console.print(
        f"The {made.artifact.method} policy lies in {made.folder} ({made.dtype}).", markup=False, soft_wrap=True
    )
    if made.artifact.exemplars is not None:
        console.print("Its examples are part of its prompts, not of the weights.")
    name = made.artifact.method
    console.print(f"To serve it:  vllm serve {made.folder} --served-model-name {name} --generation-config vllm")
    console.print(
        "To have a recipe answer by it:  generation: {backend: server, server: {url: ..., model: ...}}", markup=False
    )
