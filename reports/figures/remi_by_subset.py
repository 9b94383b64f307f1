"""R-EMI by method and subset (the paper's Figure 6): a panel a subset, a row a method, all on one scale."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.subsets import subset
from reports.figures.estimates import draw_estimates, estimate, view, view_words
from reports.figures.marks import (
    base_markers,
    hollow_marker,
    legend_above,
    name_rows,
    names_width,
    place_mark,
    zero_line,
)
from reports.figures.words import SHIFTS, caption, counted, interval_words, method_words, subset_words
from reports.house_style import Chart, house_style
from reports.run_data import TOKEN, Row, RunData

NEEDS = "R-EMI by subset is not drawn: scores/remi.json has no estimate in nats a token."
FIELDS = ("base_model", "method", "subset", "shift", "remi", "ci_low", "ci_high", "interval_reliable")
COLUMNS = 6
"""Panels side by side, at most; with twelve subsets the lower row begins with the character shift."""
LANE = 0.8
"""Share of a row's height in which its base models stand."""


def remi_by_subset(run: RunData) -> Chart | None:
    """Draw R-EMI with its intervals; several base models stand in one row, each with its own marker."""
    every = run.rows("remi", unit=TOKEN)
    rows = [row for row in every if row["remi"] is not None]
    if not rows:
        return None
    estimates = [estimate(row, "remi") for row in rows]
    limits = view(estimates)
    with house_style():
        figure = _draw(run, rows, limits)
    without = len(every) - len(rows)
    said = [
        "R-EMI of each method on each subset, in nats a token, all panels on one scale. Higher is better; at 0 a "
        "method's responses score as the golden ones do.",
        interval_words(rows, "their markers are hollow"),
        view_words(estimates, limits),
        f"{counted(without, 'estimate')} missing." if without else "",
    ]
    return Chart(
        name="remi_by_subset",
        title="R-EMI by method and subset",
        caption=caption(run, said),
        figure=figure,
        data=tuple({name: row[name] for name in FIELDS} for row in rows),
        sources=("scores/remi.json",),
    )


def _draw(run: RunData, rows: Sequence[Row], limits: tuple[float, float]) -> Figure:
    keys = [key for key in run.subsets if any(row["subset"] == key for row in rows)]
    methods = sorted({key.method for key in run.methods}, key=lambda method: run.spec(method).get("order", 0))
    lines = math.ceil(len(keys) / COLUMNS)
    columns = math.ceil(len(keys) / lines)
    height = 0.9 + lines * (0.5 + 0.17 * len(methods) * max(1.0, 0.6 * len(run.base_models)))
    names = [method_words(run, method) for method in methods]
    figure = Figure(figsize=(0.5 + names_width(names) + 1.1 * columns, height), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, axes in enumerate(panels):
        if place < len(keys):
            own = [row for row in rows if row["subset"] == keys[place]]
            name_rows(axes, names)
            _draw_panel(axes, run, own, methods, limits)
            _head(axes, keys[place], last=place + columns >= len(keys))
        else:
            axes.set_axis_off()
    figure.supxlabel("R-EMI (nats a token)", fontsize=9)
    legend_above(figure, [*base_markers(run), *hollow_marker(rows)])
    return figure


def _draw_panel(
    axes: Axes, run: RunData, rows: Sequence[Row], methods: Sequence[str], limits: tuple[float, float]
) -> None:
    zero_line(axes)
    bases = run.base_models
    for place, base in enumerate(bases):
        own = [row for row in rows if row["base_model"] == base]
        offset = LANE * ((place + 0.5) / len(bases) - 0.5)
        heights = [methods.index(row["method"]) + offset for row in own]
        draw_estimates(axes, [estimate(row, "remi") for row in own], heights, place_mark(place), limits)


def _head(axes: Axes, key: str, *, last: bool) -> None:
    name, shift = subset_words(key), SHIFTS[subset(key).shift]
    axes.set_title(name if name == shift else f"{name}\n{shift}", fontsize=8)
    axes.tick_params(axis="x", labelbottom=last)
