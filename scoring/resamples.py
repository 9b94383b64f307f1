"""Statistics with their replicates: CLUB from a matrix of log-likelihoods, and what is made from such by arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from scoring.bootstrap import ClusterWeights, SubsetWeights

Mask: TypeAlias = "NDArray[np.bool_] | scipy.sparse.csr_array"
"""A boolean N x N mask of negatives, dense or sparse."""
_DENSE_ABOVE = 0.1
"""Share of non-zero entries above which a dense product is faster than a sparse one."""
_RESAMPLES_AT_ONCE = 250
"""A sparse product is fastest while a block of the weights stays in the processor's cache."""


@dataclass(frozen=True)
class Resamples:
    """A statistic with its replicates, closed under addition, subtraction and scaling.

    So a difference, an average, or R-EMID is plain arithmetic, as long as all parts come from one bootstrap: equal
    resamples then meet, and what the parts share cancels.
    """

    estimate: float
    deviations_3_B: NDArray[np.float64]
    """Replicates less the estimate, a row each of `CLUSTERINGS`, spread by the small-cluster factor; NaN in the row
    of a clustering that has one cluster only."""

    def __add__(self, other: "Resamples") -> "Resamples":
        """Return the sum, resample by resample."""
        return Resamples(self.estimate + other.estimate, self.deviations_3_B + other.deviations_3_B)

    def __sub__(self, other: "Resamples") -> "Resamples":
        """Return the difference, resample by resample."""
        return self + -1.0 * other

    def __mul__(self, factor: float) -> "Resamples":
        """Return the statistic times a number."""
        return Resamples(self.estimate * factor, self.deviations_3_B * factor)

    __rmul__ = __mul__


def average(parts: Sequence[Resamples]) -> Resamples:
    """Return the mean of statistics from one bootstrap; ValueError when there are none."""
    if not parts:
        raise ValueError("the average of no statistics")
    return sum(parts[1:], start=parts[0]) * (1 / len(parts))


class ClubBootstrap:
    """CLUB and its replicates for many matrices over the same samples and negatives.

    With weights w the estimate is sum_i w_i L_ii / sum_i w_i - sum_ij w_i w_j L_ij / sum_ij w_i w_j, the last two sums
    over the negatives. The denominators are computed once.
    """

    def __init__(self, negatives_N_N: Mask, weights: SubsetWeights) -> None:
        """Prepare for a mask of negatives; ValueError when it is empty or does not fit the weights."""
        size = weights.n_samples
        if negatives_N_N.shape != (size, size):
            raise ValueError(f"negatives_N_N has shape {negatives_N_N.shape}; the weights are of {size} samples")
        self._rows_E, self._columns_E = (np.asarray(axis, dtype=np.int64) for axis in negatives_N_N.nonzero())
        if not len(self._rows_E):
            raise ValueError("negatives_N_N has no entry set")
        self._clusterings = weights.clusterings
        self._pairs = [_ClusterPairs(clustering, self._rows_E, self._columns_E) for clustering in self._clusterings]
        self._weights = [_weighted_sum(clustering, np.ones(size)) for clustering in self._clusterings]
        self._pair_weights = [pairs.weighted_sum(np.ones(len(self._rows_E))) for pairs in self._pairs]

    @property
    def n_pairs(self) -> int:
        """Number of negatives."""
        return len(self._rows_E)

    def estimate(self, matrix_N_N: NDArray[np.float64]) -> float:
        """Return CLUB of a matrix (club_estimate with this mask) alone; ValueError as `resamples`."""
        diagonal_N, values_E = self._entries(matrix_N_N)
        return float(diagonal_N.mean() - values_E.mean())

    def contributions(self, matrix_N_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each sample adds, shape (N,), in the matrix' unit: the mean over samples is the estimate.

        It is the sample's own entry on the diagonal less N / E times the sum over its row's negatives, E being their
        number in the whole mask: with as many negatives in each row, less their mean. ValueError as `resamples`.
        """
        diagonal_N, values_E = self._entries(matrix_N_N)
        size = len(diagonal_N)
        sums_N = np.bincount(self._rows_E, weights=values_E, minlength=size)
        return np.asarray(diagonal_N - size / self.n_pairs * sums_N)

    def resamples(self, matrix_N_N: NDArray[np.float64]) -> Resamples:
        """Return CLUB of a matrix (club_estimate with this mask) with its replicates, in the matrix' unit.

        The statistic is linear in the matrix, so R-EMI is that of the model's less the golden responses' matrix. Only
        the diagonal and the negatives are read; ValueError when one of them is NaN or infinite.
        """
        diagonal_N, values_E = self._entries(matrix_N_N)
        estimate = float(diagonal_N.mean() - values_E.mean())
        deviations = [
            clustering.spread(
                _weighted_sum(clustering, diagonal_N) / weights - pairs.weighted_sum(values_E) / pair_weights, estimate
            )
            for clustering, pairs, weights, pair_weights in zip(
                self._clusterings, self._pairs, self._weights, self._pair_weights, strict=True
            )
        ]
        return Resamples(estimate, np.stack(deviations))

    def _entries(self, matrix_N_N: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the diagonal and the values at the negatives."""
        matrix = np.asarray(matrix_N_N, dtype=np.float64)
        diagonal_N, values_E = matrix.diagonal(), matrix[self._rows_E, self._columns_E]
        if not (np.isfinite(diagonal_N).all() and np.isfinite(values_E).all()):
            raise ValueError("matrix_N_N is NaN or infinite on its diagonal or a negative; leave unscored samples out")
        return diagonal_N, values_E


class _ClusterPairs:
    """Weighted sums over pairs of samples.

    As weights are constant in a cluster, sum_ij w_i w_j v_ij over samples is sum_kl w_k w_l V_kl over clusters, where
    V sums v over the pairs of samples in clusters k and l: the same number from a smaller product.
    """

    def __init__(self, clustering: ClusterWeights, rows_E: NDArray[np.int64], columns_E: NDArray[np.int64]) -> None:
        self._weights_K_B = clustering.weights_K_B
        self._size = len(clustering.weights_K_B)
        self._index_E = clustering.codes_N[rows_E] * self._size + clustering.codes_N[columns_E]

    def weighted_sum(self, values_E: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sum_ij w_i w_j v_ij for each resample."""
        products = self._dense if len(self._index_E) > _DENSE_ABOVE * self._size**2 else self._sparse
        return products(values_E)

    def _dense(self, values_E: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = np.bincount(self._index_E, weights=values_E, minlength=self._size**2)
        product_K_B = flat.reshape(self._size, self._size) @ self._weights_K_B
        return np.asarray(np.einsum("kb,kb->b", self._weights_K_B, product_K_B))

    def _sparse(self, values_E: NDArray[np.float64]) -> NDArray[np.float64]:
        index = divmod(self._index_E, self._size)
        sums_K_K: Any = scipy.sparse.coo_array((values_E, index), shape=(self._size, self._size)).tocsr()
        starts = range(0, self._weights_K_B.shape[1], _RESAMPLES_AT_ONCE)
        blocks = [np.ascontiguousarray(self._weights_K_B[:, start : start + _RESAMPLES_AT_ONCE]) for start in starts]
        return np.concatenate([np.einsum("kb,kb->b", block, sums_K_K @ block) for block in blocks])


def club_resamples(matrix_N_N: NDArray[np.float64], negatives_N_N: Mask, weights: SubsetWeights) -> Resamples:
    """Return CLUB of one matrix with its replicates; see `ClubBootstrap`, which serves many matrices faster."""
    return ClubBootstrap(negatives_N_N, weights).resamples(matrix_N_N)


def linear_resamples(influence_N: ArrayLike, weights: SubsetWeights, *, estimate: float) -> Resamples:
    """Return a statistic whose replicates are estimate + sum_i (w_i / sum w - 1 / N) influence_i.

    For statistics that cannot be computed anew for each resample; `influence_N` is the first-order influence of each
    sample on the statistic. A statistic of two subsets is the sum of two such, the second with estimate 0.

    Raises:
        ValueError: the influences are not one finite number a sample.
    """
    influence = np.asarray(influence_N, dtype=np.float64)
    if influence.shape != (weights.n_samples,) or not np.isfinite(influence).all():
        raise ValueError(f"influence_N must be {weights.n_samples} finite numbers; its shape is {influence.shape}")
    ones_N = np.ones(weights.n_samples)
    deviations = [
        c.spread(_weighted_sum(c, influence) / _weighted_sum(c, ones_N), float(influence.mean()))
        for c in weights.clusterings
    ]
    return Resamples(estimate, np.stack(deviations))


def _weighted_sum(clustering: ClusterWeights, values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    sums_K = np.bincount(clustering.codes_N, weights=values_N, minlength=len(clustering.weights_K_B))
    return np.asarray(sums_K @ clustering.weights_K_B)
