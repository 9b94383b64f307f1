"""The terms of the bounds from texts: entropies from likelihoods, deviations and shifts from embeddings.

The entropy of a response cannot be measured from one response. What stands for H(Y | x) is the surprisal
-log p(y | x) of the one that there is: on average that is the cross entropy, which is at least the entropy. H-hat is
the largest sum over the samples, or their 0.95 quantile. Delta is the divergence of the model's from the golden
responses, on `id` and on the subset, by their embeddings.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scoring.bootstrap import SubsetWeights
from scoring.divergence import representation_jsd
from scoring.divergence_influence import jsd_influence
from scoring.pair_matrix import PairBlock
from scoring.resamples import Resamples, linear_resamples
from scoring.stratified import MINIMUM_SAMPLES

HHatRule = Literal["max", "q95"]
SMALLEST_ROOTED = 1e-6
"""Below this a divergence is zero but for rounding."""


@dataclass(frozen=True)
class EntropyTerms:
    """Entropy terms in nats a response."""

    of_sums: float
    """Over samples, of the golden response's surprisal plus the model's: H-hat as Theorem 3.4 has it."""
    golden: float
    """Over samples, of the golden response's surprisal."""
    model: float
    """Over samples, of the model's response's surprisal."""


def entropy_terms(blocks: list[tuple[PairBlock, PairBlock]], rule: HHatRule) -> EntropyTerms | None:
    """Return the entropy terms over the samples of several subsets, each given as (golden block, model's block).

    None where fewer than three samples have both surprisals.
    """
    surprisals = [-np.stack([np.diagonal(golden.sums_N_N), np.diagonal(model.sums_N_N)]) for golden, model in blocks]
    both_2_M = np.concatenate(surprisals, axis=1)
    both_2_M = both_2_M[:, np.isfinite(both_2_M).all(axis=0)]
    if both_2_M.shape[1] < MINIMUM_SAMPLES:
        return None
    values = [both_2_M.sum(axis=0), both_2_M[0], both_2_M[1]]
    largest = [float(v.max() if rule == "max" else np.quantile(v, 0.95)) for v in values]
    return EntropyTerms(*largest)


@dataclass(frozen=True)
class Deviation:
    """Divergence of a model's responses from the golden ones on one subset, in nats."""

    jsd: float
    resamples: Resamples
    """First order."""


def response_deviation(
    model_N_D: NDArray[np.float64], golden_N_D: NDArray[np.float64], weights: SubsetWeights
) -> Deviation | None:
    """Return the deviation over the samples that have a response (a row without NaN), or None below three of them.

    Args:
        model_N_D: embeddings of the model's responses; a row of NaN where there is none.
        golden_N_D: embeddings of the golden responses of the same samples.
        weights: bootstrap weights of the same samples.
    """
    answered_N = np.isfinite(model_N_D).all(axis=1)
    if answered_N.sum() < MINIMUM_SAMPLES:
        return None
    model, golden = model_N_D[answered_N], golden_N_D[answered_N]
    jsd = representation_jsd(model, golden)
    of_model_N, of_golden_N = jsd_influence(model, golden)
    return Deviation(jsd, linear_resamples(of_model_N + of_golden_N, weights.take(answered_N), estimate=jsd))


def shift_resamples(
    id_N_D: NDArray[np.float64],
    subset_M_D: NDArray[np.float64],
    id_weights: SubsetWeights,
    subset_weights: SubsetWeights,
) -> Resamples:
    """Return the first-order resamples of the divergence between `id` and a subset, over all their samples."""
    of_id_N, of_subset_M = jsd_influence(id_N_D, subset_M_D)
    jsd = representation_jsd(id_N_D, subset_M_D)
    return linear_resamples(of_id_N, id_weights, estimate=jsd) + linear_resamples(
        of_subset_M, subset_weights, estimate=0.0
    )


def root_resamples(resamples: Resamples, value: float, power: float) -> Resamples | None:
    """Return first-order resamples of value ** power, given those of the value; None where it is nearly zero.

    There the derivative of a root is infinite, so that no interval can be given.
    """
    if value < SMALLEST_ROOTED:
        return None
    return Resamples(value**power, power * value ** (power - 1.0) * resamples.deviations_3_B)
