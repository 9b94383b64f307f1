"""How far two quantities agree over (model, subset) points: correlations with intervals, and the sign test.

The points of one model, and those of one subset, are not independent, so both kinds are resampled: models and subsets
are drawn with replacement, and a point counts as often as the product of both counts (the pigeonhole bootstrap of Owen,
2007). Deutsch, Dror and Roth (2021) found this form the most fitting for correlations of evaluation metrics. The
interval runs between percentiles of the replicates.

In worlds of known correlation with 9 or 18 models and 2 to 12 subsets it held the truth in 90 to 100 % of 400 draws
(`tests/test_agreement.py`), where points taken as independent held it in 42 to 94 %. Its excess comes where points are
nearly independent, as the product of the counts takes their noise several times. Variances clustered two ways with t
quantiles, which the scores' intervals use, covered about as well, but say nothing with two subsets, as dialogue shift
has.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.seeds import derive_seed

MIN_POINTS = 10
"""With fewer points nothing is given."""
MAX_UNDEFINED = 0.05
"""Share of resamples without a correlation above which there is no interval."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient with its 95 % interval; None where there is none."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Correlations:
    """Three correlations over the same points."""

    pearson: Correlation
    spearman: Correlation
    kendall: Correlation
    """Kendall's tau-b."""
    n_points: int


@dataclass(frozen=True)
class RankAgreement:
    """Rank correlations without an interval; None where there is none."""

    spearman: float | None
    kendall: float | None
    """Kendall's tau-b."""
    n_points: int


def correlations(
    x_P: ArrayLike,
    y_P: ArrayLike,
    models: Sequence[Hashable],
    subsets: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = 2000,
) -> Correlations:
    """Return Pearson's, Spearman's and Kendall's correlation over points, with two-way bootstrap intervals.

    Ranks are those within a resample, ties at their middle. A kind of which there is one only (one subset) cannot be
    resampled; the interval then speaks of that one. Needs memory for a few arrays of P x P and of resamples x P.

    Args:
        x_P: the first quantity at each point, such as a bound.
        y_P: the second, such as R-EMID, in any unit.
        models: the model of each point; with several base models, both make up its name.
        subsets: the subset of each point. Points need not be all combinations.
        seed: the draw is a function of it and of the order in which models and subsets first occur.
        resamples: draws of models and subsets.

    Returns:
        Everything None below `MIN_POINTS` points, or where a quantity is constant. No interval where more than
        `MAX_UNDEFINED` of the resamples hold a constant quantity; below that such resamples are left out. Equal or
        opposite orders have the rank correlation 1 or -1 in every resample, so there the interval has no width.

    Raises:
        ValueError: lengths differ, a value is NaN or infinite, a point occurs twice, or `resamples` is below 2.
    """
    x, y = _values(x_P, y_P)
    if not len(x) == len(models) == len(subsets):
        raise ValueError(f"there are {len(x)} points, {len(models)} models and {len(subsets)} subsets")
    if len(set(zip(models, subsets, strict=True))) < len(x):
        raise ValueError("a (model, subset) point occurs twice; name the base model too where there are several")
    if resamples < 2:
        raise ValueError(f"resamples is {resamples}; at least 2 are needed")
    if len(x) < MIN_POINTS:
        nothing = Correlation(None, None, None)
        return Correlations(nothing, nothing, nothing, len(x))
    coefficients = _Coefficients(x, y)
    counts_B_P = _counts(models, derive_seed(seed, "models"), resamples)
    counts_B_P *= _counts(subsets, derive_seed(seed, "subsets"), resamples)
    values_3 = coefficients(np.ones((1, len(x))))[:, 0]
    pearson, spearman, kendall = map(_correlation, values_3, coefficients(counts_B_P))
    return Correlations(pearson, spearman, kendall, len(x))


def rank_agreement(x_P: ArrayLike, y_P: ArrayLike) -> RankAgreement:
    """Return Spearman's and Kendall's correlation of a few values, such as nine methods' averages.

    None below three values, which any two orders agree or disagree on wholly, and where a quantity is constant.

    Raises:
        ValueError: lengths differ, or a value is NaN or infinite.
    """
    x, y = _values(x_P, y_P)
    if len(x) < 3:
        return RankAgreement(None, None, len(x))
    _, spearman, kendall = map(_known, _Coefficients(x, y)(np.ones((1, len(x))))[:, 0].tolist())
    return RankAgreement(spearman, kendall, len(x))


def sign_test(n_positive: int, n: int) -> float | None:
    """Return the two-sided p-value of so many positive signs among n, were both signs equally likely.

    It holds for independent signs; where they share samples it is smaller than it should be. None where n is 0.

    Raises:
        ValueError: n_positive is not in 0 .. n.
    """
    if not 0 <= n_positive <= n:
        raise ValueError(f"{n_positive} of {n} signs are positive; give a number from 0 to {n}")
    if n == 0:
        return None
    tail = sum(math.comb(n, k) for k in range(max(n_positive, n - n_positive), n + 1))
    return min(1.0, tail / (1 << (n - 1)))


class _Coefficients:
    """The three coefficients of points that occur with given counts, as of the points written out so often."""

    def __init__(self, x_P: NDArray[np.float64], y_P: NDArray[np.float64]) -> None:
        self._x_P, self._y_P = x_P - x_P.mean(), y_P - y_P.mean()
        self._x_signs_P_P, self._y_signs_P_P = (np.sign(v_P[:, None] - v_P) for v_P in (x_P, y_P))

    def __call__(self, counts_B_P: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return shape (3, B), a row a coefficient; NaN where a quantity is constant."""
        untied_B_2 = np.stack([_pair_sums(np.abs(s), counts_B_P) for s in (self._x_signs_P_P, self._y_signs_P_P)], 1)
        concordance_B = _pair_sums(self._x_signs_P_P * self._y_signs_P_P, counts_B_P)
        x_ranks_B_P, y_ranks_B_P = (counts_B_P @ signs.T for signs in (self._x_signs_P_P, self._y_signs_P_P))
        with np.errstate(divide="ignore", invalid="ignore"):
            pearson_B = _pearson(self._x_P, self._y_P, counts_B_P)
            spearman_B = _pearson(x_ranks_B_P, y_ranks_B_P, counts_B_P)
            kendall_B = concordance_B / np.sqrt(untied_B_2.prod(axis=1))
        found_3_B = np.stack([pearson_B, spearman_B, kendall_B])
        defined_B = untied_B_2.min(axis=1) > 0
        return np.where(defined_B, found_3_B.clip(-1, 1), np.nan)


def _pair_sums(values_P_P: NDArray[np.float64], counts_B_P: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("bp,bp->b", counts_B_P @ values_P_P, counts_B_P))


def _pearson(
    x_B_P: NDArray[np.float64], y_B_P: NDArray[np.float64], counts_B_P: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return shape (B,); quantities that are equal in all resamples may have shape (P,)."""
    total_B_1 = counts_B_P.sum(axis=1, keepdims=True)
    x, y = (v_B_P - (counts_B_P * v_B_P).sum(axis=1, keepdims=True) / total_B_1 for v_B_P in (x_B_P, y_B_P))
    products = [(counts_B_P * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y))]
    return np.asarray(products[0] / np.sqrt(products[1] * products[2]))


def _counts(groups: Sequence[Hashable], seed: int, resamples: int) -> NDArray[np.float64]:
    """Return how often each point's group is drawn in each resample, shape (B, P)."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    chances = np.full(len(numbers), 1 / len(numbers))
    counts_B_G = np.random.default_rng(seed).multinomial(len(numbers), chances, size=resamples)
    return counts_B_G[:, [numbers[group] for group in groups]].astype(np.float64)


def _correlation(value: float, replicates_B: NDArray[np.float64]) -> Correlation:
    defined_B = replicates_B[~np.isnan(replicates_B)]
    if math.isnan(value) or len(defined_B) < (1 - MAX_UNDEFINED) * len(replicates_B):
        return Correlation(_known(value), None, None)
    low, high = np.quantile(defined_B, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]).tolist()
    return Correlation(float(value), low, high)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _values(x_P: ArrayLike, y_P: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (np.asarray(v, dtype=np.float64) for v in (x_P, y_P))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"the two quantities have shapes {x.shape} and {y.shape}; give as many values of each")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a value is NaN or infinite; leave points without a value out")
    return x, y
