"""A table as reports hold it: cells that know their value and how it is shown, and the files they came from."""

import re
from dataclasses import dataclass
from typing import Literal

Value = str | int | float | None
MISSING = "–"
UNRELIABLE = "°"
"""Behind an interval that rests on too few personas or characters."""
LONGEST_LABEL = 120
"""Characters of a name that are shown; its value keeps all."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str
    """Its head in CSV files, which others read."""
    head: str | None
    """Its head elsewhere; None for a column that CSV files alone have."""
    align: Literal["left", "right"] = "right"
    group: str = ""
    """A heading that neighbours share, such as a shift."""


@dataclass(frozen=True)
class Cell:
    """A value with the way it is shown."""

    value: Value
    """With full precision, for CSV files; None where there is none."""
    text: str
    bold: bool = False
    mark: str = ""
    """Signs behind the text, which the table's notes explain."""
    detail: str = ""
    """What stands below the value where there is room for it, such as its interval."""


@dataclass(frozen=True)
class Table:
    """Rows of cells, each as long as there are columns."""

    name: str
    """Stem of its files in `tables/`."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """The files that its values stand in, relative to the run."""

    def __post_init__(self) -> None:
        """Check that each row has a cell a column."""
        if uneven := [len(row) for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"table {self.name} has {len(self.columns)} columns and rows of {uneven} cells")


def words(text: str, *, value: Value = None, bold: bool = False) -> Cell:
    """Return a cell of words; its value is the text unless another is given."""
    return Cell(text if value is None else value, text, bold)


def label(text: str | None) -> Cell:
    """Return a cell of a name that others chose, such as a method's or a model's; shown cut where it is long."""
    return Cell(None, MISSING) if text is None else Cell(text, cut(text))


def number(value: float | int | None, digits: int = 3, *, bold: bool = False, mark: str = "", detail: str = "") -> Cell:
    """Return a cell of a number, integers whole and grouped by thousands, others with that many decimals."""
    if value is None:
        return Cell(None, MISSING)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:z.{digits}f}"
    return Cell(value, shown, bold, mark, detail)


def p_text(p: float | None) -> str:
    """Return a p-value as shown."""
    return MISSING if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def p_words(p: float) -> str:
    """Return a p-value as within a sentence: "p = 0.012"."""
    return "p < 0.001" if p < 0.001 else f"p = {p_text(p)}"


def interval_text(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval as shown; empty where there is none."""
    return "" if low is None or high is None else f"[{low:z.{digits}f}, {high:z.{digits}f}]"


def interval_detail(low: float | None, high: float | None, reliable: bool | None, digits: int = 3) -> str:
    """Return an interval as shown, with a sign behind it where it is known to be unreliable; empty without one."""
    text = interval_text(low, high, digits)
    return f"{text}{UNRELIABLE}" if text and reliable is False else text


def cut(text: str, most: int = LONGEST_LABEL) -> str:
    """Return the beginning of a text that is longer than that many characters, and how many more it has."""
    more = len(text) - most
    return f"{text[:most]}… ({more:,} more characters)" if more > 0 else text


def code_point(sign: str) -> str:
    """Return a character's code point, as in "<U+202E>"."""
    return f"<U+{ord(sign):04X}>"


def without_halves(text: str) -> str:
    """Return a text with each half of a character named by its code point: JSON can spell one, no file can hold it."""
    return _HALF_CHARACTER.sub(lambda sign: code_point(sign[0]), text)
