"""The bound against R-EMID over methods and subsets (the paper's Figure 5b), with the line where both are equal."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.marks import GUIDE
from reports.figures.scatter import Point, ScatterPanel, correlation_words, draw_scatter, stored_correlation
from reports.figures.words import UNITS, caption, panel_words
from reports.house_style import Chart, house_style
from reports.run_data import MethodKey, Row, RunData
from scoring.statistics import RELIABLE_CLUSTERS

NEEDS = "The bound against R-EMID is not drawn: scores/bounds.json has no bound with an R-EMID beside it."
FORMS = {"calibrated": "Calibrated form", "theorem": "Theorem 3.4 as written"}
"""Forms drawn, side by side; the corrected one is a diagnostic."""
FIELDS = ("base_model", "method", "subset", "shift", "form", "unit", "bound", "remid", "remid_ci_low", "remid_ci_high")
MARGIN = 0.06


def bound_against_remid(run: RunData) -> Chart | None:
    """Draw a panel a form and base model."""
    rows = [
        row
        for base in run.base_models
        for form in FORMS
        for row in run.rows("bounds", base_model=base, form=form)
        if row["bound"] is not None and row["remid"] is not None
    ]
    panels = _panels(run, rows)
    if not panels:
        return None
    with house_style():
        figure = _draw(panels)
    exceeding = "; ".join(f"{', '.join(panel.name)}: {_exceeding(panel)}" for panel in panels)
    said = [
        "Each point is a method on a shifted subset: R-EMID to the right, its upper bound upwards. On the line both "
        "are equal; in the shaded part R-EMID exceeds its bound.",
        f"Points there: {exceeding}.",
        correlation_words(panels),
        "The calibrated form bounds nothing; it is where the line through the paper's Table 12 puts a shift.",
        _unreliable(rows),
    ]
    return Chart(
        name="bound_against_remid",
        title="Upper bound against R-EMID",
        caption=caption(run, said),
        figure=figure,
        data=tuple({name: row[name] for name in FIELDS} for row in rows),
        sources=("scores/bounds.json",),
    )


def _panels(run: RunData, rows: Sequence[Row]) -> list[ScatterPanel]:
    panels = []
    for base in run.base_models:
        for form, words in FORMS.items():
            own = [row for row in rows if (row["base_model"], row["form"]) == (base, form)]
            if own:
                unit = UNITS[own[0]["unit"]]
                name = panel_words(run, words, base)
                points = [
                    Point(MethodKey(base, row["method"]), row["subset"], row["remid"], row["bound"]) for row in own
                ]
                stored = stored_correlation(run, points, name="bound_and_remid", form=form)
                panels.append(ScatterPanel(name, f"R-EMID ({unit})", f"upper bound ({unit})", points, stored))
    return panels


def _draw(panels: Sequence[ScatterPanel]) -> Figure:
    line = [("bound = R-EMID", Line2D([], [], color=GUIDE, linewidth=0.8))]
    figure, every = draw_scatter(panels, len(FORMS), line)
    for axes, panel in zip(every, panels, strict=True):
        _draw_line(axes, panel.points)
    return figure


def _draw_line(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the line through the origin at which both are equal, and shade what is below it."""
    left, right = _range([point.x for point in points])
    low, high = _range([point.y for point in points])
    line = np.array([min(left, low), max(right, high)])
    axes.plot(line, line, color=GUIDE, linewidth=0.8, zorder=2)
    axes.fill_between(line, line, line[0], color="0.93", linewidth=0, zorder=0)
    axes.set(xlim=(left, right), ylim=(low, high))


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(0.0, *values), max(0.0, *values)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _exceeding(panel: ScatterPanel) -> str:
    return f"{sum(point.x > point.y for point in panel.points)} of {len(panel.points)}"


def _unreliable(rows: Sequence[Row]) -> str:
    known = [row for row in rows if row["remid_ci_low"] is not None]
    if not known:
        return "R-EMID has no intervals here."
    unreliable = sum(not row["remid_interval_reliable"] for row in known)
    return (
        f"Intervals of R-EMID are in the file and not drawn; of {len(known)}, {unreliable} cannot be relied on (fewer "
        f"than {RELIABLE_CLUSTERS} personas or characters)."
    )
