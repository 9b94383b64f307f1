"""Finite worlds of user personas, agent characters, dialogues and responses in which every probability is known.

A world holds the input distributions P and Q, the golden conditional p(y | x), which they share, and a model's
p_theta(y | x). Worlds are drawn from a Dirichlet prior, or are made to break a bound as printed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from benchmark.oracle_formulas import Floats

UNIFORM_SHARE = 1e-3
"""Random distributions are mixed with the uniform one at this weight, so that they have full support."""
TOLERANCE = 1e-9
"""How far the sum of a distribution may be from one."""

Sizes = tuple[int, int, int, int]
"""Numbers of user personas, agent characters, dialogues and responses."""


@dataclass(frozen=True)
class WorldBatch:
    """Worlds of equal sizes, one an index of the first axis; not validated, since searches make millions."""

    p_B_U_A_D: Floats
    q_B_U_A_D: Floats
    golden_B_U_A_D_Y: Floats
    model_B_U_A_D_Y: Floats

    def __len__(self) -> int:
        """Return the number of worlds."""
        return len(self.p_B_U_A_D)

    def __iter__(self) -> Iterator["OracleWorld"]:
        """Yield the worlds, validated."""
        for p, q, golden, model in zip(
            self.p_B_U_A_D, self.q_B_U_A_D, self.golden_B_U_A_D_Y, self.model_B_U_A_D_Y, strict=True
        ):
            yield OracleWorld(p, q, golden, model)


@dataclass(frozen=True)
class OracleWorld:
    """One world; arrays are float64 and checked when it is made.

    Raises:
        ValueError: shapes do not fit together, or a distribution is negative, not finite or does not sum to 1.
    """

    p_U_A_D: Floats
    """P(x), the distribution that the model was trained on."""
    q_U_A_D: Floats
    """Q(x), the shifted one."""
    golden_U_A_D_Y: Floats
    """p(y | x), the same under P and Q."""
    model_U_A_D_Y: Floats
    """p_theta(y | x)."""

    def __post_init__(self) -> None:
        """Check the shapes, then every distribution."""
        shapes = {field.name: np.shape(getattr(self, field.name)) for field in fields(self)}
        inputs, conditional = shapes["p_U_A_D"], shapes["golden_U_A_D_Y"]
        if len(inputs) != 3 or conditional[:-1] != inputs or 0 in conditional:
            raise ValueError(f"shapes {shapes} are not (U, A, D), (U, A, D), (U, A, D, Y), (U, A, D, Y)")
        if shapes["q_U_A_D"] != inputs or shapes["model_U_A_D_Y"] != conditional:
            raise ValueError(f"shapes {shapes}: P and Q, and the golden and the model's conditional, must be alike")
        for name, total_axes in (("p_U_A_D", 3), ("q_U_A_D", 3), ("golden_U_A_D_Y", 1), ("model_U_A_D_Y", 1)):
            _check_distribution(name, getattr(self, name), total_axes)

    def input_distribution(self, distribution: str) -> Floats:
        """Return P(x) or Q(x) as U x A x D; ValueError for any other name than "P" and "Q"."""
        if distribution not in ("P", "Q"):
            raise ValueError(f"distribution is '{distribution}'; use 'P' or 'Q'")
        return self.p_U_A_D if distribution == "P" else self.q_U_A_D

    def as_batch(self) -> WorldBatch:
        """Return a batch of this one world."""
        return WorldBatch(self.p_U_A_D[None], self.q_U_A_D[None], self.golden_U_A_D_Y[None], self.model_U_A_D_Y[None])


def random_worlds(rng: np.random.Generator, count: int, sizes: Sizes, concentration: float) -> WorldBatch:
    """Return worlds drawn from the prior that all studies here state.

    P and Q are independent draws from the symmetric Dirichlet distribution over the U A D inputs, and every row of
    p(y | x) and of p_theta(y | x) is one over the Y responses, all with the same concentration: 1 is uniform over
    distributions, below 1 favours distributions with few likely outcomes. Each draw is then mixed with the uniform
    distribution at weight `UNIFORM_SHARE`.

    Raises:
        ValueError: a size is not positive, or the concentration is not.
    """
    if min(sizes) < 1 or not concentration > 0:
        raise ValueError(f"sizes {sizes} and concentration {concentration} must all be positive")
    *inputs, responses = sizes
    n_inputs = int(np.prod(inputs))

    def draw(shape: tuple[int, ...], outcomes: int) -> Floats:
        drawn = rng.dirichlet(np.full(outcomes, concentration), size=shape)
        return (1 - UNIFORM_SHARE) * drawn + UNIFORM_SHARE / outcomes

    return WorldBatch(
        draw((count,), n_inputs).reshape(count, *inputs),
        draw((count,), n_inputs).reshape(count, *inputs),
        draw((count, *inputs), responses),
        draw((count, *inputs), responses),
    )


def random_world(rng: np.random.Generator, sizes: Sizes, concentration: float) -> OracleWorld:
    """Return one world of the prior of `random_worlds`."""
    return next(iter(random_worlds(rng, 1, sizes, concentration)))


def parity_counterexample() -> OracleWorld:
    """Return the world in which a shift of the coupling alone, with equal marginals, costs 2 ln 2.

    User, character and dialogue are bits; P is uniform where their sum is even, Q where it is odd. The golden
    response is a fair coin on even inputs and the user's bit on odd ones, the model's the other way round.
    """
    parity_U_A_D = np.indices((2, 2, 2)).sum(axis=0) % 2
    even_U_A_D_1 = (parity_U_A_D == 0)[..., None]
    coin_Y = np.full(2, 0.5)
    user_bit_U_1_1_Y = np.eye(2)[:, None, None, :]
    return OracleWorld(
        p_U_A_D=(parity_U_A_D == 0) / 4,
        q_U_A_D=(parity_U_A_D == 1) / 4,
        golden_U_A_D_Y=np.where(even_U_A_D_1, coin_Y, user_bit_U_1_1_Y),
        model_U_A_D_Y=np.where(even_U_A_D_1, user_bit_U_1_1_Y, coin_Y),
    )


def alphabet_counterexample(size: int) -> OracleWorld:
    """Return the world in which no entropy term helps and the loss is ln(size), whatever the divergences say.

    P is uniform over `size` personas and Q always the first. The golden response is always the first one; the
    model names the persona. All conditional entropies are zero. ValueError when `size` is below 2.
    """
    if size < 2:
        raise ValueError(f"size is {size}; at least 2 personas are needed")
    first = np.eye(size)[0]
    return OracleWorld(
        p_U_A_D=np.full((size, 1, 1), 1 / size),
        q_U_A_D=first.reshape(size, 1, 1),
        golden_U_A_D_Y=np.tile(first, (size, 1)).reshape(size, 1, 1, size),
        model_U_A_D_Y=np.eye(size).reshape(size, 1, 1, size),
    )


def _check_distribution(name: str, values: Floats, total_axes: int) -> None:
    array = np.asarray(values)
    if array.dtype != np.float64 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must be float64, finite and nowhere negative")
    totals = array.sum(axis=tuple(range(array.ndim - total_axes, array.ndim)))
    worst = float(np.abs(totals - 1).max())
    if worst > TOLERANCE:
        raise ValueError(f"{name} has a distribution whose sum is {worst:.3g} from 1")
