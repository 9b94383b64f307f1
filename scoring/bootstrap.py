"""One draw of cluster weights for a whole table: by persona, by character and by (persona, character) cell.

Samples that share a persona or a character are not independent, so whole clusters are weighted. Three sets of weights
are drawn side by side, one a clustering, and `scoring.statistics` combines the variances that they give. A weight is
exponential with mean 1 (the Bayesian bootstrap): it is never zero, so no resample of a small subset is empty, and what
a subset gets does not depend on how many clusters the rest of the table has. Counts of drawn clusters (multinomial)
cover equally well in simulation. A cluster's weights are a function of the seed and the cluster's number alone, so all
subsets and methods share them, in whatever order they come.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLUSTERINGS = ("persona", "character", "cell")


@dataclass(frozen=True)
class ClusterWeights:
    """Resampled weights of the clusters of one clustering."""

    codes_N: NDArray[np.int64]
    """The cluster of each sample: a row of `weights_K_B`."""
    weights_K_B: NDArray[np.float64]
    n_clusters: int
    """Clusters that have a sample; at most K."""

    def take(self, kept_N: NDArray[np.bool_]) -> "ClusterWeights":
        """Return the weights of some of the samples."""
        codes = self.codes_N[kept_N]
        return ClusterWeights(codes, self.weights_K_B, len(np.unique(codes)))

    def spread(self, replicates_B: NDArray[np.float64], estimate: float) -> NDArray[np.float64]:
        """Return replicates less the estimate, times the root of (K + 1) / (K - 1).

        With exponential weights the variance of a mean of K equal clusters comes out as s^2 / (K + 1), where s^2 has
        K in its denominator; the factor makes it unbiased. NaN where there is one cluster.
        """
        if self.n_clusters < 2:
            return np.full_like(replicates_B, np.nan)
        factor = math.sqrt((self.n_clusters + 1) / (self.n_clusters - 1))
        return np.asarray(factor * (replicates_B - estimate))


@dataclass(frozen=True)
class SubsetWeights:
    """Resampled weights of a subset's samples."""

    clusterings: tuple[ClusterWeights, ...]
    """One for each of `CLUSTERINGS`, in that order."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.clusterings[0].codes_N)

    @property
    def n_clusters(self) -> int:
        """Crossed clusters: the smaller of the numbers of personas and of characters."""
        return min(clustering.n_clusters for clustering in self.clusterings)

    def take(self, kept_N: ArrayLike) -> "SubsetWeights":
        """Return the weights of the samples that a boolean mask keeps."""
        kept = np.asarray(kept_N, dtype=bool)
        return SubsetWeights(tuple(clustering.take(kept) for clustering in self.clusterings))


class ClusterBootstrap:
    """One draw of cluster weights for a whole table."""

    def __init__(self, personas_M: ArrayLike, characters_M: ArrayLike, *, resamples: int = 2000, seed: int) -> None:
        """Number the cells of the table.

        Args:
            personas_M: the persona of each sample of all subsets, as a non-negative whole number.
            characters_M: the same for characters.
            resamples: resamples of each clustering.
            seed: the draw is a function of it and of the clusters' numbers.

        Raises:
            ValueError: the codes are not of equal length, are negative or not whole, or `resamples` is below 2.
        """
        if resamples < 2:
            raise ValueError(f"resamples is {resamples}; at least 2 are needed")
        self.resamples = resamples
        self.seed = seed
        self._cells_C_2 = np.unique(_codes(personas_M, characters_M), axis=0)
        personas, characters = self._cells_C_2.T
        alone = [np.bincount(codes)[codes] == 1 for codes in (personas, characters)]
        numbers = np.arange(len(self._cells_C_2))
        self._cell_keys_C_2 = np.stack(
            [np.select(alone, [0, 1], 2), np.select(alone, [personas, characters], numbers)], axis=1
        )
        """The stream of each cell's weights. The only cell of a persona (or character) shares that one's weights, so
        that where cells and personas are the same, their variances are equal and cancel."""

    def weights(self, personas_N: ArrayLike, characters_N: ArrayLike) -> SubsetWeights:
        """Return the weights of a subset's samples; ValueError for a cell that the table does not have."""
        codes_N_2 = _codes(personas_N, characters_N)
        cells_K_2, cells_N = np.unique(codes_N_2, axis=0, return_inverse=True)
        rows = {(int(p), int(c)): row for row, (p, c) in enumerate(self._cells_C_2)}
        missing = [cell for cell in map(tuple, cells_K_2.tolist()) if cell not in rows]
        if missing:
            raise ValueError(f"persona and character {missing[0]} do not occur together in the bootstrap's table")
        keys_K_2 = self._cell_keys_C_2[[rows[p, c] for p, c in cells_K_2.tolist()]]
        cell = ClusterWeights(cells_N.reshape(-1), self._streams(keys_K_2), len(cells_K_2))
        return SubsetWeights((self._draw(0, codes_N_2[:, 0]), self._draw(1, codes_N_2[:, 1]), cell))

    def _draw(self, kind: int, codes_N: NDArray[np.int64]) -> ClusterWeights:
        codes_K, local_N = np.unique(codes_N, return_inverse=True)
        keys_K_2 = np.stack([np.full_like(codes_K, kind), codes_K], axis=1)
        return ClusterWeights(local_N, self._streams(keys_K_2), len(codes_K))

    def _streams(self, keys_K_2: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a row of exponential weights for each key (kind, number), from a counter-based generator."""
        weights_K_B = np.empty((len(keys_K_2), self.resamples))
        for row, (kind, number) in zip(weights_K_B, keys_K_2.tolist(), strict=True):
            generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, number, kind]))
            generator.standard_exponential(out=row)
        return weights_K_B


def _codes(personas_N: ArrayLike, characters_N: ArrayLike) -> NDArray[np.int64]:
    columns = [np.asarray(codes) for codes in (personas_N, characters_N)]
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise ValueError(f"personas and characters have shapes {columns[0].shape} and {columns[1].shape}")
    if not all(np.issubdtype(c.dtype, np.integer) and (c >= 0).all() for c in columns if c.size):
        raise ValueError("personas and characters must be numbered by whole numbers from 0")
    return np.stack(columns, axis=1).astype(np.int64)
