"""R-EMI against judges' scores over methods and subsets (the paper's Figure 4): a panel a metric and base model."""

from collections.abc import Sequence

from reports.figures.scatter import Point, ScatterPanel, correlation_words, draw_scatter, stored_correlation
from reports.figures.words import caption, metric_words, panel_words, unscored_words
from reports.house_style import Chart, house_style
from reports.judge_means import judge_means, judge_metrics
from reports.run_data import TOKEN, MethodKey, RunData

NEEDS = "R-EMI against judges is not drawn: scores/judges.json has no score of a method and subset that have R-EMI."


def remi_against_judges(run: RunData) -> Chart | None:
    """Draw the mean score against R-EMI, a point a method and subset."""
    found = {metric: _points(run, metric) for metric in judge_metrics(run)}
    panels = [
        panel
        for base in run.base_models
        for metric, points in found.items()
        if (panel := _panel(run, metric, [point for point in points if point.key.base_model == base]))
    ]
    if not panels:
        return None
    with house_style():
        figure, _ = draw_scatter(panels)
    said = [
        "Each point is a method on a subset: R-EMI in nats a token to the right, the mean of the judges' scores over "
        "the subset's samples upwards, in the metric's own unit. No error bars.",
        correlation_words(panels),
        unscored_words(run),
    ]
    data = [
        {
            "base_model": point.key.base_model,
            "method": point.key.method,
            "subset": point.subset,
            "shift": point.shift,
            "metric": metric,
            "remi": point.x,
            "mean_score": point.y,
        }
        for metric, points in found.items()
        for point in points
    ]
    return Chart(
        name="remi_against_judges",
        title="R-EMI against judges' scores",
        caption=caption(run, said),
        figure=figure,
        data=tuple(data),
        sources=("scores/remi.json", "scores/judges.json"),
    )


def _points(run: RunData, metric: str) -> list[Point]:
    means = judge_means(run, metric)
    rows = [row for row in run.rows("remi", unit=TOKEN) if row["remi"] is not None]
    places = [(MethodKey(row["base_model"], row["method"]), row["subset"], row["remi"]) for row in rows]
    return [Point(key, subset, remi, means[key, subset]) for key, subset, remi in places if (key, subset) in means]


def _panel(run: RunData, metric: str, points: Sequence[Point]) -> ScatterPanel | None:
    if not points:
        return None
    name = panel_words(run, metric_words(metric), points[0].key.base_model)
    stored = stored_correlation(run, points, name="remi_and_judges", metric=metric)
    return ScatterPanel(name, "R-EMI (nats a token)", "mean score", points, stored)
