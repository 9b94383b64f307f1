"""R-EMI of each method on each subset, and R-EMID, from blocks of log-likelihoods (paper, Definitions 3.2 and 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from scoring.clusters import SampleClusters
from scoring.negatives import Negatives
from scoring.pair_matrix import PairBlock
from scoring.resamples import Resamples, average
from scoring.statistics import Interval, interval
from scoring.stratified import ComparedSamples, compare_samples

Unit = Literal["nats_per_token", "nats_per_response"]
UNITS: tuple[Unit, ...] = ("nats_per_token", "nats_per_response")


@dataclass(frozen=True)
class RemiEstimate:
    """R-EMI of one method on one subset, in the unit of its matrices; None where too few samples were scored."""

    remi: float | None
    model_mi: float | None
    reference_mi: float | None
    interval: Interval | None
    """95 % interval of `remi`."""
    resamples: Resamples | None
    """Of `remi`: what differences and averages are made of."""
    contributions_N: NDArray[np.float64] | None
    """What each of the subset's samples adds: their mean is `remi`; NaN for those that take no part."""
    n_samples: int
    n_clusters: int
    """Crossed clusters: the smaller of the numbers of personas and of characters."""
    n_pairs: int
    """Negatives."""
    n_unscored: int
    """Samples that take no part: unscored, or in a fold where nothing is left to compare them with."""


def block_matrix(block: PairBlock, unit: Unit) -> NDArray[np.float64]:
    """Return a block's log-likelihoods in a unit, shape (N, N)."""
    return block.means_N_N if unit == "nats_per_token" else block.sums_N_N


class SubsetRemi:
    """Estimates on one subset. What depends on the samples alone is kept for methods that scored the same ones."""

    def __init__(self, samples: Sequence[Sample], negatives: Negatives, clusters: SampleClusters) -> None:
        """Prepare for a subset's samples, in the order of its blocks."""
        self.samples = samples
        self.negatives = negatives
        self.weights = clusters.weights(samples)
        self._prepared: dict[bytes, ComparedSamples] = {}

    def estimate_blocks(self, golden: PairBlock, method: PairBlock, unit: Unit) -> RemiEstimate:
        """Return R-EMI from the blocks of the golden responses and of a method's."""
        kept_N = golden.scored_N & method.scored_N
        return self.estimate(block_matrix(golden, unit), block_matrix(method, unit), kept_N)

    def estimate(
        self, golden_N_N: NDArray[np.float64], method_N_N: NDArray[np.float64], kept_N: NDArray[np.bool_]
    ) -> RemiEstimate:
        """Return I(X; Y_theta) - I(X; Y), both by CLUB over the same samples and negatives, fold by fold.

        Args:
            golden_N_N: entry [i, j] is log p(y_j | x_i) of the golden responses; read on the diagonal and at
                negatives alone, and free to be NaN elsewhere.
            method_N_N: the same of the method's responses.
            kept_N: samples that both have scored; the others leave both terms and are counted, as do those of a fold
                in which there is nothing to compare.
        """
        compared = self._compared(kept_N)
        model = reference = resamples = contributions_N = None
        if compared.club is not None:
            method_K_K, golden_K_K = compared.square(method_N_N), compared.square(golden_N_N)
            model = compared.club.estimate(method_K_K)
            reference = compared.club.estimate(golden_K_K)
            resamples = compared.club.resamples(method_K_K - golden_K_K)
            contributions_N = np.full(len(kept_N), np.nan)
            contributions_N[compared.chosen_N] = compared.club.contributions(method_K_K - golden_K_K)
        return RemiEstimate(
            remi=None if model is None or reference is None else model - reference,
            model_mi=model,
            reference_mi=reference,
            interval=None if resamples is None else interval(resamples, compared.n_clusters),
            resamples=resamples,
            contributions_N=contributions_N,
            n_samples=int(compared.chosen_N.sum()),
            n_clusters=compared.n_clusters,
            n_pairs=compared.n_pairs,
            n_unscored=int((~compared.chosen_N).sum()),
        )

    def _compared(self, kept_N: NDArray[np.bool_]) -> ComparedSamples:
        key = kept_N.tobytes()
        if key not in self._prepared:
            found = compare_samples(kept_N, self.negatives.mask_N_N, self.weights, self.negatives.folds_N)
            self._prepared[key] = found
        return self._prepared[key]


@dataclass(frozen=True)
class AverageRemi:
    """The mean of a method's R-EMI over subsets (the last column of the paper's Table 20)."""

    average: float
    interval: Interval | None
    n_clusters: int


def average_remi(
    estimates: Sequence[RemiEstimate], clusters: SampleClusters, samples: Sequence[Sample]
) -> AverageRemi | None:
    """Return the mean with its interval; samples that share a persona or a character over the subsets count as such.

    Args:
        estimates: of one method, one for each subset.
        clusters: of all samples.
        samples: those that took part in any of the estimates.

    Returns:
        None where an estimate is missing: a mean over fewer subsets would be of something else.
    """
    known = [estimate.resamples for estimate in estimates if estimate.resamples is not None]
    if not known or len(known) < len(estimates):
        return None
    resamples = average(known)
    n_clusters = min(len(np.unique(codes)) for codes in clusters.codes(samples))
    return AverageRemi(resamples.estimate, interval(resamples, n_clusters), n_clusters)


@dataclass(frozen=True)
class RemidEstimate:
    """R-EMI on the in-distribution test less R-EMI on a shifted subset."""

    remid: float | None
    interval: Interval | None
    resamples: Resamples | None
    n_clusters: int
    """The smaller of the two subsets' numbers."""


def estimate_remid(in_distribution: RemiEstimate, shifted: RemiEstimate) -> RemidEstimate:
    """Return R-EMID with its interval; samples that share a persona or a character over the two subsets count as such.

    None where one of the two has no estimate.
    """
    n_clusters = min(in_distribution.n_clusters, shifted.n_clusters)
    if in_distribution.resamples is None or shifted.resamples is None:
        return RemidEstimate(None, None, None, n_clusters)
    resamples = in_distribution.resamples - shifted.resamples
    return RemidEstimate(resamples.estimate, interval(resamples, n_clusters), resamples, n_clusters)
