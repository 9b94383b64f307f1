"""The terms of every upper bound on EMID, exact, for a batch of oracle worlds (nats).

Entropies are maximised over the inputs that P or Q can produce: on others the conditionals mean nothing.
"""

from dataclasses import dataclass

import numpy as np

from benchmark.oracle_formulas import (
    Floats,
    effective_mutual_informations,
    entropies,
    js_divergences,
    outcome_marginals,
    total_variations,
)
from benchmark.oracle_worlds import WorldBatch


@dataclass(frozen=True)
class BoundTerms:
    """EMID and what the bounds on it are made of; arrays have one entry a world."""

    emid_B: Floats
    jsd_user_B: Floats
    jsd_character_B: Floats
    jsd_dialogue_B: Floats
    jsd_joint_B: Floats
    """Divergence of the whole inputs."""
    h_hat_sum_B: Floats
    """max over x of H(Y | x) + H(Y_theta | x)."""
    h_hat_golden_B: Floats
    """max over x of H(Y | x)."""
    h_hat_model_B: Floats
    """max over x of H(Y_theta | x)."""
    delta_B: Floats
    """JSD of Y_theta and Y under P, plus the same under Q: the smallest delta that the theorems allow."""
    tv_p_B: Floats
    """Total variation between Y_theta and Y under P."""
    tv_q_B: Floats
    """The same under Q."""
    log_n_responses: float
    """ln |Y|."""


def bound_terms(worlds: WorldBatch) -> BoundTerms:
    """Return the terms of each world by enumeration."""
    p_B_U_A_D, q_B_U_A_D = worlds.p_B_U_A_D, worlds.q_B_U_A_D
    p_B_X, q_B_X = p_B_U_A_D.reshape(len(worlds), -1), q_B_U_A_D.reshape(len(worlds), -1)
    n_responses = worlds.golden_B_U_A_D_Y.shape[-1]
    golden_B_X_Y = worlds.golden_B_U_A_D_Y.reshape(*p_B_X.shape, n_responses)
    model_B_X_Y = worlds.model_B_U_A_D_Y.reshape(*p_B_X.shape, n_responses)
    possible_B_X = p_B_X + q_B_X > 0
    h_golden_B_X = np.where(possible_B_X, entropies(golden_B_X_Y), 0.0)
    h_model_B_X = np.where(possible_B_X, entropies(model_B_X_Y), 0.0)
    golden_p_B_Y, model_p_B_Y = outcome_marginals(p_B_X, golden_B_X_Y), outcome_marginals(p_B_X, model_B_X_Y)
    golden_q_B_Y, model_q_B_Y = outcome_marginals(q_B_X, golden_B_X_Y), outcome_marginals(q_B_X, model_B_X_Y)
    emi_p_B = effective_mutual_informations(p_B_X, golden_B_X_Y, model_B_X_Y)
    jsd_user_B, jsd_character_B, jsd_dialogue_B = (
        js_divergences(p_B_U_A_D.sum(axis=others), q_B_U_A_D.sum(axis=others)) for others in ((2, 3), (1, 3), (1, 2))
    )
    return BoundTerms(
        emid_B=emi_p_B - effective_mutual_informations(q_B_X, golden_B_X_Y, model_B_X_Y),
        jsd_user_B=jsd_user_B,
        jsd_character_B=jsd_character_B,
        jsd_dialogue_B=jsd_dialogue_B,
        jsd_joint_B=js_divergences(p_B_X, q_B_X),
        h_hat_sum_B=(h_golden_B_X + h_model_B_X).max(axis=-1),
        h_hat_golden_B=h_golden_B_X.max(axis=-1),
        h_hat_model_B=h_model_B_X.max(axis=-1),
        delta_B=js_divergences(model_p_B_Y, golden_p_B_Y) + js_divergences(model_q_B_Y, golden_q_B_Y),
        tv_p_B=total_variations(model_p_B_Y, golden_p_B_Y),
        tv_q_B=total_variations(model_q_B_Y, golden_q_B_Y),
        log_n_responses=float(np.log(n_responses)),
    )
