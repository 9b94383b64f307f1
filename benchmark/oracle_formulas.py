"""Exact information-theoretic formulas over finite alphabets, for a batch at once (nats, pure NumPy).

The last axis runs over outcomes and all axes before it are a batch; a conditional distribution has the two last
axes X (condition) and Y (outcome). 0 ln 0 is 0, and p ln(p / 0) is infinity.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def expected_log(p_B_K: Floats, values_B_K: Floats) -> Floats:
    """Return sum_k p_k ln values_k over the last axis; terms with p_k = 0 are 0 whatever the value."""
    with np.errstate(divide="ignore"):
        terms = np.where(p_B_K > 0, p_B_K * np.log(np.where(p_B_K > 0, values_B_K, 1.0)), 0.0)
    return np.asarray(terms.sum(axis=-1))


def entropies(p_B_K: Floats) -> Floats:
    """Return the Shannon entropies in nats."""
    return -expected_log(p_B_K, p_B_K)


def kl_divergences(p_B_K: Floats, q_B_K: Floats) -> Floats:
    """Return KL(p || q) in nats; infinity where p has mass and q has none."""
    ratio = np.divide(p_B_K, q_B_K, out=np.full(np.broadcast_shapes(p_B_K.shape, q_B_K.shape), np.inf), where=q_B_K > 0)
    return expected_log(np.broadcast_to(p_B_K, ratio.shape), ratio)


def js_divergences(p_B_K: Floats, q_B_K: Floats) -> Floats:
    """Return the Jensen-Shannon divergences in nats, 0 .. ln 2, equal weights."""
    middle_B_K = (p_B_K + q_B_K) / 2
    return np.asarray((kl_divergences(p_B_K, middle_B_K) + kl_divergences(q_B_K, middle_B_K)) / 2)


def total_variations(p_B_K: Floats, q_B_K: Floats) -> Floats:
    """Return the total variations, half the L1 distance, 0 .. 1."""
    return np.asarray(np.abs(p_B_K - q_B_K).sum(axis=-1) / 2)


def outcome_marginals(p_B_X: Floats, conditional_B_X_Y: Floats) -> Floats:
    """Return p(y) = sum_x p(x) p(y | x)."""
    return np.asarray((p_B_X[..., None, :] @ conditional_B_X_Y)[..., 0, :])


def mutual_informations(p_B_X: Floats, conditional_B_X_Y: Floats) -> Floats:
    """Return I(X; Y) = sum_x p(x) KL(p(. | x) || p(.)) in nats."""
    marginal_B_1_Y = outcome_marginals(p_B_X, conditional_B_X_Y)[..., None, :]
    divergence_B_X = _where_possible(p_B_X, kl_divergences(conditional_B_X_Y, marginal_B_1_Y))
    return np.asarray((p_B_X * divergence_B_X).sum(axis=-1))


def population_clubs(p_B_X: Floats, responses_B_X_Y: Floats, scorer_B_X_Y: Floats) -> Floats:
    """Return what CLUB (Cheng et al., 2020) estimates when `scorer` is its conditional: in nats.

    E over p(x) responses(y | x) of ln scorer(y | x), less the same expectation with y drawn from the marginal of
    the responses independently of x. Not finite where a pair is met that the scorer holds impossible.
    """
    marginal_B_1_Y = outcome_marginals(p_B_X, responses_B_X_Y)[..., None, :]
    paired_B_X = expected_log(responses_B_X_Y, scorer_B_X_Y)
    crossed_B_X = expected_log(np.broadcast_to(marginal_B_1_Y, scorer_B_X_Y.shape), scorer_B_X_Y)
    return np.asarray(
        (p_B_X * _where_possible(p_B_X, paired_B_X)).sum(axis=-1)
        - (p_B_X * _where_possible(p_B_X, crossed_B_X)).sum(axis=-1)
    )


def effective_mutual_informations(p_B_X: Floats, golden_B_X_Y: Floats, model_B_X_Y: Floats) -> Floats:
    """Return EMI = I(X; Y_theta) - I(X; Y) in nats (Oh et al., 2025)."""
    return mutual_informations(p_B_X, model_B_X_Y) - mutual_informations(p_B_X, golden_B_X_Y)


def _where_possible(p_B_X: Floats, values_B_X: Floats) -> Floats:
    """Blank the values at impossible inputs, which may be infinite there and count for nothing."""
    return np.where(p_B_X > 0, values_B_X, 0.0)
