"""How figures look: colours that everyone tells apart, also in grey, and the same bytes each time."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmark.run_store import write_bytes, write_text
from reports.fonts import figure_families
from reports.table import Cell, Column, Table, Value
from reports.table_formats import as_csv

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Told apart with any kind of colour vision (Okabe and Ito)."""
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo", "---")
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "*", "<", ">")
"""Beside colours, so that a figure reads in grey."""
STYLE: dict[Any, Any] = {  # matplotlib's type of a key is the list of all of them
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.titlesize": 12,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "figures",
    "text.parse_math": False,  # names of methods and models are text, whatever signs they hold
}
DPI = 150
_FORMATS: Mapping[str, Mapping[str, object]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None, "ModDate": None}},
    "png": {"dpi": DPI, "metadata": {"Software": None}},
}
CHART_FORMATS = (*_FORMATS, "csv")
"""Endings of a chart's files: the figure, and its numbers last."""


@dataclass(frozen=True)
class Chart:
    """A figure with the numbers that it draws."""

    name: str
    """Stem of its files in `figures/`."""
    title: str
    caption: str
    """What is drawn, with its unit, and what a reader has to know to trust it."""
    figure: Figure
    data: tuple[Mapping[str, Value], ...]
    """The numbers drawn, with equal keys."""
    sources: tuple[str, ...]
    """The files that they stand in, relative to the run."""

    @cached_property
    def svg(self) -> bytes:
        """The figure as SVG, drawn once for its file, the PDF and the page."""
        return image(self.figure, "svg")


@contextmanager
def house_style() -> Iterator[None]:
    """Draw what is drawn inside in the house style."""
    with rc_context({**STYLE, "font.family": list(figure_families())}):
        yield


def write_chart(chart: Chart, folder: Path, formats: Sequence[str] = CHART_FORMATS) -> list[Path]:
    """Write `NAME.svg` and the other formats, the numbers as `NAME.csv` last; return the files."""
    vector, *others, numbers = (folder / f"{chart.name}.{ending}" for ending in formats)
    write_bytes(vector, chart.svg)
    for path in others:
        write_bytes(path, image(chart.figure, path.suffix[1:]))
    write_text(numbers, as_csv(_numbers(chart.name, chart.data)))
    return [vector, *others, numbers]


def write_image(figure: Figure, folder: Path, name: str, formats: Sequence[str] = tuple(_FORMATS)) -> list[Path]:
    """Write a figure in each format and return the files."""
    paths = [folder / f"{name}.{ending}" for ending in formats]
    for path, ending in zip(paths, formats, strict=True):
        write_bytes(path, image(figure, ending))
    return paths


def image(figure: Figure, ending: str) -> bytes:
    """Return a figure as a file of this ending; the same figure gives the same bytes.

    Where everything lies in it is worked out once for all its files: that takes longer than drawing one.
    """
    buffer = io.BytesIO()
    with house_style():
        if figure.get_layout_engine() is not None:
            figure.set_dpi(DPI)  # widths of texts follow it a little
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        figure.savefig(buffer, format=ending, **_FORMATS[ending])  # type: ignore[arg-type] # savefig's own names
    return buffer.getvalue()


def _numbers(name: str, rows: Sequence[Mapping[str, Value]]) -> Table:
    keys = tuple(rows[0]) if rows else ()
    cells = tuple(tuple(Cell(row[key], str(row[key])) for key in keys) for row in rows)
    return Table(name, name, tuple(Column(key, key) for key in keys), cells)
