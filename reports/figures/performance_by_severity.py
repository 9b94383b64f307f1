"""R-EMI and judges' scores against how far each subset lies from the training distribution (the paper's Figure 2).

Severity is the joint divergence of persona, character and dialogue from the in-distribution test. It has a floor: two
samples of one distribution diverge too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.subsets import subset
from reports.figures.labels import Labelled, label_points
from reports.figures.marks import GUIDE, SHIFT_MARKS, Entries, legend_above, shift_markers
from reports.figures.words import ID, caption, metric_words, panel_words, span_words, unscored_words
from reports.house_style import Chart, house_style
from reports.judge_means import Point, judge_means, judge_metrics
from reports.run_data import TOKEN, MethodKey, Row, RunData
from reports.table import Value

NEEDS = (
    "Performance by severity is not drawn: no subset has both a joint divergence (scores/divergences.json) and R-EMI "
    "or judges' scores."
)
COLUMNS = 3
PANEL = 2.4, 2.2
"""About how wide and high the axes of a panel are, in inches."""


@dataclass(frozen=True)
class Level:
    """One measure on one subset, over the methods of a base model."""

    base_model: str | None
    metric: str | None
    """Of the judges; None for R-EMI."""
    subset: str
    divergence: Row | None
    """Of `divergences.json`; None in distribution, from which divergences are taken."""
    values: tuple[float, ...]
    """One a method."""

    @property
    def shift(self) -> str:
        """The subset's shift."""
        return subset(self.subset).shift

    @property
    def name(self) -> str:
        """What is measured."""
        return "R-EMI" if self.metric is None else metric_words(self.metric)

    @property
    def mean(self) -> float:
        """Mean over the methods."""
        return sum(self.values) / len(self.values)


def performance_by_severity(run: RunData) -> Chart | None:
    """Draw a panel a measure and base model: subsets by severity, the methods' mean and range upwards."""
    levels = list(_levels(run))
    if not any(level.divergence for level in levels):
        return None
    with house_style():
        figure = _draw(run, levels)
    judged = any(level.metric for level in levels)
    own_unit = ", judges' scores in each metric's own unit" if judged else ""
    said = [
        "Each marker is a subset: to the right the joint divergence of its personas, characters and dialogues from "
        "the in-distribution test, in nats (at most ln 2 = 0.693); upwards the mean over the methods that have a "
        f"value, whose range the bar spans (it is no interval). R-EMI is in nats a token{own_unit}.",
        "The dashed line is the mean in distribution. Names that have no room are left out.",
        _floor_words([level.divergence for level in levels if level.divergence]),
        unscored_words(run) if judged else "",
    ]
    return Chart(
        name="performance_by_severity",
        title="Performance by severity of the shift",
        caption=caption(run, said),
        figure=figure,
        data=tuple(_numbers(level) for level in levels),
        sources=("scores/divergences.json", "scores/remi.json", *(["scores/judges.json"] if judged else [])),
    )


def _levels(run: RunData) -> Iterator[Level]:
    """Yield the levels in distribution and of the subsets that have a joint divergence."""
    joint = {row["subset"]: row for row in run.rows("divergences", component="joint") if row["raw"] is not None}
    for metric in (None, *judge_metrics(run)):
        values = _remi(run) if metric is None else judge_means(run, metric)
        for base in run.base_models:
            for name in run.subsets:
                own = tuple(value for (key, of), value in values.items() if (key.base_model, of) == (base, name))
                if own and (name == ID or name in joint):
                    yield Level(base, metric, name, joint.get(name), own)


def _remi(run: RunData) -> dict[Point, float]:
    rows = [row for row in run.rows("remi", unit=TOKEN) if row["remi"] is not None]
    return {(MethodKey(row["base_model"], row["method"]), row["subset"]): row["remi"] for row in rows}


def _draw(run: RunData, levels: Sequence[Level]) -> Figure:
    panels = list(dict.fromkeys((level.base_model, level.metric) for level in levels if level.divergence))
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    width, height = PANEL
    figure = Figure(figsize=(0.6 + max(4, (width + 0.8) * columns), 0.6 + (height + 0.7) * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (base, metric) in zip(grid, panels, strict=False):
        own = [level for level in levels if (level.base_model, level.metric) == (base, metric)]
        _draw_panel(axes, own)
        axes.set_title("\n".join(panel_words(run, own[0].name, base)))
    guides: Entries = [
        ("in distribution", Line2D([], [], color=GUIDE, linestyle="--")),
        ("floor of finite samples", Line2D([], [], color=GUIDE, linestyle=":")),
    ]
    shifts = shift_markers({level.shift for level in levels if level.divergence})
    legend_above(figure, [*shifts, *guides], columns=3 if columns == 1 else 5)
    return figure


def _draw_panel(axes: Axes, levels: Sequence[Level]) -> None:
    for level in levels:
        if level.divergence is None:
            axes.axhline(level.mean, color=GUIDE, linewidth=1, linestyle="--", zorder=1)
            continue
        mark, severity = SHIFT_MARKS[level.shift], level.divergence["raw"]
        axes.vlines(severity, min(level.values), max(level.values), color=mark.colour, linewidth=0.8, alpha=0.6)
        axes.scatter(severity, level.mean, s=26, marker=mark.marker, color=mark.colour, zorder=3)
    for floor in {level.divergence["null_mean"] for level in levels if level.divergence} - {None}:
        axes.axvline(floor, color=GUIDE, linewidth=1, linestyle=":", zorder=1)
    axes.set(xlabel="joint divergence (nats)", ylabel="mean score" if levels[0].metric else "R-EMI (nats a token)")
    axes.margins(x=0.12)
    labels = [
        Labelled(level.divergence["raw"], level.mean, subset(level.subset).heading)
        for level in levels
        if level.divergence
    ]
    label_points(axes, labels, PANEL)


def _floor_words(divergences: Sequence[Row]) -> str:
    floors = [row["null_mean"] for row in divergences if row["null_mean"] is not None]
    if not floors:
        return "The floor that finite samples give is not known."
    floor = span_words(floors, ".3f")
    return f"Two samples of one distribution and of these sizes diverge by {floor} nats (dotted)."


def _numbers(level: Level) -> dict[str, Value]:
    of = level.divergence or {"raw": None, "null_mean": None}
    return {
        "base_model": level.base_model,
        "measure": "remi" if level.metric is None else level.metric,
        "subset": level.subset,
        "shift": level.shift,
        "joint_divergence": of["raw"],
        "floor": of["null_mean"],
        "mean": level.mean,
        "lowest": min(level.values),
        "highest": max(level.values),
        "n_methods": len(level.values),
    }
