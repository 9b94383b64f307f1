"""How the template sees tables, figures and long texts."""

from collections.abc import Sequence
from itertools import groupby

from reports.house_style import Chart
from reports.page.embedding import data_address
from reports.table import Cell, Column, Table, Value, number, words

SIGNIFICANT_DIGITS = 4
"""Of the numbers beside a figure."""


def columns(table: Table) -> list[Column]:
    """Return the columns that are shown."""
    return [column for column in table.columns if column.head is not None]


def rows(table: Table) -> list[list[tuple[Column, Cell]]]:
    """Return each row's shown cells with their columns."""
    paired = [zip(table.columns, row, strict=True) for row in table.rows]
    return [[(column, cell) for column, cell in row if column.head is not None] for row in paired]


def groups(shown: Sequence[Column]) -> list[tuple[str, int]]:
    """Return the headings over neighbouring columns with how many each spans; empty where no column has one."""
    found = [(group, len(list(members))) for group, members in groupby(shown, key=lambda column: column.group)]
    return found if any(group for group, _ in found) else []


def picture(chart: Chart) -> str:
    """Return a figure as a `data:` address of an SVG."""
    return data_address(chart.svg, "image/svg+xml")


def numbers(chart: Chart) -> Table:
    """Return the numbers that a figure draws."""
    keys = tuple(chart.data[0]) if chart.data else ()
    heads = tuple(_head(key, [row[key] for row in chart.data]) for key in keys)
    found = tuple(tuple(_shown(row[key]) for key in keys) for row in chart.data)
    return Table(f"{chart.name}-numbers", f"Numbers of: {chart.title}", heads, found)


def _head(key: str, values: Sequence[Value]) -> Column:
    holds_words = any(isinstance(value, str) for value in values)
    return Column(key, key.replace("_", " "), "left" if holds_words else "right")


def _shown(value: Value) -> Cell:
    if isinstance(value, float):
        return Cell(value, f"{value:.{SIGNIFICANT_DIGITS}g}")
    return words(value) if isinstance(value, str) else number(value)
