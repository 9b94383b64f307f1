"""`python -m reports.validation STUDY`: make the numbers and the figure of one study anew."""

from importlib import import_module
from pathlib import Path
from typing import Literal

import typer

Study = Literal["convergence", "gaps", "bounds", "coverage"]


def main(study: Study, out: Path = Path("docs/validation"), seed: int = 0) -> None:
    """Write STUDY.csv and STUDY.svg into a folder; each study takes at most a few minutes on one core.

    Example: python -m reports.validation bounds --out docs/validation
    """
    run = getattr(import_module(f"reports.validation.{study}"), f"run_{study}")
    typer.echo(run(out, seed))


if __name__ == "__main__":
    typer.run(main)
