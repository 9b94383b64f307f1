"""How a run is followed on the terminal: its progress, then its table, and where everything lies."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer
from rich.console import Console
from rich.markdown import Markdown

if TYPE_CHECKING:
    from benchmark.progress import Progress
    from recipes.display import RunView
    from recipes.run import FinishedRun
    from recipes.stage import RunObserver

PLACES = (
    ("tables", "the table as Markdown, CSV and LaTeX"),
    ("responses", "every method's responses"),
    ("training", "what each training saw, logged and drew"),
    ("figures/training", "the same as curves"),
    ("samples.jsonl", "what was trained and tested on"),
    ("scores/remi.json", "R-EMI with its terms and intervals"),
    ("scores/remid.json", "R-EMID: what is lost under each shift"),
    ("scores/differences.json", "differences between methods, with p-values"),
    ("scores/divergences.json", "how far each subset lies from the in-distribution test"),
    ("scores/bounds.json", "bounds on R-EMID"),
    ("scores/baseline_emi.json", "the baseline without an estimator"),
    ("scores/tokens.jsonl", "log p of every token"),
    ("manifest.json", "settings, versions, seeds, times"),
)


ResultT = TypeVar("ResultT", covariant=True)


class Work(Protocol[ResultT]):
    """A run that says what it does."""

    def __call__(self, *, progress: "Progress", observer: "RunObserver") -> ResultT:
        """Run, and return what was left."""


def command_line(*words: str, out: Path) -> str:
    """Return the command of these words and a run directory, as it is typed."""
    return shlex.join(["rpm-methods", *words, "--out", str(out)])


def run_and_show(console: Console, work: Work["FinishedRun"], *, report: bool) -> None:
    """Run, then show the table and the places, and make the report; an interruption ends with exit code 130."""
    finished = follow(console, work)
    _show_table(console, finished.table)
    _show_places(console, finished.folder)
    if report:
        from reports.report import write_report

        show_report(console, write_report(finished.folder))
    else:
        from reports.training.page import write_training_report

        write_training_report(finished.folder)


def show_report(console: Console, written: list[Path]) -> None:
    """Name the PDF and the page, and say how many files lie beside them."""
    *others, document, page = written
    console.print(f"\nThe report: {document}", markup=False, soft_wrap=True)
    console.print(f"To read responses in: {page}", markup=False, soft_wrap=True)
    console.print(f"{len(others)} files of tables and figures lie beside them", markup=False)


def follow(console: Console, work: Work[ResultT]) -> ResultT:
    """Run with its progress shown; an interruption ends the program with exit code 130."""
    try:
        with _view(console) as view:
            return work(progress=view, observer=view)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None


@contextmanager
def _view(console: Console) -> Iterator["RunView"]:
    """Follow a run live on a terminal, elsewhere in lines, even where colours are forced."""
    from recipes.display import LineView
    from recipes.live_view import LiveView

    if console.is_interactive and console.file.isatty():
        with LiveView(console) as view:
            yield view
    else:
        yield LineView(console)


def _show_table(console: Console, path: Path) -> None:
    """Print the Markdown table rendered on a terminal that is wide enough, else as it is."""
    text = path.read_text(encoding="utf-8")
    console.print()
    if console.is_terminal and console.width >= 120:
        console.print(Markdown(text))
    else:
        console.print(text, markup=False, soft_wrap=True)


def _show_places(console: Console, out: Path) -> None:
    """Print the files of a run directory that others read."""
    console.print("\nWhere everything lies:")
    for name, what in PLACES:
        if (out / name).exists():
            console.print(f"  {out / name}  {what}", markup=False, soft_wrap=True)
