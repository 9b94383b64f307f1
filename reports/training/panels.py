"""Small multiples over the steps of a training: what a panel holds, how it is drawn and written.

Only what was logged is drawn: None is a gap in its line, and a point without a neighbour has a marker. The same curves
give the same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from reports.house_style import COLOURS, house_style

LINES, MARKERS = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1))), ("o", "s", "^", "D", "v", "X", "P")
COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 2.8, 2.25
"""In inches: three stand side by side on a page upright."""
FEW_STEPS = 25
"""Up to so many points each has a marker; above, those without a neighbour, and some to tell curves apart."""
MARKED = 8
TITLE_SIZE = 9
LABEL_SIZE = 6.5
"""Of the labels of stretches, in points."""
LABEL_HEIGHT = 8
"""From one row of labels to the next, in points."""
LABEL_WIDTH = 0.022
"""Of a character of a label, as a share of the x axis."""


@dataclass(frozen=True)
class Curve:
    """One line of a panel, in the panel's unit; None is a gap."""

    label: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    spread: tuple[float | None, ...] = ()
    """Half the height of a band around the line; empty where there is no band."""


@dataclass(frozen=True)
class Panel:
    """Curves that share a unit."""

    title: str
    axis: str
    """Label of the y axis: what is shown, with its unit."""
    curves: tuple[Curve, ...]
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stretch:
    """A stretch of the x axis that has a name, written above the panel where it begins."""

    begin: float
    end: float
    label: str
    shaded: bool


def draw_panels(panels: Sequence[Panel], stretches: Sequence[Stretch] = ()) -> Figure:
    """Return a figure of at least one panel, all of them over the same range of steps.

    Args:
        panels: in their order.
        stretches: what the x axis is made of, from left to right; without any it is as long as the curves.
    """
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    with house_style():
        figure = Figure(figsize=(PANEL_WIDTH * columns, PANEL_HEIGHT * lines), layout="constrained")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(lines, columns, place)
            _draw_panel(axes, panel)
            axes.set_xlim(*_range(panels, stretches))
            _draw_stretches(axes, panel.title, stretches)
    return figure


def _range(panels: Sequence[Panel], stretches: Sequence[Stretch]) -> tuple[float, float]:
    steps = [step for panel in panels for curve in panel.curves for step in curve.steps]
    first, last = (stretches[0].begin, stretches[-1].end) if stretches else (min(steps), max(steps))
    margin = max(0.2, 0.02 * (last - first))
    return first - margin, last + margin


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for place, curve in enumerate(panel.curves):
        _draw_curve(axes, curve, place, tell_apart=len(panel.curves) > 1)
    axes.set_title(panel.title, fontsize=TITLE_SIZE)
    axes.set_xlabel("step")
    axes.set_ylabel(panel.axis)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.6g}"))
    if panel.limits:
        axes.set_ylim(*panel.limits)
    if len(panel.curves) > 1 or panel.curves[0].spread:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=8)


def _draw_curve(axes: Axes, curve: Curve, place: int, *, tell_apart: bool) -> None:
    colour, line, marker = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
    values = [math.nan if value is None else value for value in curve.values]
    alone = [
        i for i in range(len(values)) if all(map(math.isnan, (*values[max(i - 1, 0) : i], *values[i + 1 : i + 2])))
    ]
    every = 1 if len(values) <= FEW_STEPS else len(values) // MARKED if tell_apart else len(values) + 1
    marked = sorted({*alone, *range(every - 1, len(values), every)})
    label = curve.label.lstrip("_")  # matplotlib leaves names with an underscore in front out of a legend
    (drawn,) = axes.plot(curve.steps, values, color=colour, linestyle=line, linewidth=1.2, label=label)
    drawn.set(marker=marker, markersize=4, markevery=marked, markerfacecolor="none" if place else colour)
    if curve.spread:
        spread = [math.nan if half is None else half for half in curve.spread]
        low, high = ([v + sign * s for v, s in zip(values, spread, strict=True)] for sign in (-1, 1))
        label = "± standard deviation"
        axes.fill_between(curve.steps, low, high, color=colour, alpha=0.2, linewidth=0, label=label)
        axes.vlines(
            [curve.steps[i] for i in alone], [low[i] for i in alone], [high[i] for i in alone], colour, linewidth=0.8
        )


def _draw_stretches(axes: Axes, title: str, stretches: Sequence[Stretch]) -> None:
    """Shade stretches, draw a line and write the label where each begins, and lift the title above the labels."""
    if not stretches:
        return
    rows = label_rows(stretches)
    for stretch, row in zip(stretches, rows, strict=True):
        if stretch.shaded:
            axes.axvspan(stretch.begin, stretch.end, color="0.92", linewidth=0, zorder=0)
        axes.axvline(stretch.begin, color="0.6", linewidth=0.6, zorder=1)
        axes.annotate(
            stretch.label,
            (stretch.begin, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 2 + LABEL_HEIGHT * row),
            textcoords="offset points",
            fontsize=LABEL_SIZE,
            color="0.35",
            annotation_clip=False,
        )
    axes.set_title(title, fontsize=TITLE_SIZE, pad=6 + LABEL_HEIGHT * (max(rows) + 1))


def label_rows(stretches: Sequence[Stretch]) -> list[int]:
    """Return for each stretch the lowest row, from 0, in which its label meets none of those before it."""
    whole = stretches[-1].end - stretches[0].begin
    ends: list[float] = []  # where the last label of each row ends
    rows = []
    for stretch in stretches:
        row = next((row for row, end in enumerate(ends) if end <= stretch.begin), len(ends))
        ends[row : row + 1] = [stretch.begin + LABEL_WIDTH * (len(stretch.label) + 1) * whole]
        rows.append(row)
    return rows
