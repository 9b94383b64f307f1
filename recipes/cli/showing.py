"""What a finished run shows: its table, and where everything lies."""

from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

PLACES = (
    ("tables", "the table as Markdown, CSV and LaTeX"),
    ("responses", "every method's responses"),
    ("scores/remi.json", "R-EMI with its terms and intervals"),
    ("scores/remid.json", "R-EMID: what is lost under each shift"),
    ("scores/differences.json", "differences between methods, with p-values"),
    ("scores/divergences.json", "how far each subset lies from the in-distribution test"),
    ("scores/bounds.json", "bounds on R-EMID"),
    ("scores/baseline_emi.json", "the baseline without an estimator"),
    ("scores/tokens.jsonl", "log p of every token"),
    ("manifest.json", "settings, versions, seeds, times"),
)


def show_table(console: Console, path: Path) -> None:
    """Print the Markdown table rendered on a terminal that is wide enough, else as it is."""
    text = path.read_text(encoding="utf-8")
    console.print()
    if console.is_terminal and console.width >= 120:
        console.print(Markdown(text))
    else:
        console.print(text, markup=False, soft_wrap=True)


def show_places(console: Console, out: Path) -> None:
    """Print the files of a run directory that others read."""
    console.print("\nWhere everything lies:")
    for name, what in PLACES:
        if (out / name).exists():
            console.print(f"  {out / name}  {what}", markup=False, soft_wrap=True)
