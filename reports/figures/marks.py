"""What figures draw alike: rows of methods, shifts and base models, and the legend.

Colour never stands alone: each shift and base model has its own marker. What hollow markers mean is in the legend.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.words import SHIFTS, base_words
from reports.fonts import text_columns
from reports.house_style import COLOURS, MARKERS
from reports.run_data import Row, RunData

Entries = list[tuple[str, Artist]]
"""Of a legend; two may have one name, as where long names are cut."""
PAPER = "white"
"""Inside of hollow markers."""
COLUMN_WIDTH = 0.085
"""Of a letter of a row's name, in inches."""
GUIDE = "0.55"
"""Colour of lines that are not data."""


@dataclass(frozen=True)
class Mark:
    """How one kind of point looks."""

    colour: str
    marker: str


SHIFT_MARKS: Mapping[str, Mark] = {
    shift: Mark(colour, marker)
    for shift, colour, marker in zip(SHIFTS, (COLOURS[-1], *COLOURS[:3]), "Dos^", strict=True)
}


def place_mark(place: int) -> Mark:
    """Return the mark of the base model, or line, at this place."""
    return Mark(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Give each row, from the top down at 0, 1 and so on, its name, and shade every second one."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place in range(0, len(names), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.95", linewidth=0, zorder=0)


def names_width(names: Sequence[str]) -> float:
    """Return how many inches the names of rows take."""
    return COLUMN_WIDTH * max(map(text_columns, names))


def zero_line(axes: Axes) -> None:
    """Draw the line at which there is no difference."""
    axes.axvline(0, color=GUIDE, linewidth=0.8, zorder=1)


def marker(mark: Mark, *, hollow: bool = False) -> Line2D:
    """Return a marker for the legend."""
    inside = PAPER if hollow else mark.colour
    return Line2D([], [], linestyle="", marker=mark.marker, color=mark.colour, markerfacecolor=inside, markersize=5)


def base_markers(run: RunData) -> Entries:
    """Return the legend's markers of the base models; none for a single one."""
    bases = run.base_models if len(run.base_models) > 1 else ()
    return [(base_words(base), marker(place_mark(place))) for place, base in enumerate(bases)]


def hollow_marker(rows: Sequence[Row]) -> Entries:
    """Return the legend's entry for intervals that cannot be relied on; none where all can."""
    if all(row["interval_reliable"] for row in rows):
        return []
    return [("hollow: unreliable or no interval", marker(Mark("0.3", "o"), hollow=True))]


def shift_markers(shifts: Collection[str]) -> Entries:
    """Return the legend's markers of these shifts, in the order of Table 20."""
    return [(SHIFTS[shift], marker(SHIFT_MARKS[shift])) for shift in SHIFTS if shift in shifts]


def legend_above(figure: Figure, entries: Sequence[tuple[str, Artist]], columns: int = 5) -> None:
    """Draw a legend above everything; none where there are no entries."""
    if entries:
        names, artists = zip(*entries, strict=True)
        figure.legend(artists, names, loc="outside upper center", ncols=columns)
