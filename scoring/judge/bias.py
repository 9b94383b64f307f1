"""How far judges go by place and by length, with intervals.

Intervals are those of `scoring.statistics`: responses to samples that share a persona or a character are not
independent, and neither are several methods' responses to one sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from scoring.bootstrap import SubsetWeights
from scoring.resamples import linear_resamples
from scoring.statistics import Interval, interval


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval."""

    value: float | None
    """None where it cannot be computed."""
    interval: Interval | None
    """None also where the samples have a single persona or character."""


NOTHING = Measured(None, None)


def mean_with_interval(values_N: ArrayLike, weights: SubsetWeights) -> Measured:
    """Return a mean; nothing where there are no values.

    Args:
        values_N: a number a response.
        weights: of the responses' samples.

    Raises:
        ValueError: there is not one finite number for each of the weighted samples.
    """
    values = np.asarray(values_N, dtype=np.float64)
    if not len(values):
        return NOTHING
    mean = float(values.mean())
    return Measured(mean, interval(linear_resamples(values, weights, estimate=mean), weights.n_clusters))


@dataclass(frozen=True)
class PositionBias:
    """What the order in which two answers are shown does to a judge."""

    n: int
    """Responses that have a verdict in both orders."""
    disagree: Measured
    """Share of them on which the two verdicts differ."""
    first_place: Measured
    """Mean preference for what stands first: 1 if that always wins, 0 without preference, -1 if it always loses."""


def position_bias(response_first_N: ArrayLike, golden_first_N: ArrayLike, weights: SubsetWeights) -> PositionBias:
    """Measure the bias from the response's value (1, 0.5 or 0) in both orders.

    The one shown first gets v = 2 response_first - 1 more than the other where that is the response, and
    1 - 2 golden_first where it is the golden one; the preference is the mean of both, response_first - golden_first.

    Raises:
        ValueError: there are not as many values as weighted samples, or one is not finite.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (response_first_N, golden_first_N))
    if first.shape != second.shape:
        raise ValueError(f"there are {first.size} values in one order and {second.size} in the other")
    disagree = mean_with_interval(first != second, weights)
    return PositionBias(len(first), disagree, mean_with_interval(first - second, weights))


@dataclass(frozen=True)
class LengthBias:
    """How a judge's values go with the response's length, within methods.

    It is a bias only as far as longer responses are not better ones; that a judge cannot be asked.
    """

    n: int
    spearman: float | None
    """Rank correlation within methods: ranks are taken, and centred, in each method. None where it has no spread."""
    per_doubling: Measured
    """How much the value rises when a response is twice as long: slope on log2(response / golden response)."""


def length_bias(
    values_N: ArrayLike,
    lengths_N: ArrayLike,
    golden_lengths_N: ArrayLike,
    methods: Sequence[str],
    weights: SubsetWeights,
) -> LengthBias:
    """Regress values on log2((1 + length) / (1 + golden length)), each method with an intercept of its own.

    Within methods, so that a method that is both good and wordy does not count as bias.

    Args:
        values_N: a value a response.
        lengths_N: characters of the responses.
        golden_lengths_N: characters of the golden responses to the same samples.
        methods: who wrote each response.
        weights: of the responses' samples.

    Raises:
        ValueError: lengths differ from one another, or a value is not finite.
    """
    values, lengths, golden = (np.asarray(a, dtype=np.float64) for a in (values_N, lengths_N, golden_lengths_N))
    if not len(values) == len(lengths) == len(golden) == len(methods):
        raise ValueError("values, lengths, golden lengths and methods are not of equal number")
    codes = np.unique(np.asarray(methods, dtype=str), return_inverse=True)[1] if len(values) else np.zeros(0, dtype=int)
    doublings = np.log2((1 + lengths) / (1 + golden))
    x, y = _centred(doublings, codes), _centred(values, codes)
    spread = float(x @ x)
    if len(values) < 3 or math.isclose(spread, 0.0, abs_tol=1e-12):
        return LengthBias(len(values), None, NOTHING)
    slope = float(x @ y) / spread
    influence = len(values) * x * (y - slope * x) / spread
    found = linear_resamples(influence, weights, estimate=slope)
    ranks = [_centred(_ranks(column, codes), codes) for column in (doublings, values)]
    return LengthBias(len(values), _correlation(*ranks), Measured(slope, interval(found, weights.n_clusters)))


def _centred(values_N: NDArray[np.float64], codes_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return values less the mean of their group."""
    means = np.bincount(codes_N, weights=values_N) / np.maximum(np.bincount(codes_N), 1)
    return np.asarray(values_N - means[codes_N])


def _ranks(values_N: NDArray[np.float64], codes_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ranks within groups, from 0 to 1, ties at their middle."""
    ranks = np.empty(len(values_N))
    for code in np.unique(codes_N):
        mine = codes_N == code
        ranks[mine] = scipy.stats.rankdata(values_N[mine]) / mine.sum()
    return ranks


def _correlation(x_N: NDArray[np.float64], y_N: NDArray[np.float64]) -> float | None:
    size = math.sqrt(float(x_N @ x_N) * float(y_N @ y_N))
    return None if math.isclose(size, 0.0, abs_tol=1e-12) else float(x_N @ y_N) / size
