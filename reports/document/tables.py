"""Tables as the template reads them: in type that fits the page, on a page on its side where they are wide.

Widths are estimated from numbers of characters; what is too wide for any page is split into parts that repeat the
first columns.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, takewhile
from typing import Any

from reports.document.texts import one_line, prose
from reports.table import Cell, Column, Table

PORTRAIT_WIDTH, LANDSCAPE_WIDTH = 495.0, 742.0
"""Of the text, in points."""
PORTRAIT_HEIGHT, LANDSCAPE_HEIGHT = 735.0, 489.0
MOST_ROWS = 150
"""Of a table; the rest are counted."""
LONGEST_CELL, LONGEST_DETAIL, LONGEST_NOTE = 600, 60, 1_500
_LONG_WORD = 24
_CHARACTER, _DETAIL, _GAP = 0.43, 0.78, 7.0
"""Width of a character and size of details, of the size of type; space between columns in points."""
_LINE, _ROW_GAP = 1.2, 5.6
"""Height of a line, of the size of type; space between rows in points."""
_MOST_NOTES_IN_LINE = 4
_WRAPPED = 36
"""Characters that a column of words is wide at least before it wraps."""


@dataclass(frozen=True)
class Fit:
    """A page and a size of type."""

    wide: bool
    size: float
    """In points."""

    @property
    def width(self) -> float:
        """What there is, in points."""
        return LANDSCAPE_WIDTH if self.wide else PORTRAIT_WIDTH


FITS = (Fit(False, 8.5), Fit(False, 7.5), Fit(True, 8.5), Fit(True, 7.5), Fit(True, 6.5))
"""The best first; the last is the smallest type that can be read."""


def table_item(table: Table, number: int) -> dict[str, Any]:
    """Return a table for the template, its title numbered."""
    shown = [place for place, column in enumerate(table.columns) if column.head is not None]
    columns = [table.columns[place] for place in shown]
    rows = [[row[place] for place in shown] for row in table.rows[:MOST_ROWS]]
    widths = [_characters(column, [row[place] for row in rows]) for place, column in enumerate(columns)]
    fit = next((fit for fit in FITS if _width(widths, fit) <= fit.width), FITS[-1])
    return {
        "kind": "table",
        "wide": fit.wide,
        "title": f"Table {number}. {one_line(table.title, 200)}",
        "size": fit.size,
        "whole": _is_low(rows, widths, fit),
        "parts": [_part(columns, rows, places, widths) for places in _split(columns, widths, fit)],
        "notes": _in_columns(list(_notes(table)), 3 if fit.wide else 2),
    }


def _characters(column: Column, cells: Sequence[Cell]) -> float:
    """Return a column's width in characters; heads and words wrap, numbers do not."""
    head = max(map(len, (column.head or "").split()), default=0)
    texts = [len(cell.text) + len(cell.mark) for cell in cells]
    if column.align == "left":
        texts = [min(length, _WRAPPED) for length in texts]
    details = [_DETAIL * len(cell.detail) for cell in cells]
    return max([head, *texts, *details])


def _width(widths: Sequence[float], fit: Fit) -> float:
    return sum(_CHARACTER * fit.size * width + _GAP for width in widths)


def _is_low(rows: Sequence[Sequence[Cell]], widths: Sequence[float], fit: Fit) -> bool:
    """Tell whether a table is low enough to be kept on one page: no cell wraps and it takes at most three quarters."""
    wraps = _width(widths, fit) > fit.width or any(len(cell.text) > _WRAPPED for row in rows for cell in row)
    lines = sum(1 + _DETAIL * any(cell.detail for cell in row) for row in rows)
    height = _LINE * fit.size * lines + _ROW_GAP * len(rows)
    return not wraps and height <= 0.75 * (LANDSCAPE_HEIGHT if fit.wide else PORTRAIT_HEIGHT)


def _split(columns: Sequence[Column], widths: Sequence[float], fit: Fit) -> list[list[int]]:
    """Return the columns of each part, of like width; each begins with those of words that the table begins with."""
    leading = len(list(takewhile(lambda column: column.align == "left", columns)))
    fixed = leading if leading < len(columns) else 1
    own = _width(widths[:fixed], fit)
    room = max(fit.width - own, fit.width / 4)
    n_parts = math.ceil(_width(widths[fixed:], fit) / room)
    ends = list(accumulate(_width([width], fit) for width in widths[fixed:]))
    part_of = [min(int(n_parts * (end - 1e-6) / ends[-1]), n_parts - 1) for end in ends]
    groups = groupby(range(fixed, len(columns)), key=lambda place: part_of[place - fixed])
    return [[*range(fixed), *places] for _, places in groups] or [list(range(fixed))]


def _part(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], places: Sequence[int], widths: Sequence[float]
) -> dict[str, Any]:
    heads = [one_line(columns[place].head or "", 80, longest_word=_LONG_WORD) for place in places]
    grouped = [(text, list(run)) for text, run in groupby(places, key=lambda place: columns[place].group)]
    groups = [{"text": _wrapped(text, sum(widths[place] for place in own)), "span": len(own)} for text, own in grouped]
    return {
        "columns": [{"head": head, "align": columns[place].align} for head, place in zip(heads, places, strict=True)],
        "groups": groups if any(text for text, _ in grouped) else None,
        "rows": [[_cell(row[place]) for place in places] for row in rows],
    }


def _wrapped(group: str, characters: float) -> str:
    """Return a group's heading in lines that are no wider than its columns, which would be drawn apart by it."""
    return textwrap.fill(one_line(group, 80), max(6, int(characters)), break_long_words=False)


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "text": one_line(cell.text, LONGEST_CELL, longest_word=_LONG_WORD),
        "bold": cell.bold,
        "mark": one_line(cell.mark, LONGEST_DETAIL),
        "detail": one_line(cell.detail, LONGEST_DETAIL).replace(" ", "\N{NO-BREAK SPACE}"),
    }


def _in_columns(notes: Sequence[str], n_columns: int) -> list[list[str]]:
    """Return few notes in one column, and many in several of like length."""
    if len(notes) <= _MOST_NOTES_IN_LINE:
        return [list(notes)]
    middles = [end - len(note) / 2 for end, note in zip(accumulate(map(len, notes)), notes, strict=True)]
    share = sum(map(len, notes)) / n_columns
    grouped = groupby(zip(middles, notes, strict=True), key=lambda pair: int(pair[0] / share))
    return [[note for _, note in column] for _, column in grouped]


def _notes(table: Table) -> Iterator[str]:
    if len(table.rows) > MOST_ROWS:
        yield f"The first {MOST_ROWS} of {len(table.rows):,} rows; the run's files have all of them."
    for note in table.notes:
        yield prose(note, LONGEST_NOTE)
    if table.sources:
        yield f"Source: {', '.join(table.sources)}."
