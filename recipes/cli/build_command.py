"""`rpm-methods benchmark build`: a benchmark of shifts written by a model at an endpoint."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from benchmark.construction import Builder, BuildSettings, Built
    from benchmark.errors import Mistake
    from benchmark.progress import Progress
    from recipes.stage import RunObserver


def build(
    config: Annotated[Path, typer.Argument(help="YAML file: endpoint, counts, and what else a build depends on.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the build; the same command goes on in it.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Replace a value of the configuration; may be repeated."),
    ] = None,
) -> None:
    """Build a benchmark of shifts with a model at an OpenAI-compatible endpoint, as the paper's appendix A does.

    Example: rpm-methods benchmark build my_build.yaml --out benchmarks/mine
    """
    from benchmark.construction.report import render_report
    from benchmark.errors import RunFailure
    from recipes.cli.showing import follow

    console = Console(highlight=False)
    console.print("checking configuration, seeds and endpoint")
    builder = prepare_build(config, out, overrides or [])
    try:
        built = follow(console, lambda *, progress, observer: _run(builder, progress, observer))
    except (RunFailure, typer.Exit):
        console.print(f"\nspent so far:\n\n{builder.spending()}\n", markup=False, soft_wrap=True)
        raise
    console.print(f"\n{render_report(built.report)}", markup=False, soft_wrap=True)
    console.print(f"{built.benchmark}  the benchmark", markup=False, soft_wrap=True)
    _require_all(built)


def prepare_build(config: Path, out: Path, overrides: Sequence[str] = ()) -> "Builder":
    """Read a configuration and all that it names; relative paths in it are taken from its folder.

    Raises:
        UserMistakes: all mistakes found.
    """
    from benchmark.construction import Builder
    from benchmark.errors import Mistake, UserMistakes

    mistakes: list[Mistake] = []
    settings = _read_settings(config, overrides, mistakes)
    try:
        builder = None if settings is None else Builder(settings, out)
    except UserMistakes as error:
        mistakes += error.mistakes
    if mistakes or builder is None:
        raise UserMistakes(mistakes)
    return builder


def _read_settings(config: Path, overrides: Sequence[str], mistakes: "list[Mistake]") -> "BuildSettings | None":
    """Return what a configuration gives without its faulty values, after recording these; None if too little."""
    from benchmark.construction import BuildSettings
    from recipes.reading import read_config

    settings = read_config(BuildSettings, config, overrides, mistakes)
    return None if settings is None else settings.beside(config.parent)


def _run(builder: "Builder", progress: "Progress", observer: "RunObserver") -> "Built":
    """Build, each phase shown as a stage."""
    from benchmark.construction import PHASES
    from recipes.stage import Outlook, Prospect
    from recipes.time_left import KindTimes

    observer.planned([Outlook(name, "", Prospect.TO_RUN, None) for name in PHASES], KindTimes())
    begin, end = _told(observer)
    built = builder.run(progress=progress, tell=begin)
    end()
    return built


def _told(observer: "RunObserver") -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return what ends the running phase and begins another, and what ends the last."""
    running: list[tuple[str, float]] = []

    def end() -> None:
        if running:
            name, since = running.pop()
            observer.finished(name, time.monotonic() - since)

    def begin(name: str) -> None:
        end()
        running.append((name, time.monotonic()))
        observer.started(name)

    return begin, end


def _require_all(built: "Built") -> None:
    """Raise RunFailure with the subsets that are not complete, if there are any."""
    from benchmark.construction.report import shortages
    from benchmark.errors import RunFailure

    if short := shortages(built.report):
        listed = ", ".join(f"{key} {made} of {wanted}" for key, (made, wanted) in short.items())
        remedy = "give more seed personas or contexts, or raise rounds, and the same command goes on"
        raise RunFailure(f"the benchmark is written, but what it is made of was used up: {listed}; {remedy}")
