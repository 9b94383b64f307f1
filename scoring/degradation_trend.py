"""How R-EMI falls as more golden responses are damaged (`benchmark.degradation`): its slope, and where it rises.

R-EMI and every combination of it are linear in the matrices of log-likelihoods, and all shares are resampled together,
so that the slope's interval knows what the shares have in common: most of their responses. A metric that notices a
damage has a slope below zero; steps that rise are named, not smoothed away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.bootstrap import SubsetWeights
from scoring.resamples import Mask, Resamples
from scoring.statistics import LEVEL, Interval, MethodMatrix, interval, p_value
from scoring.stratified import compare_samples


@dataclass(frozen=True)
class DegradedColumn:
    """The likelihoods of the responses in which a share of a subset's samples is damaged."""

    method: str
    share: float
    """0 .. 1."""
    matrix: MethodMatrix


@dataclass(frozen=True)
class RemiAtShare:
    """R-EMI at one share, in the matrices' unit, over the samples that every share has scored."""

    method: str
    share: float
    remi: float
    interval: Interval | None


@dataclass(frozen=True)
class Step:
    """R-EMI at a share less R-EMI at the next smaller one."""

    smaller: str
    larger: str
    """Method names."""
    difference: float
    interval: Interval | None

    @property
    def rises(self) -> bool:
        """Tell whether R-EMI is larger where more is damaged."""
        return self.difference > 0

    @property
    def rises_surely(self) -> bool:
        """Tell whether the whole interval lies above zero."""
        return self.interval is not None and self.interval.low > 0


@dataclass(frozen=True)
class DegradationTrend:
    """The course of R-EMI over the shares; `slope` None and no points where too few samples can be compared."""

    slope: float | None
    """Of the least-squares line: what R-EMI gains, in the matrices' unit, from no damage to all samples damaged."""
    interval: Interval | None
    p_value: float | None
    """Of the slope against zero, two-sided."""
    resamples: Resamples | None
    """Of the slope, for averages over subsets and differences between kinds of damage."""
    points: tuple[RemiAtShare, ...]
    """By growing share."""
    steps: tuple[Step, ...]
    n_samples: int
    n_clusters: int

    @property
    def rises(self) -> tuple[Step, ...]:
        """The steps that are not monotone, surely or not."""
        return tuple(step for step in self.steps if step.rises)


def degradation_trend(
    columns: Sequence[DegradedColumn],
    golden: MethodMatrix,
    negatives_N_N: Mask,
    weights: SubsetWeights,
    *,
    folds_N: NDArray[np.int64] | None = None,
    level: float = LEVEL,
) -> DegradationTrend:
    """Return R-EMI at each share, its slope over the shares and its steps, with intervals from one draw of resamples.

    Args:
        columns: of one kind of damage on one subset, a share each, in any order.
        golden: the undamaged responses, the reference of R-EMI (paper, Definition 3.2).
        negatives_N_N: the subset's negatives.
        weights: bootstrap weights of the subset's samples.
        folds_N: the fold of each sample, which CLUB is made within; None for one fold.
        level: coverage aimed at.

    Raises:
        ValueError: there are fewer than two shares, or one comes twice.
    """
    ordered = sorted(columns, key=lambda column: column.share)
    slopes_S = _slope_weights(np.array([column.share for column in ordered]))
    kept_N = np.logical_and.reduce([golden.scored_N, *(column.matrix.scored_N for column in ordered)])
    compared = compare_samples(kept_N, negatives_N_N, weights, folds_N)
    n_samples, n_clusters = int(compared.chosen_N.sum()), compared.n_clusters
    if compared.club is None:
        return DegradationTrend(None, None, None, None, (), (), n_samples, n_clusters)
    reference_K_K = compared.square(golden.log_probs_N_N)
    found = [compared.club.resamples(compared.square(c.matrix.log_probs_N_N) - reference_K_K) for c in ordered]
    slope = _combination(slopes_S, found)
    return DegradationTrend(
        slope=slope.estimate,
        interval=interval(slope, n_clusters, level),
        p_value=p_value(slope, n_clusters),
        resamples=slope,
        points=tuple(
            RemiAtShare(column.method, column.share, remi.estimate, interval(remi, n_clusters, level))
            for column, remi in zip(ordered, found, strict=True)
        ),
        steps=tuple(
            _step(ordered[i], ordered[i + 1], found[i + 1] - found[i], n_clusters, level) for i in range(len(found) - 1)
        ),
        n_samples=n_samples,
        n_clusters=n_clusters,
    )


def _slope_weights(shares_S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights with which values at the shares add up to the slope of their least-squares line."""
    if len(shares_S) < 2 or len(np.unique(shares_S)) < len(shares_S):
        raise ValueError(f"shares are {shares_S.tolist()}; a slope needs two or more, each once")
    centred_S = shares_S - shares_S.mean()
    return np.asarray(centred_S / (centred_S**2).sum())


def _combination(weights_S: NDArray[np.float64], parts: Sequence[Resamples]) -> Resamples:
    first, *others = (float(weight) * part for weight, part in zip(weights_S, parts, strict=True))
    return sum(others, start=first)


def _step(
    smaller: DegradedColumn, larger: DegradedColumn, difference: Resamples, n_clusters: int, level: float
) -> Step:
    return Step(smaller.method, larger.method, difference.estimate, interval(difference, n_clusters, level))
