"""Upper bounds on R-EMID as exact formulas of their terms: two as printed, and one that is proved.

Entropies, divergences and bounds are in nats a response. The forms as printed (paper, Theorem 3.4 and the restated
Theorem C.2) fail in some finite worlds; `corrected_upper_bound` holds in all. docs/theory.md derives each.
"""

import math

ROUNDING = 1e-9
"""How far a term may be below zero, or above the largest it can be, by rounding alone; it is then put there."""


def remid_upper_bound(
    *, jsd_user: float, jsd_character: float, jsd_dialogue: float, h_hat: float, delta: float
) -> float:
    """Return Theorem 3.4 as written: sqrt(2/3) h_hat (sum of the three sqrt(JSD)) + 8 delta^(1/4).

    Args:
        jsd_user: Jensen-Shannon divergence of the user personas under P and Q, in nats, 0 .. ln 2.
        jsd_character: the same of the agent characters.
        jsd_dialogue: the same of the dialogue contexts.
        h_hat: max over x of H(Y | x, r) + H(Y_theta | x, r), in nats.
        delta: delta_P + delta_Q, where delta_P is at least the divergence between the model's and the golden
            responses under P, and delta_Q under Q.

    Raises:
        ValueError: a term is NaN, infinite, negative, or larger than such a term can be.
    """
    roots = [
        math.sqrt(_divergence("jsd_user", jsd_user)),
        math.sqrt(_divergence("jsd_character", jsd_character)),
        math.sqrt(_divergence("jsd_dialogue", jsd_dialogue)),
    ]
    return math.sqrt(2 / 3) * _entropy("h_hat", h_hat) * sum(roots) + _deviation(delta)


def emid_upper_bound(*, jsd_joint: float, h_hat: float, delta: float) -> float:
    """Return Theorem C.2 as the paper restates it from Oh et al. (2025): h_hat sqrt(2 JSD) + 8 delta^(1/4).

    Args:
        jsd_joint: Jensen-Shannon divergence of the whole inputs x under P and Q, in nats, 0 .. ln 2.
        h_hat: as restated, max over x of H(Y | x) + H(Y_theta | x); what its first term needs is the sum of the
            two maxima.
        delta: as in `remid_upper_bound`.

    Raises:
        ValueError: as for `remid_upper_bound`.
    """
    return _entropy("h_hat", h_hat) * math.sqrt(2 * _divergence("jsd_joint", jsd_joint)) + _deviation(delta)


def corrected_upper_bound(
    *,
    jsd_joint: float,
    h_hat_golden: float,
    h_hat_model: float,
    tv_p: float,
    tv_q: float,
    log_n_responses: float,
) -> float:
    """Return (h_hat_golden + h_hat_model) min(1, sqrt(2 JSD)) + F(tv_p) + F(tv_q), which no finite world exceeds.

    F is `continuity_of_entropy`. Every argument may be replaced by an upper bound of it: the value only grows.

    Args:
        jsd_joint: Jensen-Shannon divergence of the whole inputs x under P and Q, in nats, 0 .. ln 2.
        h_hat_golden: max over x of H(Y | x), in nats.
        h_hat_model: max over x of H(Y_theta | x), in nats.
        tv_p: total variation between the model's and the golden responses under P, 0 .. 1.
        tv_q: the same under Q.
        log_n_responses: ln |Y|, 0 or at least ln 2; it may be huge, as for texts.

    Raises:
        ValueError: a term is NaN, infinite, negative, or larger than such a term can be.
    """
    entropy_range = _entropy("h_hat_golden", h_hat_golden) + _entropy("h_hat_model", h_hat_model)
    input_shift = min(1.0, math.sqrt(2 * _divergence("jsd_joint", jsd_joint)))
    deviations = continuity_of_entropy(tv_p, log_n_responses) + continuity_of_entropy(tv_q, log_n_responses)
    return entropy_range * input_shift + deviations


def continuity_of_entropy(total_variation: float, log_n_responses: float) -> float:
    """Return the largest entropy difference between distributions at most this far apart, in nats.

    F(t) = t ln(|Y| - 1) + h(t) (Fannes-Audenaert), h the binary entropy, at t = min(total_variation, 1 - 1/|Y|):
    beyond that point F falls, and there it equals ln |Y|, the most that entropies can differ.

    Raises:
        ValueError: the total variation is not in 0 .. 1, or `log_n_responses` is neither 0 nor at least ln 2.
    """
    variation = _within("total_variation", total_variation, 1.0)
    log_size = _within("log_n_responses", log_n_responses, math.inf)
    if log_size == 0:
        return 0.0
    if log_size < math.log(2) - ROUNDING:
        raise ValueError(f"log_n_responses is {log_size}; it must be 0 (one response) or at least ln 2")
    largest_share = -math.expm1(-log_size)
    if variation >= largest_share:
        return log_size
    log_others = log_size + math.log(largest_share)
    return variation * log_others + _binary_entropy(variation)


def _binary_entropy(share: float) -> float:
    if share in (0.0, 1.0):
        return 0.0
    return -share * math.log(share) - (1 - share) * math.log1p(-share)


def _deviation(delta: float) -> float:
    return 8 * math.sqrt(math.sqrt(_within("delta", delta, math.inf)))


def _divergence(name: str, value: float) -> float:
    return _within(name, value, math.log(2))


def _entropy(name: str, value: float) -> float:
    return _within(name, value, math.inf)


def _within(name: str, value: float, largest: float) -> float:
    """Return the value put into 0 .. largest; ValueError when it is outside by more than rounding, or not finite."""
    if not math.isfinite(value) or not -ROUNDING <= value <= largest + ROUNDING:
        allowed = "0 or more" if largest == math.inf else f"0 .. {largest:.6g}"
        raise ValueError(f"{name} is {value}; it must be a finite number, {allowed}")
    return min(max(float(value), 0.0), largest)
