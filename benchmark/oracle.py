"""The oracle: mutual information, EMI, EMID, population CLUB and samples of a world in which all is known (nats).

What estimators and bounds are validated against. Everything is computed by enumeration, nothing is estimated.
Distributions over inputs may have any shape (U x A x D, or flat); a conditional has one more axis, the response.
"""

import numpy as np
from numpy.typing import NDArray

from benchmark.oracle_formulas import (
    Floats,
    effective_mutual_informations,
    entropies,
    js_divergences,
    kl_divergences,
    mutual_informations,
    population_clubs,
    total_variations,
)
from benchmark.oracle_worlds import (
    OracleWorld,
    WorldBatch,
    alphabet_counterexample,
    parity_counterexample,
    random_world,
    random_worlds,
)

__all__ = [
    "OracleWorld",
    "WorldBatch",
    "alphabet_counterexample",
    "emi",
    "emid",
    "entropy",
    "input_marginals",
    "js_divergence",
    "kl_divergence",
    "log_prob_matrix",
    "mutual_information",
    "parity_counterexample",
    "population_club",
    "population_remi",
    "random_world",
    "random_worlds",
    "sample",
    "total_variation",
]


def entropy(p: Floats) -> float:
    """Return the Shannon entropy of a distribution of any shape, in nats."""
    return float(entropies(p.ravel()))


def kl_divergence(p: Floats, q: Floats) -> float:
    """Return KL(p || q) in nats, infinity where p has mass and q none; ValueError for unequal shapes."""
    return float(kl_divergences(*_alike(p, q)))


def js_divergence(p: Floats, q: Floats) -> float:
    """Return the Jensen-Shannon divergence in nats, at most ln 2; ValueError for unequal shapes."""
    return float(js_divergences(*_alike(p, q)))


def total_variation(p: Floats, q: Floats) -> float:
    """Return half the L1 distance, 0 .. 1; ValueError for unequal shapes."""
    return float(total_variations(*_alike(p, q)))


def mutual_information(px: Floats, conditional: Floats) -> float:
    """Return I(X; Y) in nats; `conditional` has the shape of `px` and one more axis, else ValueError."""
    return float(mutual_informations(px.ravel(), _rows(px, conditional)))


def input_marginals(p_U_A_D: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the marginals of user persona, agent character and dialogue."""
    return p_U_A_D.sum(axis=(1, 2)), p_U_A_D.sum(axis=(0, 2)), p_U_A_D.sum(axis=(0, 1))


def emi(world: OracleWorld, distribution: str) -> float:
    """Return EMI = I(X; Y_theta) - I(X; Y) in nats under "P" or "Q" (Oh et al., 2025; paper, Definition 3.1)."""
    px = world.input_distribution(distribution)
    golden_X_Y, model_X_Y = _rows(px, world.golden_U_A_D_Y), _rows(px, world.model_U_A_D_Y)
    return float(effective_mutual_informations(px.ravel(), golden_X_Y, model_X_Y))


def emid(world: OracleWorld) -> float:
    """Return EMID = EMI(P) - EMI(Q) in nats: above zero, the shift costs the model (paper, Definition 3.1)."""
    return emi(world, "P") - emi(world, "Q")


def population_club(px: Floats, responses_conditional: Floats, scorer_conditional: Floats) -> float:
    """Return what CLUB converges to when responses are drawn from one conditional and scored by another, in nats.

    E over p(x) responses(y | x) of ln scorer(y | x), less E over p(x) and, independently, the marginal of the
    responses. It is I(X; Y) + KL(p(x) p(y) || p(x, y)) when responses are scored by their own conditional, and no
    mutual information otherwise. ValueError when the shapes do not fit.
    """
    responses_X_Y, scorer_X_Y = _rows(px, responses_conditional), _rows(px, scorer_conditional)
    return float(population_clubs(px.ravel(), responses_X_Y, scorer_X_Y))


def population_remi(world: OracleWorld, distribution: str) -> float:
    """Return what R-EMI as computed converges to with an exact golden conditional, under "P" or "Q", in nats.

    The model's responses and the golden ones, both scored by the golden conditional (paper, Definition 3.2 and
    Eq. 2).
    """
    px = world.input_distribution(distribution)
    model_term = population_club(px, world.model_U_A_D_Y, world.golden_U_A_D_Y)
    return model_term - population_club(px, world.golden_U_A_D_Y, world.golden_U_A_D_Y)


def sample(
    world: OracleWorld, distribution: str, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw independent samples under "P" or "Q".

    Returns:
        codes_N_3 (user persona, agent character, dialogue), golden_N and model_N, the two responses to each.
    """
    px = world.input_distribution(distribution)
    inputs_N = _draw(np.broadcast_to(px.ravel(), (count, px.size)), rng)
    codes_N_3 = np.stack(np.unravel_index(inputs_N, px.shape), axis=1).astype(np.int64)
    golden_N = _draw(_rows(px, world.golden_U_A_D_Y)[inputs_N], rng)
    return codes_N_3, golden_N, _draw(_rows(px, world.model_U_A_D_Y)[inputs_N], rng)


def log_prob_matrix(world: OracleWorld, codes_N_3: NDArray[np.int64], responses_N: NDArray[np.int64]) -> Floats:
    """Return N x N, entry [i, j] = ln p(y_j | x_i) under the golden conditional: an estimator without error.

    Minus infinity where a response is impossible, which worlds with full support do not have.
    """
    rows_N_Y = world.golden_U_A_D_Y[tuple(codes_N_3.T)]
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(rows_N_Y)[:, responses_N])


def _draw(probabilities_N_K: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one outcome a row; dividing by the last sum keeps impossible last outcomes impossible."""
    cumulated_N_K = np.cumsum(probabilities_N_K, axis=-1)
    cumulated_N_K /= cumulated_N_K[:, -1:]
    thresholds_N_1 = rng.random((len(probabilities_N_K), 1))
    return np.asarray((cumulated_N_K <= thresholds_N_1).sum(axis=-1), dtype=np.int64)


def _alike(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    if p.shape != q.shape:
        raise ValueError(f"distributions of shapes {p.shape} and {q.shape} cannot be compared")
    return p.ravel(), q.ravel()


def _rows(px: Floats, conditional: Floats) -> Floats:
    if conditional.shape[:-1] != px.shape:
        raise ValueError(f"a conditional of shape {conditional.shape} does not fit inputs of shape {px.shape}")
    return conditional.reshape(px.size, -1)
