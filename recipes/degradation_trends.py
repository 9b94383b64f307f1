"""How R-EMI, or EMI, falls as more is damaged: on each subset, and on average over subsets.

All columns of a kind of damage are compared over the samples that every one of them has scored, with one draw of
resamples for all kinds and subsets: that of `rpm-methods score`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from recipes.columns import GOLDEN
from recipes.degradation_design import Design, SubsetResponses
from recipes.stage_scores import interval_fields
from scoring.clusters import SampleClusters
from scoring.degradation_trend import DegradationTrend, DegradedColumn, RemiAtShare, Step, degradation_trend
from scoring.negatives import Negatives
from scoring.remi import SubsetRemi
from scoring.statistics import MethodMatrix, Resamples, average, interval, p_value

AVERAGE = "average"
"""In the place of a subset: the mean over those that have an estimate."""
Rows = dict[str, list[dict[str, object]]]
"""`slopes`, `points` and `steps`, a row each as `degradations.json` has them, without the measure's name."""


@dataclass(frozen=True)
class MeasuredSubset:
    """What a measure makes of a subset's distinct responses."""

    responses: SubsetResponses
    values: Mapping[str, NDArray[np.float64]]
    """Unit -> entry [i, m] of input i and distinct response m."""
    scored: Mapping[str, NDArray[np.bool_]]
    """Column -> the samples whose response in it is scored."""
    negatives: Negatives

    def column(self, name: str, unit: str) -> MethodMatrix:
        """Return a column's matrix."""
        return MethodMatrix(self.responses.matrix(self.values[unit], name), self.scored[name])


@dataclass(frozen=True)
class SubsetTrend:
    """The trend of one kind of damage on one subset, with what averages over subsets are made of."""

    trend: DegradationTrend
    remis: tuple[Resamples, ...]
    """R-EMI at each share, by growing share; none where too few samples can be compared."""
    took_part: tuple[Sample, ...]


def trend_rows(design: Design, measured: Mapping[str, MeasuredSubset]) -> Rows:
    """Return slopes, points and steps of every kind, unit and subset, and of the average over subsets.

    Args:
        design: kinds, shares, samples and settings.
        measured: by subset, all with the same units.
    """
    settings = design.settings
    clusters = SampleClusters(design.samples, resamples=settings.scoring.resamples, seed=settings.seed)
    remis = {key: SubsetRemi(of.responses.samples, of.negatives, clusters) for key, of in measured.items()}
    rows: Rows = {"slopes": [], "points": [], "steps": []}
    for unit in next(iter(measured.values())).values:
        for kind, columns in design.columns.items():
            found = {key: subset_trend(of, remis[key], columns, unit) for key, of in measured.items()}
            share_of = {name: share for share, name in columns.items()}
            for subset, (trend, n_subsets) in _with_average(found, clusters).items():
                named = {"kind": kind, "subset": subset, "unit": unit}
                pairs = measured[subset].negatives.label if subset in measured else None
                rows["slopes"].append({**named, **_slope_fields(trend), "n_subsets": n_subsets, "pairs": pairs})
                rows["points"] += [{**named, **fields} for fields in _points(trend, columns)]
                rows["steps"] += [{**named, **_step_fields(step, share_of)} for step in trend.steps]
    return rows


def subset_trend(measured: MeasuredSubset, remi: SubsetRemi, columns: Mapping[float, str], unit: str) -> SubsetTrend:
    """Return the trend over the columns (share -> name) of one kind of damage."""
    golden, negatives = measured.column(GOLDEN, unit), measured.negatives
    damaged = [DegradedColumn(name, share, measured.column(name, unit)) for share, name in sorted(columns.items())]
    trend = degradation_trend(damaged, golden, negatives.mask_N_N, remi.weights, folds_N=negatives.folds_N)
    if trend.slope is None:
        return SubsetTrend(trend, (), ())
    kept_N = np.logical_and.reduce([golden.scored_N, *(column.matrix.scored_N for column in damaged)])
    estimates = [remi.estimate(golden.log_probs_N_N, column.matrix.log_probs_N_N, kept_N) for column in damaged]
    remis = [estimate.resamples for estimate in estimates if estimate.resamples is not None]
    added_N = estimates[0].contributions_N
    took_part = () if added_N is None else tuple(np.flatnonzero(~np.isnan(added_N)))
    return SubsetTrend(trend, tuple(remis), tuple(measured.responses.samples[i] for i in took_part))


def average_trend(parts: Sequence[SubsetTrend], clusters: SampleClusters) -> DegradationTrend:
    """Return the trend of the mean over the subsets that have an estimate; without values where none has.

    Samples that share a persona or a character over the subsets count as such.
    """
    known = [part for part in parts if part.trend.resamples is not None]
    if not known:
        return DegradationTrend(None, None, None, None, (), (), 0, 0)
    samples = [sample for part in known for sample in part.took_part]
    n_clusters = min(len(np.unique(codes_N)) for codes_N in clusters.codes(samples))
    slope = average([part.trend.resamples for part in known if part.trend.resamples is not None])
    remis = [average(at_share) for at_share in zip(*(part.remis for part in known), strict=True)]
    points, steps = known[0].trend.points, known[0].trend.steps
    moves = [larger - smaller for smaller, larger in pairwise(remis)]
    return DegradationTrend(
        slope=slope.estimate,
        interval=interval(slope, n_clusters),
        p_value=p_value(slope, n_clusters),
        resamples=slope,
        points=tuple(
            RemiAtShare(point.method, point.share, remi.estimate, interval(remi, n_clusters))
            for point, remi in zip(points, remis, strict=True)
        ),
        steps=tuple(
            Step(step.smaller, step.larger, move.estimate, interval(move, n_clusters))
            for step, move in zip(steps, moves, strict=True)
        ),
        n_samples=len(samples),
        n_clusters=n_clusters,
    )


def _with_average(
    found: Mapping[str, SubsetTrend], clusters: SampleClusters
) -> dict[str, tuple[DegradationTrend, int | None]]:
    """Return subset -> (trend, None), and the average with the number of subsets that it is of."""
    n_subsets = sum(part.trend.slope is not None for part in found.values())
    of_subsets = {key: (part.trend, None) for key, part in found.items()}
    return {**of_subsets, AVERAGE: (average_trend(list(found.values()), clusters), n_subsets)}


def _slope_fields(trend: DegradationTrend) -> dict[str, object]:
    return {
        "slope": trend.slope,
        **interval_fields(trend.interval),
        "p_value": trend.p_value,
        "n_samples": trend.n_samples,
        "n_clusters": trend.n_clusters,
    }


def _points(trend: DegradationTrend, columns: Mapping[float, str]) -> list[dict[str, object]]:
    """Return the fields of every share, without a value where there is no estimate."""
    found = {point.share: point for point in trend.points}
    return [
        {
            "share": share,
            "column": name,
            "value": found[share].remi if share in found else None,
            **interval_fields(found[share].interval if share in found else None),
        }
        for share, name in sorted(columns.items())
    ]


def _step_fields(step: Step, share_of: Mapping[str, float]) -> dict[str, object]:
    return {
        "smaller": share_of[step.smaller],
        "larger": share_of[step.larger],
        "difference": step.difference,
        **interval_fields(step.interval),
        "rises": step.rises,
        "rises_surely": step.rises_surely,
    }
