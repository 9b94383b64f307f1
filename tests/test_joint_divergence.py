"""The joint divergence against explicit tensor features, and its parts against the definition of Shapley values."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.divergence import representation_jsd, unit_rows
from scoring.divergence_estimate import estimate_divergences
from scoring.joint_divergence import JointDivergence, joint_divergence, joint_statistic

Array = NDArray[np.float64]
N, M = 9, 7


def stacks(seed: int) -> tuple[Array, Array, Array]:
    """Embeddings of three widths, whose means differ between P (the first nine) and Q."""
    rng = np.random.default_rng(seed)
    user, character, dialogue = (rng.normal(size=(N + M, width)) + 1.0 for width in (3, 4, 2))
    user[N:, 0] += 2.0
    dialogue[N:, 1] -= 1.0
    return user, character, dialogue


def features(*components: Array) -> Array:
    """The tensor product of unit vectors, written out."""
    product, *others = [unit_rows(component) for component in components]
    for rows in others:
        product = np.einsum("ni,nj->nij", product, rows).reshape(N + M, -1)
    return product


def values(user: Array, character: Array, dialogue: Array) -> dict[str, float]:
    """Divergences of every set of components from explicit features."""
    sets = {
        "u": user,
        "a": character,
        "d": dialogue,
        "ua": features(user, character),
        "ud": features(user, dialogue),
        "ad": features(character, dialogue),
        "uad": features(user, character, dialogue),
    }
    return {name: representation_jsd(rows[:N], rows[N:]) for name, rows in sets.items()}


def test_the_product_kernel_is_that_of_the_tensor_features() -> None:
    parts = stacks(1)
    result, expected = joint_divergence(*parts, n=N), values(*parts)
    assert result.jsd_joint == pytest.approx(expected["uad"], abs=1e-10)
    marginals = (result.jsd_user, result.jsd_character, result.jsd_dialogue)
    assert marginals == pytest.approx((expected["u"], expected["a"], expected["d"]), abs=1e-10)


def test_the_parts_are_the_shapley_values_of_three_players() -> None:
    parts = stacks(2)
    v = values(*parts)
    result = joint_divergence(*parts, n=N)
    user = v["u"] / 3 + (v["ua"] - v["a"] + v["ud"] - v["d"]) / 6 + (v["uad"] - v["ad"]) / 3
    dialogue = v["d"] / 3 + (v["ud"] - v["u"] + v["ad"] - v["a"]) / 6 + (v["uad"] - v["ua"]) / 3
    assert (result.part_user, result.part_dialogue) == pytest.approx((user, dialogue), abs=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_parts_add_up_and_more_components_never_diverge_less(seed: int) -> None:
    parts = stacks(seed)
    result, v = joint_divergence(*parts, n=N), values(*parts)
    split = (result.part_user, result.part_character, result.part_dialogue)
    assert sum(split) == pytest.approx(result.jsd_joint, abs=1e-14)
    assert min(split) >= 0
    for fewer in v:
        for more in v:
            if set(fewer) < set(more):
                assert v[fewer] <= v[more] + 1e-12


def test_a_component_that_is_the_same_everywhere_gets_no_part_and_the_others_share_alike() -> None:
    user = stacks(3)[0]
    result = joint_divergence(user, np.ones((N + M, 2)), user, n=N)
    assert result.part_character == pytest.approx(0.0, abs=1e-12)
    assert result.part_user == pytest.approx(result.part_dialogue, abs=1e-12)


def test_it_sees_a_new_pairing_that_the_marginals_do_not() -> None:
    """Persona and character are one of two directions, paired alike under P and crosswise under Q."""
    first, second = np.eye(2)
    user = np.array([first, second, first, second])
    character = np.array([first, second, second, first])
    result = joint_divergence(user, character, np.ones((4, 1)), n=2)
    assert (result.jsd_user, result.jsd_character) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert result.jsd_joint == pytest.approx(math.log(2))
    assert (result.part_user, result.part_character) == pytest.approx((math.log(2) / 2,) * 2)


def test_components_with_other_numbers_of_rows_are_refused() -> None:
    user, character, dialogue = stacks(4)
    with pytest.raises(ValueError, match="rows"):
        joint_divergence(user, character[:-1], dialogue, n=N)


def test_as_a_statistic_it_takes_rows_of_the_stacks_and_stays_additive_over_draws() -> None:
    user, character, dialogue = stacks(5)
    statistic = joint_statistic(user, character, dialogue)
    rows_P, rows_Q = np.array([0, 3, 5]), np.array([10, 12, 15])
    rows = [*rows_P, *rows_Q]
    expected = joint_divergence(user[rows], character[rows], dialogue[rows], n=3)
    assert JointDivergence(*statistic.of_rows(rows_P, rows_Q)) == expected  # type: ignore[misc]
    estimates = estimate_divergences(statistic, N, M, seed=0)
    for value in ("raw", "null_mean", "bias_removed"):
        found = {name: getattr(estimate, value) for name, estimate in estimates.items()}
        assert found["part_user"] + found["part_character"] + found["part_dialogue"] == pytest.approx(
            found["jsd_joint"], abs=1e-12
        )
