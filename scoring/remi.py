"""R-EMI of each method on each subset from blocks of log-likelihoods (paper, Definition 3.2 and Eq. 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from scoring.club import club_estimate, negatives_mask
from scoring.pair_matrix import PairBlock

UNITS = ("nats_per_token", "nats_per_response")
MINIMUM_SAMPLES = 3
"""Below this no estimate is made."""


@dataclass(frozen=True)
class RemiEstimate:
    """R-EMI of one method on one subset; None where too few samples were scored."""

    unit: str
    remi: float | None
    model_mi: float | None
    reference_mi: float | None
    n_samples: int
    n_clusters: int
    """Crossed clusters: the smaller of the numbers of personas and of characters."""
    n_pairs: int
    n_unscored: int


def estimate_remi(samples: Sequence[Sample], golden: PairBlock, method: PairBlock) -> list[RemiEstimate]:
    """Return I(X; Y_theta) - I(X; Y) in nats a token and in nats a response, both by CLUB over the same samples.

    A sample that the method left unanswered, or whose pairs do not fit the estimator, is left out of both terms
    and counted. Copies of one sample are never negatives of each other.
    """
    kept = golden.scored_N & method.scored_N
    kept_samples = [sample for sample, keep in zip(samples, kept, strict=True) if keep]
    negatives = negatives_mask(len(kept_samples), "off_diagonal") & ~_copies(kept_samples) if kept_samples else None
    estimates = []
    for unit in UNITS:
        reference = _club(_matrix(golden, unit)[np.ix_(kept, kept)], negatives)
        model = _club(_matrix(method, unit)[np.ix_(kept, kept)], negatives)
        estimates.append(
            RemiEstimate(
                unit=unit,
                remi=None if model is None or reference is None else model - reference,
                model_mi=model,
                reference_mi=reference,
                n_samples=len(kept_samples),
                n_clusters=_clusters(kept_samples),
                n_pairs=0 if negatives is None else int(negatives.sum()),
                n_unscored=len(samples) - len(kept_samples),
            )
        )
    return estimates


def _matrix(block: PairBlock, unit: str) -> NDArray[np.float64]:
    return block.means_N_N if unit == "nats_per_token" else block.sums_N_N


def _club(matrix_N_N: NDArray[np.float64], negatives: NDArray[np.bool_] | None) -> float | None:
    if negatives is None or len(matrix_N_N) < MINIMUM_SAMPLES or not negatives.any():
        return None
    return club_estimate(matrix_N_N, pairs=negatives)


def _copies(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Return the mask of pairs with the same input."""
    inputs = [(s.user_persona, s.agent_character, s.turns, s.last_query) for s in samples]
    numbers = {content: number for number, content in enumerate(dict.fromkeys(inputs))}
    codes_N = np.array([numbers[content] for content in inputs])
    return np.asarray(codes_N[:, None] == codes_N[None, :])


def _clusters(samples: Sequence[Sample]) -> int:
    personas = {sample.user_persona for sample in samples}
    characters = {sample.agent_character for sample in samples}
    return min(len(personas), len(characters))
