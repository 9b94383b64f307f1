"""R-EMI and EMI as more and more golden responses are damaged: a panel a kind of damage, a line a measure.

R-EMI and EMI have units of their own, so each has a row of panels with a scale of its own. It draws what
`degradations.json` of `rpm-methods degradations` holds.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.marks import GUIDE, PAPER, Entries, hollow_marker, legend_above, marker, place_mark
from reports.figures.words import interval_words
from reports.fonts import drawable
from reports.house_style import Chart, house_style
from reports.run_data import Row

AVERAGE = "average"
AXES = {"nats_per_token": "R-EMI (nats a token)", "nats_per_embedding": "EMI (nats an embedding)"}
"""Units that are drawn, one a row of panels, and the names of their axes."""
FIELDS = ("measure", "kind", "unit", "share", "value", "ci_low", "ci_high", "interval_reliable")
PANEL = 1.55, 1.9
"""About how wide and high the axes of a panel are, in inches."""
SPREAD = 4.0
"""Between the lines of a panel to the right, in per cents of damaged responses, so that whiskers do not meet."""
LONGEST_LABEL = 48


def degradation_chart(content: Mapping[str, Any]) -> Chart | None:
    """Draw the averages over subsets with their intervals at each share; None where there is none.

    Args:
        content: what `degradations.json` holds.
    """
    averages = [row for row in content["points"] if row["subset"] == AVERAGE and row["unit"] in AXES]
    rows = [row for row in averages if row["value"] is not None]
    if not rows:
        return None
    with house_style():
        figure = _draw(content, rows)
    said = (
        "Value on average over the subsets by the share of damaged golden responses, to the right; a metric that "
        "notices a damage falls. Dashed where it rises from one share to the next. Lines are set apart by a little to "
        "the right.",
        interval_words(rows, "their markers are hollow"),
    )
    return Chart(
        name="degradations",
        title="Values as more golden responses are damaged",
        caption=" ".join(said),
        figure=figure,
        data=tuple({name: row[name] for name in FIELDS} for row in rows),
        sources=("degradations.json",),
    )


def _draw(content: Mapping[str, Any], rows: Sequence[Row]) -> Figure:
    kinds = [kind for kind in content["settings"]["kinds"] if any(row["kind"] == kind for row in rows)]
    units = [unit for unit in AXES if any(row["unit"] == unit for row in rows)]
    width, height = PANEL
    size = 0.8 + width * max(3, len(kinds)), 0.9 + height * len(units)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(units), len(kinds), sharex=True, sharey="row", squeeze=False)
    for unit, panels in zip(units, grid, strict=True):
        panels[0].set_ylabel(AXES[unit])
        for kind, axes in zip(kinds, panels, strict=True):
            _draw_panel(axes, content["measures"], [row for row in rows if (row["kind"], row["unit"]) == (kind, unit)])
    for kind, axes in zip(kinds, grid[0], strict=True):
        axes.set_title(kind.replace("_", " ").capitalize())
    figure.supxlabel("damaged responses (%)", fontsize=9)
    legend_above(figure, _legend(content["measures"], rows), columns=2)
    return figure


def _draw_panel(axes: Axes, measures: Sequence[Row], rows: Sequence[Row]) -> None:
    axes.axhline(0, color=GUIDE, linewidth=0.8, zorder=1)
    drawn = [measure["name"] for measure in measures if any(row["measure"] == measure["name"] for row in rows)]
    for place, measure in enumerate(measures):
        own = sorted((row for row in rows if row["measure"] == measure["name"]), key=lambda row: row["share"])
        if own:
            offset = SPREAD * (drawn.index(measure["name"]) - (len(drawn) - 1) / 2)
            _draw_line(axes, own, offset, place)
    axes.set_xticks([0, 50, 100])


def _draw_line(axes: Axes, rows: Sequence[Row], offset: float, place: int) -> None:
    """Draw one measure: whiskers, then a dash or a line a step, then a marker a share."""
    mark = place_mark(place)
    points = [(100 * row["share"] + offset, row["value"]) for row in rows]
    for (x, _), row in zip(points, rows, strict=True):
        if row["ci_low"] is not None:
            axes.vlines(x, row["ci_low"], row["ci_high"], color=mark.colour, linewidth=1, zorder=2)
    for (x, value), (next_x, next_value) in pairwise(points):
        style = "--" if next_value > value else "-"
        axes.plot([x, next_x], [value, next_value], linestyle=style, color=mark.colour, linewidth=1.2, zorder=2)
    axes.scatter(
        [x for x, _ in points],
        [value for _, value in points],
        s=16,
        marker=mark.marker,
        edgecolors=mark.colour,
        facecolors=[mark.colour if row["interval_reliable"] else PAPER for row in rows],
        linewidths=1,
        zorder=3,
    )


def _legend(measures: Sequence[Row], rows: Sequence[Row]) -> Entries:
    own = [
        (drawable(f"{measure['quantity']}, {measure['label']}", LONGEST_LABEL), marker(place_mark(place)))
        for place, measure in enumerate(measures)
    ]
    dashed = ("dashed: rises", Line2D([], [], color="0.3", linestyle="--", linewidth=1.2))
    return [*own, dashed, *hollow_marker(rows)]
