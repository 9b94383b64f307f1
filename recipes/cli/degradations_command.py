"""`rpm-methods degradations`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes.cli.showing import command_line, follow


def degradations(
    benchmark: Annotated[str, typer.Option(help="Bundled name, JSON file, folder, or hub id.")],
    estimator: Annotated[list[Path], typer.Option(help="Directory of an estimator; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Run directory, made if need be; what is done there is reused.")],
    publish: Annotated[
        Path | None, typer.Option(help="Folder to put a copy of the page, its figure and the numbers into.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a.b=c",
            help="Replace a setting, such as kinds, shares, subsets or scoring.embedding; may be repeated.",
        ),
    ] = None,
) -> None:
    """Damage golden responses step by step and see whether R-EMI and the baseline EMI fall. Needs no policy.

    Example: rpm-methods degradations --benchmark mini --estimator estimators/smollm2 --out runs/degradations
    """
    from recipes.degradation_report import publish_study
    from recipes.degradation_settings import DegradationSettings
    from recipes.degradation_study import prepare_study, run_study
    from recipes.reading import read_settings

    console = Console(highlight=False)
    settings = read_settings(DegradationSettings, overrides or [])
    console.print("checking benchmark and estimators")
    study = prepare_study(benchmark, estimator, settings)
    given = ["--benchmark", benchmark, *(part for path in estimator for part in ("--estimator", str(path)))]
    sets = [part for value in overrides or [] for part in ("--set", value)]
    again = command_line("degradations", *given, *sets, out=out)
    finished = follow(console, partial(run_study, study, out, command=again))
    console.print(f"\n{finished.summary}", markup=False, soft_wrap=True)
    console.print("Where everything lies:")
    published = [] if publish is None else publish_study(out, publish)
    for path in (*finished.files, *published):
        console.print(f"  {path}", markup=False, soft_wrap=True)
