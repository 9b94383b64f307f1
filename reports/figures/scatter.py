"""Scatter plots over (method, subset) points, coloured and marked by shift, and what captions say of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.subsets import subset
from reports.figures.marks import PAPER, SHIFT_MARKS, legend_above, shift_markers
from reports.run_data import MethodKey, RunData
from reports.table import interval_text
from scoring.agreement import MIN_POINTS, Correlation, correlations

COLUMNS = 3
ALL = "all"
"""Shift, in `agreement.json`, of what is over all subsets."""
SEED = 0
"""Of the resamples behind a correlation's interval."""


@dataclass(frozen=True)
class Point:
    """Two quantities of one method on one subset."""

    key: MethodKey
    subset: str
    x: float
    y: float

    @property
    def shift(self) -> str:
        """The subset's shift."""
        return subset(self.subset).shift


@dataclass(frozen=True)
class ScatterPanel:
    """Points that share both units; at least one."""

    name: tuple[str, ...]
    """Parts of its name: lines of its title."""
    x_label: str
    y_label: str
    points: Sequence[Point]
    correlation: Correlation | None = None
    """Of exactly these points where the run has it, so that captions and tables say the same."""


def stored_correlation(run: RunData, points: Sequence[Point], **wanted: object) -> Correlation | None:
    """Return Pearson's correlation over all subsets from `agreement.json`; None where it is not of these points."""
    rows = [row for row in run.rows("agreement", shift=ALL, **wanted) if row["n_points"] == len(points)]
    if len(rows) != 1 or {point.key.base_model for point in points} != set(run.base_models):
        return None
    return Correlation(rows[0]["pearson"], rows[0]["pearson_low"], rows[0]["pearson_high"])


def draw_scatter(
    panels: Sequence[ScatterPanel], columns: int = COLUMNS, entries: Sequence[tuple[str, Artist]] = ()
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of at least one panel, and its axes in the panels' order.

    Args:
        panels: in reading order.
        columns: panels side by side, at most.
        entries: what the legend has besides the shifts.
    """
    columns = min(columns, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(0.4 + max(4.6, 3.2 * columns), 0.5 + 2.7 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        _draw_points(axes, panel.points)
        axes.set(xlabel=panel.x_label, ylabel=panel.y_label, title="\n".join(panel.name))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    shifts = shift_markers({point.shift for panel in panels for point in panel.points})
    legend_above(figure, [*shifts, *entries], columns=4 if columns == 1 else 5)
    return figure, list(grid[: len(panels)])


def _draw_points(axes: Axes, points: Sequence[Point]) -> None:
    for shift, mark in SHIFT_MARKS.items():
        own = [point for point in points if point.shift == shift]
        if own:
            drawn = axes.scatter([point.x for point in own], [point.y for point in own], s=22, marker=mark.marker)
            drawn.set(facecolor=mark.colour, edgecolor=PAPER, linewidth=0.5, zorder=3)


def correlation_words(panels: Sequence[ScatterPanel]) -> str:
    """Say how the two quantities of each panel correlate, with an interval; or why that is not said."""
    said = "; ".join(f"{', '.join(panel.name)}: {_correlation(panel)}" for panel in panels)
    return f"Pearson's correlation, with a 95 % interval over resampled methods and subsets. {said}."


def _correlation(panel: ScatterPanel) -> str:
    n_points = len(panel.points)
    if n_points < MIN_POINTS:
        return f"not given below {MIN_POINTS} points ({n_points})"
    found = panel.correlation or _correlate(panel.points)
    if found.value is None:
        return f"none, as one of the two is the same at all {n_points} points"
    ends = interval_text(found.low, found.high, digits=2) or "(no interval)"
    return f"{found.value:.2f} {ends} over {n_points} points"


def _correlate(points: Sequence[Point]) -> Correlation:
    x, y = [point.x for point in points], [point.y for point in points]
    return correlations(x, y, [point.key for point in points], [point.subset for point in points], seed=SEED).pearson
