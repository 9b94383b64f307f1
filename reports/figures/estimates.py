"""Estimates with their intervals as markers with whiskers, on a range that one wide interval cannot flatten."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from reports.figures.marks import PAPER, Mark
from reports.figures.words import counted
from reports.run_data import Row

TAIL, FLATTENED = 0.05, 1.5
"""Share of the intervals' ends on each side that may be left out where the range is then so many times smaller."""
MARGIN = 0.06


@dataclass(frozen=True)
class Estimate:
    """A value, its interval (None where there is none), and whether its marker is hollow."""

    value: float
    interval: tuple[float, float] | None
    hollow: bool


def estimate(row: Row, value: str) -> Estimate:
    """Return a row's value and interval, hollow where the interval cannot be relied on or is missing."""
    ends = None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])
    return Estimate(row[value], ends, not row["interval_reliable"])


def view(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return a range that holds zero, every value and the intervals, but for a few that would flatten the others."""
    values = [0.0, *(one.value for one in estimates)]
    ends = np.array([one.interval for one in estimates if one.interval is not None]).reshape(-1, 2)
    low, high = _span(values, ends, 0.0)
    if high - low > FLATTENED * np.diff(_span(values, ends, TAIL))[0]:
        low, high = _span(values, ends, TAIL)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _span(values: Sequence[float], ends_N_2: NDArray[np.float64], tail: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if not len(ends_N_2):
        return low, high
    of_ends = np.quantile(ends_N_2[:, 0], tail), np.quantile(ends_N_2[:, 1], 1 - tail)
    return min(low, float(of_ends[0])), max(high, float(of_ends[1]))


def view_words(estimates: Sequence[Estimate], limits: tuple[float, float]) -> str:
    """Say how many intervals leave the range; empty where all fit."""
    outside = sum(
        one.interval is not None and not limits[0] <= min(one.interval) <= max(one.interval) <= limits[1]
        for one in estimates
    )
    return f"{counted(outside, 'interval')} wider than the panel, ending in an arrowhead." if outside else ""


def draw_estimates(
    axes: Axes, estimates: Sequence[Estimate], heights: Sequence[float], mark: Mark, limits: tuple[float, float]
) -> None:
    """Draw a marker a value and a whisker an interval, each at its height, over a range of the x axis."""
    known = [(height, *one.interval) for height, one in zip(heights, estimates, strict=True) if one.interval]
    axes.hlines(*np.array(known).reshape(-1, 3).T, color=mark.colour, linewidth=1, zorder=2)
    for edge, sign, outside in (
        (limits[0], "<", [height for height, low, _ in known if low < limits[0]]),
        (limits[1], ">", [height for height, _, high in known if high > limits[1]]),
    ):
        (heads,) = axes.plot([edge] * len(outside), outside, sign, color=mark.colour, markersize=4, clip_on=False)
        heads.set_in_layout(False)  # without points, it would reach to the corner of the figure
    axes.scatter(
        [one.value for one in estimates],
        heights,
        s=18,
        marker=mark.marker,
        edgecolors=mark.colour,
        facecolors=[PAPER if one.hollow else mark.colour for one in estimates],
        linewidths=1,
        zorder=3,
    )
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.tick_params(axis="x", labelsize=8)
