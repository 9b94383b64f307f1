"""The four forms of the upper bound that are compared, each from the exact terms of one world."""

from collections.abc import Callable

import numpy as np

from benchmark.oracle_bounds import BoundTerms
from benchmark.oracle_formulas import Floats
from scoring.bound import corrected_upper_bound, emid_upper_bound, remid_upper_bound

FORMS = ("theorem", "restated", "separate_maxima", "corrected")
"""Theorem 3.4 and Theorem C.2 as printed; C.2 with the sum of two maxima; the form that is proved."""


def bounds(form: str, terms: BoundTerms) -> Floats:
    """Return one form of the bound for every world, in nats; KeyError for an unknown form."""
    one_world = _BY_NAME[form]
    return np.array([one_world(terms, world) for world in range(len(terms.emid_B))])


def _theorem(terms: BoundTerms, world: int) -> float:
    return remid_upper_bound(
        jsd_user=terms.jsd_user_B[world],
        jsd_character=terms.jsd_character_B[world],
        jsd_dialogue=terms.jsd_dialogue_B[world],
        h_hat=terms.h_hat_sum_B[world],
        delta=terms.delta_B[world],
    )


def _restated(terms: BoundTerms, world: int) -> float:
    return emid_upper_bound(
        jsd_joint=terms.jsd_joint_B[world], h_hat=terms.h_hat_sum_B[world], delta=terms.delta_B[world]
    )


def _separate_maxima(terms: BoundTerms, world: int) -> float:
    h_hat = terms.h_hat_golden_B[world] + terms.h_hat_model_B[world]
    return emid_upper_bound(jsd_joint=terms.jsd_joint_B[world], h_hat=h_hat, delta=terms.delta_B[world])


def _corrected(terms: BoundTerms, world: int) -> float:
    return corrected_upper_bound(
        jsd_joint=terms.jsd_joint_B[world],
        h_hat_golden=terms.h_hat_golden_B[world],
        h_hat_model=terms.h_hat_model_B[world],
        tv_p=terms.tv_p_B[world],
        tv_q=terms.tv_q_B[world],
        log_n_responses=terms.log_n_responses,
    )


_BY_NAME: dict[str, Callable[[BoundTerms, int], float]] = {
    "theorem": _theorem,
    "restated": _restated,
    "separate_maxima": _separate_maxima,
    "corrected": _corrected,
}
