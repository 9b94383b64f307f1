"""Search for worlds that break a bound: hill climbing of EMID over the bound, from random starts.

A world is moved in the logarithms of its probabilities, so that steps of widely different sizes make sense and
probabilities that are zero to rounding are reached. All restarts climb side by side, as one batch. The ratio is
climbed, not the difference: the difference of a bound that holds is largest where both are zero.
"""

from dataclasses import fields

import numpy as np

from benchmark.oracle_bounds import bound_terms
from benchmark.oracle_formulas import Floats
from benchmark.oracle_worlds import Sizes, WorldBatch, random_worlds
from reports.validation.forms import bounds

SMALLEST_STEP, LARGEST_STEP = 1e-3, 10.0
"""Standard deviations of a move in log probability are drawn log-uniformly between these."""
SHARE_MOVED = 0.3
"""Each entry is moved with this probability."""
OFFSET = 1e-3
"""Added to the bound, in nats, so that a ratio of two rounding errors is no summit."""
TABLES = tuple(field.name for field in fields(WorldBatch))


def climb(form: str, sizes: Sizes, restarts: int, steps: int, rng: np.random.Generator) -> WorldBatch:
    """Return the world that each restart ended at; the form of the bound is one of `forms.FORMS`.

    Starts come from the prior of `random_worlds` with concentration 1. A step moves one of the four tables of
    every world and is kept in a world where EMID / (bound + `OFFSET`) does not fall.
    """
    start = random_worlds(rng, restarts, sizes, concentration=1.0)
    logits: list[Floats] = [np.log(getattr(start, name)) for name in TABLES]
    height_B = _height(form, logits)
    for _ in range(steps):
        moved = int(rng.integers(len(TABLES)))
        proposal = list(logits)
        proposal[moved] = logits[moved] + _move(logits[moved].shape, rng)
        proposed_B = _height(form, proposal)
        kept_B = proposed_B >= height_B
        logits[moved][kept_B] = proposal[moved][kept_B]
        height_B = np.where(kept_B, proposed_B, height_B)
    return _worlds(logits)


def _height(form: str, logits: list[Floats]) -> Floats:
    terms = bound_terms(_worlds(logits))
    return np.asarray(terms.emid_B / (bounds(form, terms) + OFFSET))


def _move(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    one_a_world = (shape[0],) + (1,) * (len(shape) - 1)
    scale = np.exp(rng.uniform(np.log(SMALLEST_STEP), np.log(LARGEST_STEP), size=one_a_world))
    return np.asarray(scale * rng.standard_normal(shape) * (rng.random(shape) < SHARE_MOVED))


def _worlds(logits: list[Floats]) -> WorldBatch:
    p, q, golden, model = logits
    return WorldBatch(_softmax(p, (1, 2, 3)), _softmax(q, (1, 2, 3)), _softmax(golden, (4,)), _softmax(model, (4,)))


def _softmax(logits: Floats, axes: tuple[int, ...]) -> Floats:
    weights = np.exp(logits - logits.max(axis=axes, keepdims=True))
    return np.asarray(weights / weights.sum(axis=axes, keepdims=True))
