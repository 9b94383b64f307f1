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
    """"off_diagonal" (all of them) or "sampled_64" (so many drawn a row), as in `scores/remi.json`; with "_in_fold"
    behind it where they are taken from the row's own fold alone."""
    folds_N: NDArray[np.int64] | None = None
    """The fold of each sample, which CLUB is made within (see `scoring.stratified`); None for one fold."""

    @property
    def wanted_N_N(self) -> NDArray[np.bool_]:
        """All pairs that need a likelihood: the negatives and the diagonal."""
        return self.mask_N_N | np.eye(len(self.mask_N_N), dtype=bool)

    @property
    def rows_without_negatives(self) -> int:
        """Number of inputs that no other sample can be compared with."""
        return int((~self.mask_N_N.any(axis=1)).sum())


def choose_negatives(
    samples: Sequence[Sample], *, pairs: PairSetting, seed: int, folds: Sequence[int] | None = None
) -> Negatives:
    """Return the negatives of a subset's samples.

    Args:
        samples: the samples of one subset in their order.
        pairs: "auto" takes all off-diagonal pairs up to 256 samples and 64 seeded ones a row above; "all" takes
            all of them always.
        seed: of the draw; with the same samples it gives the same negatives.
        folds: the fold that scores each sample, under a policy model of its own: only samples of one fold are
            negatives of each other. None for one fold.

    Raises:
        ValueError: not one fold a sample.
    """
    allowed_N_N = ~same_input(samples)
    folds_N = None if folds is None else np.array(folds, dtype=np.int64)
    if folds_N is not None:
        if folds_N.shape != (len(samples),):
            raise ValueError(f"{len(folds_N)} folds are given for {len(samples)} samples")
        allowed_N_N &= folds_N[:, None] == folds_N[None, :]
    where = "" if folds_N is None else "_in_fold"
    if pairs == "all" or len(samples) <= ALL_PAIRS_UP_TO:
        return Negatives(allowed_N_N, f"off_diagonal{where}", folds_N)
    rng = np.random.default_rng(derive_seed(seed, "negatives", samples[0].subset))
    mask_N_N = np.zeros_like(allowed_N_N)
    for i, row_N in enumerate(allowed_N_N):
        candidates = np.flatnonzero(row_N)
        mask_N_N[i, rng.choice(candidates, size=min(SAMPLED_A_ROW, len(candidates)), replace=False)] = True
    return Negatives(mask_N_N, f"sampled_{SAMPLED_A_ROW}{where}", folds_N)


def same_input(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Return the mask of pairs with the same persona, character and dialogue: each sample with itself and copies."""
    inputs = [(s.user_persona, s.agent_character, s.turns, s.last_query) for s in samples]
    numbers = {content: number for number, content in enumerate(dict.fromkeys(inputs))}
    codes_N = np.array([numbers[content] for content in inputs], dtype=np.int64)
    return np.asarray(codes_N[:, None] == codes_N[None, :])
