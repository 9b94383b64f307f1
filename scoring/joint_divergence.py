"""Joint divergence of persona, character and dialogue, and its exact split into a part for each.

The features of a sample are the tensor product of its three L2-normalised embeddings, so the kernel is the product of
the three kernels and the features are never built. Adding a component cannot lower the divergence (taking one away is a
partial trace, which cannot raise it), so the joint one also sees known parts in new combinations. The product of three
kernels is nearly the identity: for small samples the joint divergence is near ln 2 whatever they are, and only what
`scoring.divergence_estimate` finds above its floor says something.
"""

from dataclasses import astuple, dataclass, fields
from itertools import combinations, permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoring.divergence import gram_jsd, unit_rows
from scoring.divergence_estimate import Rows, Statistic

COMPONENTS = ("user", "character", "dialogue")


@dataclass(frozen=True)
class JointDivergence:
    """Divergences in nats, each 0 .. ln 2; the three parts are not negative and add up to the joint divergence."""

    jsd_joint: float
    part_user: float
    part_character: float
    part_dialogue: float
    jsd_user: float
    """Divergence of the component alone; the three do not add up to the joint one."""
    jsd_character: float
    jsd_dialogue: float


def joint_divergence(user: ArrayLike, character: ArrayLike, dialogue: ArrayLike, *, n: int) -> JointDivergence:
    """Return the joint divergence of the first n samples from the others, with its Shapley parts.

    The part of a component is the mean, over the six orders in which the components can be added to the product, of
    what it adds to the divergence there.

    Args:
        user: embeddings of the personas, one row a sample, P's before Q's; widths may differ between components.
        character: embeddings of the characters of the same samples.
        dialogue: embeddings of the dialogues of the same samples.
        n: number of samples of P.

    Raises:
        ValueError: the numbers of rows differ, a row is zero or not finite, or P or Q would be empty.
    """
    kernels = {name: _kernel(rows) for name, rows in zip(COMPONENTS, (user, character, dialogue), strict=True)}
    if len({len(kernel) for kernel in kernels.values()}) > 1:
        raise ValueError(f"the components have {[len(kernel) for kernel in kernels.values()]} rows; give equally many")
    values = {frozenset[str](): 0.0}
    for size in range(1, len(COMPONENTS) + 1):
        for names in combinations(COMPONENTS, size):
            product = np.prod([kernels[name] for name in names], axis=0)
            values[frozenset(names)] = gram_jsd(product, n)
    parts = _shapley(values)
    return JointDivergence(
        values[frozenset(COMPONENTS)], *(parts[c] for c in COMPONENTS), *(values[frozenset({c})] for c in COMPONENTS)
    )


def joint_statistic(user_N_D: ArrayLike, character_N_E: ArrayLike, dialogue_N_F: ArrayLike) -> Statistic:
    """Return the fields of `JointDivergence` as a statistic of rows of three stacks, for `estimate_divergences`."""
    stacks = [np.asarray(stack, dtype=np.float64) for stack in (user_N_D, character_N_E, dialogue_N_F)]

    def of_rows(rows_P: Rows, rows_Q: Rows) -> NDArray[np.float64]:
        rows = np.concatenate([rows_P, rows_Q])
        user, character, dialogue = (stack[rows] for stack in stacks)
        result = joint_divergence(user, character, dialogue, n=len(rows_P))
        return np.array(astuple(result))

    return Statistic(tuple(field.name for field in fields(JointDivergence)), of_rows)


def _kernel(rows_N_D: ArrayLike) -> NDArray[np.float64]:
    unit = unit_rows(rows_N_D)
    return np.asarray(unit @ unit.T)


def _shapley(values: dict[frozenset[str], float]) -> dict[str, float]:
    """Return each component's mean marginal value over all orders, given the value of every set of components."""
    parts = dict.fromkeys(COMPONENTS, 0.0)
    orders = list(permutations(COMPONENTS))
    for order in orders:
        for position, name in enumerate(order):
            before = frozenset(order[:position])
            parts[name] += (values[before | {name}] - values[before]) / len(orders)
    return parts
