"""Representation divergence and its influences, against hand-made numbers and explicit weighting."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.divergence import gram_jsd, representation_jsd, unit_rows
from scoring.divergence_influence import jsd_influence

Array = NDArray[np.float64]


def gaussian(rows: int, width: int, seed: int, shift: float = 0.0) -> Array:
    sample = np.random.default_rng(seed).normal(size=(rows, width))
    sample[:, 0] += shift
    return sample


def weighted_divergence(P: Array, Q: Array, w: Array, v: Array) -> float:
    """The definition, slowly: density matrices as sums of outer products, entropies from all eigenvalues."""

    def density(rows: Array, weights: Array) -> Array:
        units = [row / math.sqrt(row @ row) for row in rows]
        total: Array = sum(x * np.outer(u, u) for x, u in zip(weights / weights.sum(), units, strict=True))
        return total

    def entropy(rho: Array) -> float:
        return -sum(float(x) * math.log(x) for x in np.linalg.eigvalsh(rho) if x > 0)

    p, q = density(P, w), density(Q, v)
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def test_two_directions_in_other_shares_by_hand() -> None:
    first, second = np.eye(2)
    P, Q = np.array([first, first, first, second]), np.array([first, second])

    def h(x: float) -> float:
        return -x * math.log(x) - (1 - x) * math.log(1 - x)

    assert representation_jsd(P, Q) == pytest.approx(h(5 / 8) - (h(3 / 4) + h(1 / 2)) / 2)


def test_two_pure_states_by_hand() -> None:
    """One row a side at cosine c: the mixture has the eigenvalues (1 + c) / 2 and (1 - c) / 2."""
    c = 0.6
    expected = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert representation_jsd([[1.0, 0.0]], [[c, math.sqrt(1 - c**2)]]) == pytest.approx(expected)


def test_equal_samples_have_zero_and_orthogonal_ones_ln_2() -> None:
    P = gaussian(7, 5, 1)
    assert representation_jsd(P, P) == pytest.approx(0.0, abs=1e-12)
    assert representation_jsd(np.pad(P, ((0, 0), (0, 5))), np.pad(P, ((0, 0), (5, 0)))) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("n", "m", "width"), [(6, 9, 4), (6, 9, 40), (9, 6, 15), (3, 30, 12)])
def test_covariances_and_gram_matrix_and_the_definition_agree(n: int, m: int, width: int) -> None:
    P, Q = gaussian(n, width, 2), gaussian(m, width, 3, shift=1.0)
    stacked = unit_rows(np.concatenate([P, Q]))
    expected = weighted_divergence(P, Q, np.ones(n), np.ones(m))
    assert representation_jsd(P, Q) == pytest.approx(expected, abs=1e-10)
    assert gram_jsd(stacked @ stacked.T, n) == pytest.approx(expected, abs=1e-10)


def test_a_sample_repeated_as_a_whole_changes_nothing() -> None:
    P, Q = gaussian(6, 5, 4), gaussian(8, 5, 5)
    assert representation_jsd(np.tile(P, (3, 1)), Q) == pytest.approx(representation_jsd(P, Q), abs=1e-12)


def test_it_is_symmetric_and_blind_to_lengths_and_rotations() -> None:
    P, Q = gaussian(6, 5, 6), gaussian(8, 5, 7)
    rotation = np.linalg.qr(gaussian(5, 5, 8))[0]
    lengths = np.random.default_rng(9).uniform(0.1, 9.0, size=(6, 1))
    value = representation_jsd(P, Q)
    assert representation_jsd(Q, P) == pytest.approx(value, abs=1e-12)
    assert representation_jsd(P * lengths @ rotation, Q @ rotation) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("P", "Q", "message"),
    [
        (np.array([[1.0, 0.0], [0.0, 0.0]]), np.eye(2), "embedding 1 is zero"),
        (np.eye(2), np.array([[np.nan, 1.0]]), "embedding 0 is zero or not finite"),
        (np.eye(2), np.eye(3), "2 and 3 dimensions"),
        (np.ones(3), np.eye(3), "matrix"),
        (np.ones((0, 3)), np.eye(3), "matrix"),
    ],
)
def test_what_has_no_direction_is_refused(P: Array, Q: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        representation_jsd(P, Q)
    with pytest.raises(ValueError, match=message):
        jsd_influence(P, Q)


@pytest.mark.parametrize(
    ("kernel", "n", "message"),
    [
        (np.eye(3), 0, "split after 0"),
        (np.eye(3), 3, "split after 3"),
        (np.ones((2, 3)), 1, "shape"),
        (2 * np.eye(3), 1, "ones on its diagonal"),
        (np.array([[1.0, 0.5], [0.1, 1.0]]), 1, "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), 1, "positive semidefinite"),
    ],
)
def test_what_is_no_kernel_of_unit_vectors_is_refused(kernel: Array, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gram_jsd(kernel, n)


@pytest.mark.parametrize(("n", "m", "width"), [(12, 9, 4), (5, 7, 30), (5, 40, 10)], ids=["full", "low", "one low"])
def test_influences_are_the_derivative_of_the_weighted_divergence(n: int, m: int, width: int) -> None:
    P, Q = gaussian(n, width, 10), gaussian(m, width, 11, shift=1.0)
    influence_N, influence_M = jsd_influence(P, Q)
    step = 1e-5
    for i in range(n):
        up, down = (np.full(n, 1 / n) for _ in range(2))
        up[i] += step
        down[i] -= step
        slope = (weighted_divergence(P, Q, up, np.ones(m)) - weighted_divergence(P, Q, down, np.ones(m))) / (2 * step)
        assert influence_N[i] == pytest.approx(slope, abs=1e-6)
    swapped_M, swapped_N = jsd_influence(Q, P)
    assert swapped_N == pytest.approx(influence_N, abs=1e-12)
    assert swapped_M == pytest.approx(influence_M, abs=1e-12)


def test_the_error_of_the_first_order_falls_with_the_square_of_the_change() -> None:
    P, Q = gaussian(20, 6, 12), gaussian(15, 6, 13, shift=1.0)
    influence_N, influence_M = jsd_influence(P, Q)
    rng = np.random.default_rng(14)
    dw, dv = rng.normal(size=20), rng.normal(size=15)
    dw, dv = (dw - dw.mean()) / 20, (dv - dv.mean()) / 15

    def error(size: float) -> float:
        exact = weighted_divergence(P, Q, 1 / 20 + size * dw, 1 / 15 + size * dv)
        return abs(exact - representation_jsd(P, Q) - size * float(dw @ influence_N + dv @ influence_M))

    assert error(0.1) / error(0.01) == pytest.approx(100, rel=0.1)


def test_copies_and_samples_of_one_direction_have_equal_influence_without_a_logarithm_of_zero() -> None:
    P = np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0]])
    influence_N, influence_M = jsd_influence(P, P)
    assert influence_N[0] == pytest.approx(influence_N[1], abs=1e-12)
    assert np.concatenate([influence_N, influence_M]) == pytest.approx(np.zeros(6), abs=1e-12)


def test_bootstrapped_influences_have_the_spread_of_new_samples() -> None:
    """A bootstrap that computes each resample's divergence anew is far above; the first order stays where it is."""
    rng = np.random.default_rng(15)

    def draw() -> tuple[Array, Array]:
        scale = np.arange(1, 17) ** -0.5
        return rng.normal(size=(50, 16)) * scale, rng.normal(size=(50, 16)) * scale + np.eye(16)[0]

    fresh = np.array([representation_jsd(*draw()) for _ in range(200)])
    spreads, excess = [], []
    for _ in range(20):
        P, Q = draw()
        influence_N, influence_M = jsd_influence(P, Q)
        rows = rng.integers(50, size=(2, 200, 50))
        spreads.append((influence_N[rows[0]].mean(axis=1) + influence_M[rows[1]].mean(axis=1)).std())
        excess.append(representation_jsd(P[rows[0, 0]], Q[rows[1, 0]]) - representation_jsd(P, Q))
    assert np.mean(spreads) == pytest.approx(fresh.std(), rel=0.15)
    assert np.mean(excess) > 2 * fresh.std()
