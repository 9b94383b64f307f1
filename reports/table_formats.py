"""Tables as Markdown, CSV and LaTeX.

Names and notes in a table may come from third parties, so every format shows them as text: nothing in them ends a cell,
is markup, steers a terminal or is a spreadsheet's formula.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, takewhile
from pathlib import Path

from benchmark.run_store import write_text
from reports.table import Cell, Column, Table, Value, without_halves

FORMATS = ("md", "csv", "tex")
"""Endings of a table's files."""
WIDTH = 120
"""Characters of a line of a Markdown table; columns beyond go into a further table below."""
MOST_PARTS = 3
"""Parts that a table may be shown in with its details; where it needs more they are left out."""
WIDEST = 60
"""Characters that a column is filled up to; longer cells stick out."""
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""What steers a terminal or turns the direction of what stands behind it."""
_MARKDOWN = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|$)"  # a backslash that would escape
    r"|[`*~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # not within a word
    r"|<(?=[A-Za-z/!?])"
    r"|\](?=[(\[:])"  # of a link
    r"|&(?=#?\w+;)"
    r"|#(?=#*$)"  # which would close a heading
)
_BLOCK = re.compile(r"^(\d+(?=[.)])|(?=[#>+=-]))")
"""The place in a text at which a sign would make it a heading, a quotation or a list."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "_&%#${}"},
}
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]|'*[\t\r\n]")
"""Full-width signs begin formulas too."""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `NAME.{md,csv,tex}` and return the files, the Markdown one first."""
    paths = [folder / f"{table.name}.{ending}" for ending in FORMATS]
    for path, render in zip(paths, (as_markdown, as_csv, as_latex), strict=True):
        write_text(path, render(table))
    return paths


def as_markdown(table: Table, width: int = WIDTH) -> str:
    """Return the table under its title, its notes and sources below.

    Where lines would be longer than `width`, columns go into further tables below, each beginning with the left-aligned
    columns that the whole begins with. Neighbours of one group stay together if they can; their group's name stands
    above. Details stand behind values, unless the table had more than `MOST_PARTS` parts with them.
    """
    grid = _grid(table, width)
    parts = [f"# {_markdown(table.title)}", *(_markdown_part(grid, part) for part in _parts(grid, width))]
    notes = "\n".join(f"- {_opening(_markdown(note))}" for note in _notes(table))
    return "\n\n".join([*parts, *([notes] if notes else [])]) + "\n"


def as_csv(table: Table) -> str:
    """Return the values under the columns' keys; a missing value is an empty cell.

    Numbers have as many digits as give the same number back. A text that a spreadsheet would take for a formula (it
    begins with =, +, - or @, perhaps behind white space or apostrophes, or with a tab or a line end) has an apostrophe
    put before it; whoever takes the first apostrophe off such a cell has the text as it was.
    """
    lines: list[list[Value]] = [[column.key for column in table.columns]]
    lines += [[cell.value for cell in row] for row in table.rows]
    return "".join(_csv_line([_plain(value) for value in line]) for line in lines)


def as_latex(table: Table) -> str:
    r"""Return a `tabular` that needs no package, with notes and sources as comments.

    Groups stand above their columns, marks are raised. Details are shown where they are in Markdown.
    """
    columns, details = _shown_columns(table), _grid(table, WIDTH).details
    lines = [f"\\begin{{tabular}}{{{''.join(column.align[0] for column in columns)}}}", r"\hline"]
    if any(column.group for column in columns):
        lines.append(_latex_line(_latex_groups(columns)))
    lines += [_latex_line([_latex(head) for head in _heads(columns)]), r"\hline"]
    lines += [_latex_line([_latex_cell(cell, details=details) for cell in row]) for row in _shown_rows(table)]
    comments = [f"% {note}" for note in _notes(table)]
    return "\n".join([*comments, *lines, r"\hline", r"\end{tabular}"]) + "\n"


@dataclass(frozen=True)
class _Grid:
    """Cells of a Markdown table as text."""

    columns: Sequence[Column]
    heads: Sequence[str]
    body: Sequence[Sequence[str]]
    details: bool
    """Whether they stand behind the values."""

    @cached_property
    def widths(self) -> list[int]:
        cells = [[head, *(row[i] for row in self.body)] for i, head in enumerate(self.heads)]
        return [min(WIDEST, max(3, *map(_width, column))) for column in cells]


def _shown_columns(table: Table) -> list[Column]:
    return [column for column in table.columns if column.head is not None]


def _heads(columns: Sequence[Column]) -> list[str]:
    return [column.head or "" for column in columns]


def _shown_rows(table: Table) -> list[list[Cell]]:
    shown = [column.head is not None for column in table.columns]
    return [[cell for cell, is_shown in zip(row, shown, strict=True) if is_shown] for row in table.rows]


def _notes(table: Table) -> list[str]:
    source = f"Source: {', '.join(table.sources)}."
    return [_one_line(note) for note in (*table.notes, *([source] if table.sources else []))]


def _one_line(text: str) -> str:
    """Return a text without line ends and without what steers a terminal; halves of characters are named."""
    return without_halves(" ".join(text.split()).translate(_CONTROLS))


# Markdown


def _grid(table: Table, width: int) -> _Grid:
    """Return the cells, with details unless the table would then have too many parts."""
    columns, rows = _shown_columns(table), _shown_rows(table)
    heads = [_markdown_cell_text(head) for head in _heads(columns)]
    full, short = (
        _Grid(columns, heads, [[_markdown_cell(cell, details=details) for cell in row] for row in rows], details)
        for details in (True, False)
    )
    return full if len(_parts(full, width)) <= MOST_PARTS else short


def _parts(grid: _Grid, width: int) -> list[list[int]]:
    """Return the columns of each part of a table: those on the left, which every part has, and its own."""
    spans = [cell + 3 for cell in grid.widths]
    keys = list(takewhile(lambda i: grid.columns[i].align == "left", range(len(spans))))
    room = max(width // 2, width - 1 - sum(spans[i] for i in keys))
    parts: list[list[int]] = [[]]
    for group, found in groupby(range(len(keys), len(spans)), key=lambda i: grid.columns[i].group):
        members = list(found)
        together = group and sum(spans[i] for i in members) <= room
        for piece in [members] if together else [[i] for i in members]:
            if parts[-1] and sum(spans[i] for i in (*parts[-1], *piece)) > room:
                parts.append([])
            parts[-1] += piece
    return [[*keys, *part] for part in parts]


def _markdown_part(grid: _Grid, part: Sequence[int]) -> str:
    widths, right = grid.widths, [column.align == "right" for column in grid.columns]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_filled(cells[i], widths[i], right=right[i]) for i in part) + " |"

    rule = "|".join("-" * (widths[i] + 1) + (":" if right[i] else "-") for i in part)
    lines = [line(grid.heads), f"|{rule}|", *(line(row) for row in grid.body)]
    groups = [
        f"{_markdown(group)}: {', '.join(grid.heads[i] for i in members)}"
        for group, members in groupby(part, key=lambda i: grid.columns[i].group)
        if group
    ]
    return "\n".join([*([_opening("; ".join(groups)), ""] if groups else []), *lines])


def _markdown_cell(cell: Cell, *, details: bool) -> str:
    text = _markdown_cell_text(cell.text)
    behind = f" {_markdown_cell_text(cell.detail)}" if details and cell.detail else ""
    return f"**{text}**{cell.mark}{behind}" if cell.bold else f"{text}{cell.mark}{behind}"


def _markdown_cell_text(text: str) -> str:
    return _markdown(text).replace("|", r"\|")


def _opening(markdown: str) -> str:
    """Return Markdown that can begin a paragraph or a list's item."""
    return _BLOCK.sub(r"\1\\", markdown)


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", _one_line(text))


def _filled(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return f"{space}{text}" if right else f"{text}{space}"


def _width(text: str) -> int:
    """Return how many places of a terminal a text takes: two for wide signs, none for signs on top of others."""
    return sum(
        2 if unicodedata.east_asian_width(sign) in "WF" else 0 if unicodedata.category(sign) in ("Mn", "Cf") else 1
        for sign in text
    )


# CSV


def _csv_line(cells: Sequence[str]) -> str:
    """Return a line; the writer's own line end makes it quote each sign that could be one."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _plain(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return without_halves(f"'{value}" if _FORMULA.match(value) else value)
    return repr(float(value)) if isinstance(value, float) else str(value)


# LaTeX


def _latex_groups(columns: Sequence[Column]) -> list[str]:
    cells = []
    for group, found in groupby(columns, key=lambda column: column.group):
        size = len(list(found))
        cells += [f"\\multicolumn{{{size}}}{{c}}{{{_latex(group)}}}"] if group else [""] * size
    return cells


def _latex_line(cells: Sequence[str]) -> str:
    r"""Return a row; a bracket or star at its beginning would belong to the `\\` before it."""
    text = " & ".join(cells)
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def _latex_cell(cell: Cell, *, details: bool) -> str:
    text = _latex(cell.text)
    mark = f"\\textsuperscript{{{_latex(cell.mark)}}}" if cell.mark else ""
    behind = f" {_latex(cell.detail)}" if details and cell.detail else ""
    return (rf"\textbf{{{text}}}" if cell.bold else text) + mark + behind


def _latex(text: str) -> str:
    return re.sub(r"[\\~^<>|_&%#${}]", lambda sign: _LATEX[sign[0]], _one_line(text))
