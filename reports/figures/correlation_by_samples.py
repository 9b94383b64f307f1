"""How the correlation of the bound with R-EMID settles as there are more samples (the paper's Figure 5a)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.marks import GUIDE, SHIFT_MARKS, Mark, legend_above, marker
from reports.figures.words import SHIFTS, caption
from reports.house_style import Chart, house_style
from reports.run_data import Row, RunData

NEEDS = (
    "The correlation of bound and R-EMID by number of samples is not drawn: scores/agreement.json has no correlation "
    "over draws of fewer samples."
)
NAME = "bound_convergence"
ALL = "all"
"""Shift of the rows over all subsets."""
MARKS = {**SHIFT_MARKS, ALL: Mark("#CC79A7", "v")}
WORDS = {**SHIFTS, ALL: "All shifts"}
FIELDS = ("form", "shift", "n_samples", "n_points", "n_draws", "pearson", "draws_low", "draws_high")
SPREAD = 0.012
"""Between the lines of two shifts, as a share of the largest number of samples, so that whiskers stand side by side."""


def correlation_by_samples(run: RunData) -> Chart | None:
    """Draw a line a shift, and the range of the draws as whiskers."""
    rows = [row for row in run.rows("agreement", name=NAME) if row["pearson"] is not None]
    if not rows:
        return None
    with house_style():
        figure = _draw(rows)
    said = [
        "Pearson's correlation of the bound (calibrated form) with R-EMID over methods and subsets, by the median "
        "number of samples a subset; where fewer than all were drawn, the mean over the draws.",
        "Whiskers hold the middle 95 % of the draws; they are no intervals over methods or subsets. Points of one size "
        "are moved apart sideways.",
    ]
    return Chart(
        name="correlation_by_samples",
        title="Correlation of bound and R-EMID by number of samples",
        caption=caption(run, said),
        figure=figure,
        data=tuple({name: row[name] for name in FIELDS} for row in rows),
        sources=("scores/agreement.json",),
    )


def _draw(rows: Sequence[Row]) -> Figure:
    shifts = [shift for shift in WORDS if any(row["shift"] == shift for row in rows)]
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=GUIDE, linewidth=0.8, zorder=1)
    lowest = min(0.0, *(row[end] for row in rows for end in ("pearson", "draws_low") if row[end] is not None))
    step = SPREAD * max(row["n_samples"] for row in rows)
    for place, shift in enumerate(shifts):
        own = sorted((row for row in rows if row["shift"] == shift), key=lambda row: row["n_samples"])
        _draw_line(axes, own, MARKS[shift], step * (place - (len(shifts) - 1) / 2))
    axes.set(xlabel="samples a subset", ylabel="Pearson correlation", ylim=(lowest - 0.05, 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=(1, 2, 5, 10), integer=True))
    legend_above(figure, [(WORDS[shift], marker(MARKS[shift])) for shift in shifts], columns=4)
    return figure


def _draw_line(axes: Axes, rows: Sequence[Row], mark: Mark, offset: float) -> None:
    places = [row["n_samples"] + offset for row in rows]
    for place, row in zip(places, rows, strict=True):
        if row["draws_low"] is not None:
            axes.vlines(place, row["draws_low"], row["draws_high"], color=mark.colour, linewidth=1)
    axes.plot(
        places, [row["pearson"] for row in rows], color=mark.colour, marker=mark.marker, markersize=5, linewidth=1
    )
