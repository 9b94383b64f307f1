"""Divergences of a subset from the in-distribution test at equal sample sizes, with the floor that size alone gives.

Two finite samples of one distribution differ, the more the smaller they are. So both sides are drawn down to equal
size, and the divergence between two disjoint sets of that size from the in-distribution test tells how much of it is
size alone. A statistic is a function of rows of one stack: the in-distribution samples first, then the subset's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.seeds import derive_seed
from scoring.divergence import representation_jsd

MINIMUM_ROWS = 3
"""Below this on a side no estimate is made."""
DRAWS = 10
SIZE_CAP = 512
"""Most rows on a side: the time grows with the cube of the size."""
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Statistic:
    """One or several divergences of two sets of rows of a stack."""

    names: tuple[str, ...]
    of_rows: Callable[[Rows, Rows], ArrayLike]
    """(rows of P, rows of Q) -> one value in nats for each name, in the order of the names."""


@dataclass(frozen=True)
class Null:
    """A statistic between disjoint sets of in-distribution samples; one serves all subsets drawn to its size."""

    names: tuple[str, ...]
    size: int
    """Rows on each side."""
    values_B_K: NDArray[np.float64]
    """One row a draw, one column a name."""


@dataclass(frozen=True)
class DivergenceEstimate:
    """A divergence at equal sample sizes, in nats; all values are None where a side would have under three rows."""

    raw: float | None
    """Mean over the draws; what the paper's terms compare with."""
    raw_spread: float | None
    """Standard deviation over the draws: what the choice of rows does, no standard error of `raw`."""
    null_mean: float | None
    """Mean divergence of two disjoint sets of in-distribution samples."""
    null_q95: float | None
    """0.95 quantile of that divergence over single draws, interpolated between them."""
    bias_removed: float | None
    """`raw - null_mean`; not clipped, so it can be negative. The bias shrinks as the distributions part (at ln 2 there
    is none), so this is near the large-sample value for near distributions and too small for distant ones. It is also
    too small, and can be far below zero, where the subset reuses texts of the in-distribution test (composed dialogues
    with their personas and characters): the same text on both sides makes them nearer than independent samples are."""
    size: int
    """Rows on each side of a draw."""
    draws: int


def embedding_statistic(stack_N_D: ArrayLike, name: str = "jsd") -> Statistic:
    """Return `representation_jsd` as a statistic of rows of a stack of embeddings."""
    stack = np.asarray(stack_N_D, dtype=np.float64)
    return Statistic((name,), lambda rows_P, rows_Q: [representation_jsd(stack[rows_P], stack[rows_Q])])


def matched_size(n_id: int, n_subset: int, cap: int = SIZE_CAP) -> int:
    """Return the rows on each side: those of the subset, but at most half the in-distribution test and the cap."""
    return min(n_id // 2, n_subset, cap)


def estimate_divergences(
    statistic: Statistic,
    n_id: int,
    n_subset: int,
    *,
    seed: int,
    draws: int = DRAWS,
    cap: int = SIZE_CAP,
    null: Null | None = None,
) -> dict[str, DivergenceEstimate]:
    """Return the estimate for each name of the statistic.

    Args:
        statistic: of rows 0 .. n_id - 1 (in-distribution) and n_id .. n_id + n_subset - 1 (subset).
        n_id: in-distribution test samples.
        n_subset: samples of the subset.
        seed: decides the draws. The in-distribution rows are the same for every subset of one size.
        draws: at least two.
        cap: most rows on a side.
        null: `null_divergences` at `matched_size`, computed once for subsets of one size; made here when not given.

    Raises:
        ValueError: fewer than two draws, or `null` is of another statistic or size.
    """
    if draws < 2:
        raise ValueError(f"draws is {draws}; a spread needs at least two")
    size = matched_size(n_id, n_subset, cap)
    if size < MINIMUM_ROWS:
        return {name: DivergenceEstimate(None, None, None, None, None, size, 0) for name in statistic.names}
    if null is None:
        null = null_divergences(statistic, n_id, size, seed=seed, draws=draws)
    if (null.names, null.size) != (statistic.names, size):
        raise ValueError(f"null is of {null.names} at {null.size} rows; here are {statistic.names} at {size}")
    id_rng = np.random.default_rng(derive_seed(seed, "divergence", "id", str(size)))
    subset_rng = np.random.default_rng(derive_seed(seed, "divergence", "subset", str(size)))
    pairs = [
        (id_rng.choice(n_id, size, replace=False), n_id + subset_rng.choice(n_subset, size, replace=False))
        for _ in range(draws)
    ]
    raw_B_K = _values(statistic, pairs)
    return {name: _summary(raw_B_K[:, i], null.values_B_K[:, i], size) for i, name in enumerate(statistic.names)}


def null_divergences(statistic: Statistic, n_id: int, size: int, *, seed: int, draws: int = DRAWS) -> Null:
    """Return the statistic between two disjoint random sets of `size` in-distribution rows, drawn `draws` times.

    Disjoint in samples: two samples with the same persona or character can fall on both sides.

    Raises:
        ValueError: the in-distribution test has fewer than twice `size` rows.
    """
    if n_id < 2 * size:
        raise ValueError(f"{n_id} in-distribution samples do not give two disjoint sets of {size}")
    rng = np.random.default_rng(derive_seed(seed, "divergence", "null", str(size)))
    orders = [rng.permutation(n_id) for _ in range(draws)]
    values_B_K = _values(statistic, [(order[:size], order[size : 2 * size]) for order in orders])
    return Null(statistic.names, size, values_B_K)


def _values(statistic: Statistic, pairs: list[tuple[Rows, Rows]]) -> NDArray[np.float64]:
    return np.array([np.asarray(statistic.of_rows(p, q), dtype=np.float64) for p, q in pairs])


def _summary(raw_B: NDArray[np.float64], null_B: NDArray[np.float64], size: int) -> DivergenceEstimate:
    return DivergenceEstimate(
        raw=float(raw_B.mean()),
        raw_spread=float(raw_B.std(ddof=1)),
        null_mean=float(null_B.mean()),
        null_q95=float(np.quantile(null_B, 0.95)),
        bias_removed=float(raw_B.mean() - null_B.mean()),
        size=size,
        draws=len(raw_B),
    )
