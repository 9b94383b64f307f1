"""Which pairs (x_i, y_j) stand for the product of the marginals in CLUB: the same ones for every method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from benchmark.seeds import derive_seed

PairSetting = Literal["auto", "all"]
ALL_PAIRS_UP_TO = 256
"""Samples of a subset up to which "auto" takes all off-diagonal pairs."""
SAMPLED_A_ROW = 64
"""Negatives a row that "auto" draws above that."""


@dataclass(frozen=True)
class Negatives:
    """The negatives of a subset."""

    mask_N_N: NDArray[np.bool_]
    """Entry [i, j] is set where y_j is a negative of x_i; never on the diagonal, never between copies."""
    label: str
    """"off_diagonal" (all of them) or "sampled_64" (so many drawn a row), as in `scores/remi.json`."""

    @property
    def wanted_N_N(self) -> NDArray[np.bool_]:
        """All pairs that need a likelihood: the negatives and the diagonal."""
        return self.mask_N_N | np.eye(len(self.mask_N_N), dtype=bool)


def choose_negatives(samples: Sequence[Sample], *, pairs: PairSetting, seed: int) -> Negatives:
    """Return the negatives of a subset's samples.

    Args:
        samples: the samples of one subset in their order.
        pairs: "auto" takes all off-diagonal pairs up to 256 samples and 64 seeded ones a row above; "all" takes
            all of them always.
        seed: of the draw; with the same samples it gives the same negatives.
    """
    allowed_N_N = ~same_input(samples)
    if pairs == "all" or len(samples) <= ALL_PAIRS_UP_TO:
        return Negatives(allowed_N_N, "off_diagonal")
    rng = np.random.default_rng(derive_seed(seed, "negatives", samples[0].subset))
    mask_N_N = np.zeros_like(allowed_N_N)
    for i, row_N in enumerate(allowed_N_N):
        candidates = np.flatnonzero(row_N)
        mask_N_N[i, rng.choice(candidates, size=min(SAMPLED_A_ROW, len(candidates)), replace=False)] = True
    return Negatives(mask_N_N, f"sampled_{SAMPLED_A_ROW}")


def same_input(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Return the mask of pairs with the same persona, character and dialogue: each sample with itself and copies."""
    inputs = [(s.user_persona, s.agent_character, s.turns, s.last_query) for s in samples]
    numbers = {content: number for number, content in enumerate(dict.fromkeys(inputs))}
    codes_N = np.array([numbers[content] for content in inputs], dtype=np.int64)
    return np.asarray(codes_N[:, None] == codes_N[None, :])
