"""CLUB under a cross-fitted estimator: within each fold, then combined by the folds' shares of the samples.

Each fold has a policy model of its own, whose level of log p differs from the others'. A row's negatives come from its
own fold, so their mean over all folds together would weigh a fold by its pairs, about the square of its size, while the
mean of the diagonal weighs it by its size: part of the difference in level would stay. Within a fold it cancels.
Samples that share a persona or a character lie in one fold, so the folds are independent strata with given shares.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.bootstrap import SubsetWeights
from scoring.resamples import ClubBootstrap, Mask, Resamples

MINIMUM_SAMPLES = 3
"""Below this no estimate is made."""


class StratifiedClub:
    """CLUB and its replicates for many matrices over the same samples, negatives and folds.

    The estimate is sum_f (n_f / N) CLUB_f, with CLUB_f (Cheng et al., 2020; Eq. 2 of Oh et al., 2025) over the n_f
    samples of fold f and the negatives among them. A replicate is the same sum of the folds' replicates. With one fold
    it is `ClubBootstrap`, to the bit.
    """

    def __init__(self, negatives_N_N: Mask, weights: SubsetWeights, folds_N: NDArray[np.int64] | None = None) -> None:
        """Prepare for a mask of negatives.

        Args:
            negatives_N_N: entry [i, j] is set where y_j is a negative of x_i.
            weights: bootstrap weights of the N samples.
            folds_N: the fold of each sample; None for one fold.

        Raises:
            ValueError: mask, weights and folds do not fit each other, a fold has no negatives (see
                `comparable_samples`), or a negative lies in another fold than its row.
        """
        size = weights.n_samples
        folds = np.zeros(size, dtype=np.int64) if folds_N is None else folds_N
        if negatives_N_N.shape != (size, size) or folds.shape != (size,):
            shapes = f"negatives_N_N has shape {negatives_N_N.shape} and folds_N {folds.shape}"
            raise ValueError(f"{shapes}; the weights are of {size} samples")
        self._strata = list(_strata(negatives_N_N, weights, folds))
        crossing = int(negatives_N_N.sum()) - sum(stratum.club.n_pairs for stratum in self._strata)
        if crossing:
            raise ValueError(f"negatives_N_N has {crossing} negatives in another fold than their row")

    def estimate(self, matrix_N_N: NDArray[np.float64]) -> float:
        """Return the estimate alone, in the matrix' unit; ValueError as `resamples`."""
        first, *others = (s.share * s.club.estimate(s.block(matrix_N_N)) for s in self._strata)
        return sum(others, start=first)

    def contributions(self, matrix_N_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each sample adds, shape (N,), in the matrix' unit: the mean over samples is the estimate.

        Within its fold, as `ClubBootstrap.contributions`; ValueError as `resamples`.
        """
        found_N = np.empty(len(matrix_N_N))
        for stratum in self._strata:
            found_N[stratum.members] = stratum.club.contributions(stratum.block(matrix_N_N))
        return found_N

    def resamples(self, matrix_N_N: NDArray[np.float64]) -> Resamples:
        """Return the estimate with its replicates, in the matrix' unit.

        It is linear in the matrix, and adding a number to all entries of a fold changes nothing. Where a fold has one
        persona or one character only, the replicates of that clustering are NaN.

        Raises:
            ValueError: an entry on the diagonal or at a negative is NaN or infinite; others are not read.
        """
        first, *others = (s.share * s.club.resamples(s.block(matrix_N_N)) for s in self._strata)
        return sum(others, start=first)


@dataclass(frozen=True)
class _Stratum:
    members: NDArray[np.int64]
    share: float
    """n_f / N."""
    club: ClubBootstrap

    def block(self, matrix_N_N: NDArray[np.float64]) -> NDArray[np.float64]:
        return matrix_N_N[np.ix_(self.members, self.members)]


def _strata(negatives_N_N: Mask, weights: SubsetWeights, folds_N: NDArray[np.int64]) -> Iterator[_Stratum]:
    for fold in np.unique(folds_N):
        in_fold_N = folds_N == fold
        members = np.flatnonzero(in_fold_N)
        club = ClubBootstrap(negatives_N_N[np.ix_(members, members)], weights.take(in_fold_N))
        yield _Stratum(members, len(members) / len(folds_N), club)


@dataclass(frozen=True)
class ComparedSamples:
    """The samples that take part in a CLUB, and that CLUB."""

    chosen_N: NDArray[np.bool_]
    club: StratifiedClub | None
    """Over the chosen samples; None where they are fewer than `MINIMUM_SAMPLES` or have no negatives."""
    n_clusters: int
    """Crossed clusters of all chosen samples together."""
    n_pairs: int
    """Negatives among them."""

    def square(self, matrix_N_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the entries of a matrix between the chosen samples."""
        return matrix_N_N[np.ix_(self.chosen_N, self.chosen_N)]


def compare_samples(
    kept_N: NDArray[np.bool_], negatives_N_N: Mask, weights: SubsetWeights, folds_N: NDArray[np.int64] | None
) -> ComparedSamples:
    """Return what a CLUB can be made of.

    Args:
        kept_N: samples that are scored.
        negatives_N_N: the negatives of the whole subset.
        weights: bootstrap weights of the whole subset.
        folds_N: the fold of each sample; None for one fold.
    """
    chosen_N = comparable_samples(kept_N, negatives_N_N, folds_N)
    negatives_K_K = negatives_N_N[np.ix_(chosen_N, chosen_N)]
    chosen, n_pairs = weights.take(chosen_N), int(negatives_K_K.sum())
    enough = chosen_N.sum() >= MINIMUM_SAMPLES and n_pairs > 0
    folds_K = None if folds_N is None else folds_N[chosen_N]
    club = StratifiedClub(negatives_K_K, chosen, folds_K) if enough else None
    return ComparedSamples(chosen_N, club, chosen.n_clusters, n_pairs)


def comparable_samples(
    kept_N: NDArray[np.bool_], negatives_N_N: Mask, folds_N: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Return the kept samples less those of folds with fewer than two of them or without negatives among them.

    Such a fold has no CLUB. Without folds all kept samples stay.
    """
    if folds_N is None:
        return kept_N
    chosen_N = kept_N.copy()
    for fold in np.unique(folds_N[kept_N]):
        members = np.flatnonzero(kept_N & (folds_N == fold))
        if len(members) < 2 or not negatives_N_N[np.ix_(members, members)].sum():
            chosen_N[members] = False
    return chosen_N
