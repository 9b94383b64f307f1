"""`rpm-methods score`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from recipes.cli.run_commands import Address, ExecutorOption, WithReport
from recipes.cli.showing import command_line, run_and_show
from recipes.execution import Execution, check_execution


def score(
    responses: Annotated[Path, typer.Argument(help="JSON lines with sample_id and response, and method if several.")],
    benchmark: Annotated[str, typer.Option(help="Bundled name, JSON file, folder, or hub id.")],
    estimator: Annotated[Path, typer.Option(help="Directory of an estimator.")],
    out: Annotated[Path, typer.Option(help="Run directory, made if need be; what is done there is reused.")],
    pairs: Annotated[
        Literal["auto", "all"], typer.Option(help="auto, or all: draw no negatives in large subsets.")
    ] = "auto",
    arithmetic: Annotated[
        Literal["exact", "released"], typer.Option(help="exact, or released: the authors' code with its faults.")
    ] = "exact",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Replace a setting of scoring, compute or seed; may be repeated."),
    ] = None,
    executor: ExecutorOption = "local",
    address: Address = None,
    report: WithReport = True,
) -> None:
    """Score responses made elsewhere, by any model: R-EMI, R-EMID, differences and bounds, without training.

    Example: rpm-methods score answers.jsonl --benchmark mini --estimator estimators/smollm2 --out runs/answers
    """
    execution = Execution(executor, address)
    check_execution(execution)
    from recipes.reading import read_settings
    from recipes.schema import ScoreSettings
    from recipes.score import prepare_scoring, run_scoring

    console = Console(highlight=False)
    named = [f"scoring.pairs={pairs}", f"scoring.arithmetic={arithmetic}"]
    settings = read_settings(ScoreSettings, ["scoring.gaussian_baseline=false", *named, *(overrides or [])])
    console.print("checking responses, benchmark and estimator")
    scoring = prepare_scoring(responses, benchmark, estimator, settings)
    given = [str(responses), "--benchmark", benchmark, "--estimator", str(estimator)]
    sets = [part for value in (*named, *(overrides or [])) for part in ("--set", value)]
    again = command_line("score", *given, *sets, out=out)
    run_and_show(console, partial(run_scoring, scoring, out, execution=execution, command=again), report=report)
