"""The upper bound on the scale of the paper's Table 12, from a line fitted to that table.

Table 12 prints three divergences and a bound for eleven shifts, but not the entropy and the error term that the bound
was made with. The bounds lie close to a line in S = sqrt(jsd_user) + sqrt(jsd_character) + sqrt(jsd_dialogue). Theorem
3.4 is such a line, with slope sqrt(2/3) H-hat and intercept 8 Delta^(1/4); read so, the two highest entropies of a
response would add up to 0.04 nats and Delta be 2e-9. The printed bounds must be scaled. Two parameters come from eleven
points of one model (SFT of Qwen3-4B): the line says where a shift would stand in that table. It bounds nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmark.published import published_bound_terms

PAPER_EMBEDDING = "Qwen/Qwen3-Embedding-0.6B"
"""The only embedding that the paper names, for finding in-context examples; it names none for its divergences."""


@dataclass(frozen=True)
class Calibration:
    """The least-squares line bound = intercept + slope * S through the published points."""

    slope: float
    intercept: float
    r_squared: float
    largest_error: float
    """Largest absolute residual, in units of the published bound."""
    n_points: int


@cache
def calibration() -> Calibration:
    """Return the line through the published Table 12."""
    rows = published_bound_terms()
    sums = np.array([root_sum((row.jsd_user, row.jsd_character, row.jsd_dialogue)) for row in rows])
    bounds = np.array([row.bound for row in rows])
    slope, intercept = np.polyfit(sums, bounds, 1)
    residuals = bounds - (intercept + slope * sums)
    return Calibration(
        slope=float(slope),
        intercept=float(intercept),
        r_squared=float(1 - (residuals**2).sum() / ((bounds - bounds.mean()) ** 2).sum()),
        largest_error=float(np.abs(residuals).max()),
        n_points=len(rows),
    )


def calibrated_bound(*, jsd_user: float, jsd_character: float, jsd_dialogue: float) -> float:
    """Return the fitted bound, on the scale of Table 12, for divergences in nats.

    The table's divergences hold the floor that finite samples have, so give raw ones, not those with the bias removed.
    Label the result by `calibration_label`.

    Raises:
        ValueError: a divergence is not in 0 .. ln 2.
    """
    line = calibration()
    return line.intercept + line.slope * root_sum((jsd_user, jsd_character, jsd_dialogue))


def root_sum(divergences: Sequence[float]) -> float:
    """Return the sum of the square roots; ValueError for a divergence outside 0 .. ln 2."""
    for value in divergences:
        if not 0.0 <= value <= math.log(2.0) + 1e-12:
            raise ValueError(f"a divergence is {value}; the calibrated bound takes raw ones, 0 .. ln 2 in nats")
    return sum(math.sqrt(value) for value in divergences)


def calibration_label(embedding: str) -> str:
    """Return the words that must stand beside a calibrated bound made with this embedding (its exact hub id)."""
    if embedding == PAPER_EMBEDDING:
        return (
            f"calibrated on the published Table 12, presuming that its divergences were made with {PAPER_EMBEDDING}; "
            "the paper does not name their embedding"
        )
    return f"uncalibrated: the line is for the divergences of the published Table 12, not for those of {embedding}"
