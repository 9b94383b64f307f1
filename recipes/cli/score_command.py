"""`rpm-methods score`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes.cli.showing import show_places, show_table


def score(
    responses: Annotated[Path, typer.Argument(help="JSON lines with sample_id and response, and method if several.")],
    estimator: Annotated[Path, typer.Option("--estimator", help="Directory of an estimator.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory, made if need be; what is done there is reused.")],
    benchmark: Annotated[str, typer.Option("--benchmark", help="Bundled name, JSON file, folder, or hub id.")] = "mini",
    pairs: Annotated[
        str, typer.Option("--pairs", help="auto, or all: no sampling of negatives in large subsets.")
    ] = "auto",
    arithmetic: Annotated[
        str, typer.Option("--arithmetic", help="exact, or released: the authors' code as it is.")
    ] = "exact",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Replace a setting of scoring, compute or seed; may be repeated."),
    ] = None,
) -> None:
    """Score responses made elsewhere, by any model: R-EMI, R-EMID, differences and bounds, without training.

    Example: rpm-methods score answers.jsonl --benchmark mini --estimator estimators/smollm2 --out runs/answers
    """
    from recipes.display import ConsoleProgress
    from recipes.reading import read_settings
    from recipes.schema import ScoreSettings
    from recipes.score import prepare_scoring, run_scoring

    console = Console(highlight=False)
    named = [f"scoring.pairs={pairs}", f"scoring.arithmetic={arithmetic}"]
    settings = read_settings(ScoreSettings, ["scoring.gaussian_baseline=false", *named, *(overrides or [])])
    console.print("checking responses, benchmark and estimator")
    scoring = prepare_scoring(responses, benchmark, estimator, settings)
    try:
        finished = run_scoring(
            scoring,
            out,
            progress=ConsoleProgress(console),
            tell=lambda line: console.print(line, markup=False),
        )
    except KeyboardInterrupt:
        console.print("\ninterrupted; the same command goes on from here")
        raise typer.Exit(130) from None
    show_table(console, finished.table)
    show_places(console, out)
