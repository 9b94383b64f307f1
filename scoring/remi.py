"""R-EMI of each method on each subset, and R-EMID, from blocks of log-likelihoods (paper, Definitions 3.2 and 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from scoring.club import club_estimate
from scoring.clusters import SampleClusters
from scoring.negatives import Negatives
from scoring.pair_matrix import PairBlock
from scoring.resamples import ClubBootstrap, Resamples
from scoring.statistics import Interval, interval

Unit = Literal["nats_per_token", "nats_per_response"]
UNITS: tuple[Unit, ...] = ("nats_per_token", "nats_per_response")
MINIMUM_SAMPLES = 3
"""Below this no estimate is made."""


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
    n_samples: int
    n_clusters: int
    """Crossed clusters: the smaller of the numbers of personas and of characters."""
    n_pairs: int
    """Negatives."""
    n_unscored: int


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
        self._prepared: dict[bytes, _KeptSamples] = {}

    def estimate_blocks(self, golden: PairBlock, method: PairBlock, unit: Unit) -> RemiEstimate:
        """Return R-EMI from the blocks of the golden responses and of a method's."""
        kept_N = golden.scored_N & method.scored_N
        return self.estimate(block_matrix(golden, unit), block_matrix(method, unit), kept_N)

    def estimate(
        self, golden_N_N: NDArray[np.float64], method_N_N: NDArray[np.float64], kept_N: NDArray[np.bool_]
    ) -> RemiEstimate:
        """Return I(X; Y_theta) - I(X; Y), both by CLUB over the same samples and negatives.

        Args:
            golden_N_N: entry [i, j] is log p(y_j | x_i) of the golden responses; read on the diagonal and at
                negatives alone, and free to be NaN elsewhere.
            method_N_N: the same of the method's responses.
            kept_N: samples that both have scored; the others leave both terms and are counted.
        """
        kept = self._kept(kept_N)
        model = reference = resamples = None
        if kept.bootstrap is not None:
            square = np.ix_(kept_N, kept_N)
            method_K_K, golden_K_K = method_N_N[square], golden_N_N[square]
            model = club_estimate(method_K_K, pairs=kept.negatives_K_K)
            reference = club_estimate(golden_K_K, pairs=kept.negatives_K_K)
            resamples = kept.bootstrap.resamples(method_K_K - golden_K_K)
        return RemiEstimate(
            remi=None if model is None or reference is None else model - reference,
            model_mi=model,
            reference_mi=reference,
            interval=None if resamples is None else interval(resamples, kept.n_clusters),
            resamples=resamples,
            n_samples=int(kept_N.sum()),
            n_clusters=kept.n_clusters,
            n_pairs=int(kept.negatives_K_K.sum()),
            n_unscored=int((~kept_N).sum()),
        )

    def _kept(self, kept_N: NDArray[np.bool_]) -> "_KeptSamples":
        key = kept_N.tobytes()
        if key not in self._prepared:
            negatives_K_K = self.negatives.mask_N_N[np.ix_(kept_N, kept_N)]
            weights = self.weights.take(kept_N)
            enough = kept_N.sum() >= MINIMUM_SAMPLES and negatives_K_K.any()
            bootstrap = ClubBootstrap(negatives_K_K, weights) if enough else None
            n_clusters = weights.n_clusters if kept_N.any() else 0
            self._prepared[key] = _KeptSamples(negatives_K_K, bootstrap, n_clusters)
        return self._prepared[key]


@dataclass(frozen=True)
class _KeptSamples:
    negatives_K_K: NDArray[np.bool_]
    bootstrap: ClubBootstrap | None
    n_clusters: int


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
