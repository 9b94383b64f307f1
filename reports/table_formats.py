"""Tables as Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from tabulate import tabulate

from benchmark.run_store import write_text
from reports.table import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "_&%#${}"},
}


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `NAME.{md,csv,tex}` and return the files, the Markdown one first."""
    formats = {"md": as_markdown, "csv": as_csv, "tex": as_latex}
    paths = [folder / f"{table.name}.{ending}" for ending in formats]
    for path, render in zip(paths, formats.values(), strict=True):
        write_text(path, render(table))
    return paths


def as_markdown(table: Table) -> str:
    """Return the table under its title, its notes and sources below. Details are left out."""
    shown = [[_escaped(_decorated(cell, "**", "**")) for cell in row] for row in _shown_rows(table)]
    heads = [_escaped(head) for head in _heads(table)]
    text = tabulate(shown, headers=heads, tablefmt="github", disable_numparse=True, colalign=_alignment(table))
    below = "".join(f"- {note}\n" for note in _notes(table))
    return f"# {table.title}\n\n{text}\n" + (f"\n{below}" if below else "")


def as_csv(table: Table) -> str:
    """Return the values with full precision under the columns' keys; a missing value is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(column.key for column in table.columns)
    writer.writerows([_plain(cell) for cell in row] for row in table.rows)
    return buffer.getvalue()


def as_latex(table: Table) -> str:
    """Return a `tabular` with notes and sources as comments. Details are left out."""
    shown = [[_tex_cell(cell) for cell in row] for row in _shown_rows(table)]
    heads = [_tex(head) for head in _heads(table)]
    text = tabulate(shown, headers=heads, tablefmt="latex_raw", disable_numparse=True, colalign=_alignment(table))
    return "".join(f"% {note}\n" for note in _notes(table)) + str(text) + "\n"


def _heads(table: Table) -> list[str]:
    return [column.head for column in table.columns if column.head is not None]


def _shown_rows(table: Table) -> Iterable[list[Cell]]:
    for row in table.rows:
        yield [cell for cell, column in zip(row, table.columns, strict=True) if column.head is not None]


def _alignment(table: Table) -> tuple[str, ...] | None:
    found = tuple(column.align for column in table.columns if column.head is not None)
    return found if table.rows else None


def _notes(table: Table) -> list[str]:
    source = f"Source: {', '.join(table.sources)}."
    return [" ".join(note.split()) for note in (*table.notes, *([source] if table.sources else []))]


def _decorated(cell: Cell, left: str, right: str) -> str:
    return f"{left}{cell.text}{right}{cell.mark}" if cell.bold else f"{cell.text}{cell.mark}"


def _escaped(text: str) -> str:
    """Return text that cannot end a cell or a row of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def _tex_cell(cell: Cell) -> str:
    text = " ".join(_tex(cell.text).split())
    shown = rf"\textbf{{{text}}}" if cell.bold else text
    return f"{shown}{_tex(cell.mark)}"


def _tex(text: str) -> str:
    return re.sub(r"[\\~^_&%#${}]", lambda sign: _LATEX[sign[0]], text)


def _plain(cell: Cell) -> str:
    if cell.value is None:
        return ""
    return repr(cell.value) if isinstance(cell.value, float) else str(cell.value)
