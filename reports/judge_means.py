"""Judges' scores of a run as means over the samples of each method and subset; unscored answers are left out."""

from collections import defaultdict
from collections.abc import Mapping

from reports.run_data import MethodKey, RunData
from scoring.judge.scores import ENSEMBLE

Point = tuple[MethodKey, str]
"""A method on a base model, and a subset."""


def judge_metrics(run: RunData) -> tuple[str, ...]:
    """Return the metrics that the judges gave, in the order of the file."""
    return tuple(dict.fromkeys(str(row["metric"]) for row in run.scores["judges"]))


def judge_means(run: RunData, metric: str) -> Mapping[Point, float]:
    """Return the mean of a metric at each point that has a score.

    The judges' average is taken where the file has one, else the mean of all judges of a sample.
    """
    names = {run.responses_name(key): key for key in run.methods}
    rows = [row for row in run.rows("judges", metric=metric) if row["value"] is not None and row["method"] in names]
    ensemble = [row for row in rows if row["judge"] == ENSEMBLE]
    by_sample: dict[tuple[Point, str], list[float]] = defaultdict(list)
    for row in ensemble or rows:
        by_sample[(names[row["method"]], row["subset"]), row["sample_id"]].append(float(row["value"]))
    by_point: dict[Point, list[float]] = defaultdict(list)
    for (point, _), values in by_sample.items():
        by_point[point].append(sum(values) / len(values))
    return {point: sum(values) / len(values) for point, values in by_point.items()}
