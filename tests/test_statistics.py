"""Resamples, intervals and p-values against loops, closed formulas and numbers worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from scoring.club import club_estimate
from scoring.statistics import (
    ClubBootstrap,
    ClusterBootstrap,
    Resamples,
    average,
    club_resamples,
    holm,
    interval,
    linear_resamples,
    p_value,
    standard_error,
)

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
PERSONAS = np.array([0, 0, 1, 2, 2, 3, 3, 4])
CHARACTERS = np.array([5, 6, 5, 6, 7, 8, 8, 9])
"""Personas 0, 2 and 3 and characters 5, 6 and 8 have two samples each; those of persona 3 are one cell."""


def off_diagonal(size: int) -> Mask:
    return ~np.eye(size, dtype=bool)


def random_matrix(size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(size, size))


def three_a_row(size: int) -> Mask:
    return np.array([[0 < (j - i) % size <= 3 for j in range(size)] for i in range(size)])


def of_deviations(estimate: float, *rows: list[float]) -> Resamples:
    return Resamples(estimate, np.array(rows))


def variances(resamples: Resamples) -> Floats:
    return np.asarray(resamples.deviations_3_B.var(axis=1, ddof=1))


# Replicates


def looped_replicate(matrix_N_N: Floats, negatives_N_N: Mask, w: Floats) -> float:
    size = len(w)
    pairs = [(i, j) for i in range(size) for j in range(size) if negatives_N_N[i, j]]
    positives = sum(w[i] * matrix_N_N[i, i] for i in range(size)) / sum(w)
    negatives = sum(w[i] * w[j] * matrix_N_N[i, j] for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs)
    return float(positives - negatives)


@pytest.mark.parametrize(
    ("personas", "characters", "negatives"),
    [
        (PERSONAS, CHARACTERS, off_diagonal(8)),
        (PERSONAS, CHARACTERS, three_a_row(8)),
        (np.arange(40), np.arange(40) // 2, three_a_row(40)),
        (np.array([0, 1]), np.array([0, 1]), off_diagonal(2)),
    ],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_replicates_are_those_of_a_loop_over_resamples_and_pairs(
    personas: Codes, characters: Codes, negatives: Mask, sparse: bool
) -> None:
    matrix = random_matrix(len(personas))
    weights = ClusterBootstrap(personas, characters, resamples=5, seed=3).weights(personas, characters)
    found = club_resamples(matrix, scipy.sparse.csr_array(negatives) if sparse else negatives, weights)
    assert found.estimate == pytest.approx(club_estimate(matrix, pairs=negatives))
    for clustering, deviations_B in zip(weights.clusterings, found.deviations_3_B, strict=True):
        k = len(set(clustering.codes_N.tolist()))
        for b in range(5):
            replicate = looped_replicate(matrix, negatives, clustering.weights_K_B[clustering.codes_N, b])
            assert deviations_B[b] == pytest.approx((replicate - found.estimate) * math.sqrt((k + 1) / (k - 1)))


def test_linear_replicates_are_those_of_a_loop() -> None:
    influence = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, -6.0])
    weights = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=4, seed=1).weights(PERSONAS, CHARACTERS)
    found = linear_resamples(influence, weights, estimate=10.0)
    assert found.estimate == 10.0
    for clustering, deviations_B in zip(weights.clusterings, found.deviations_3_B, strict=True):
        factor = math.sqrt((clustering.n_clusters + 1) / (clustering.n_clusters - 1))
        for b in range(4):
            w = clustering.weights_K_B[clustering.codes_N, b]
            expected = sum((w[i] / w.sum() - 1 / 8) * influence[i] for i in range(8))
            assert deviations_B[b] == pytest.approx(factor * expected)


def test_entries_that_are_neither_positives_nor_negatives_are_not_read() -> None:
    negatives = three_a_row(8)
    matrix = random_matrix(8)
    with_gaps = np.where(negatives | np.eye(8, dtype=bool), matrix, np.nan)
    weights = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=3, seed=1).weights(PERSONAS, CHARACTERS)
    expected = club_resamples(matrix, negatives, weights).deviations_3_B
    assert np.array_equal(club_resamples(with_gaps, negatives, weights).deviations_3_B, expected)


# Weights


def test_clusters_keep_their_weights_in_every_subset_and_order() -> None:
    table = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=6, seed=2)
    whole = table.weights(PERSONAS, CHARACTERS)
    order = np.array([6, 0, 3])
    part = table.weights(PERSONAS[order], CHARACTERS[order])
    for one, other in zip(whole.clusterings, part.clusterings, strict=True):
        assert np.array_equal(one.weights_K_B[one.codes_N[order]], other.weights_K_B[other.codes_N])


def test_weights_of_one_clustering_are_shared_within_clusters_only() -> None:
    weights = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=2, seed=2).weights(PERSONAS, CHARACTERS)
    persona, character, cell = (c.weights_K_B[c.codes_N, 0] for c in weights.clusterings)
    equal = {(i, j) for i in range(8) for j in range(i)}
    assert {(i, j) for i, j in equal if persona[i] == persona[j]} == {(1, 0), (4, 3), (6, 5)}
    assert {(i, j) for i, j in equal if character[i] == character[j]} == {(2, 0), (3, 1), (6, 5)}
    assert {(i, j) for i, j in equal if cell[i] == cell[j]} == {(6, 5)}
    assert [c.n_clusters for c in weights.clusterings] == [5, 5, 7]
    assert weights.n_clusters == 5


def test_taking_samples_is_the_same_as_asking_for_them() -> None:
    table = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=6, seed=2)
    kept = np.array([True, False, True, True, False, True, True, False])
    taken = table.weights(PERSONAS, CHARACTERS).take(kept)
    asked = table.weights(PERSONAS[kept], CHARACTERS[kept])
    assert [c.n_clusters for c in taken.clusterings] == [c.n_clusters for c in asked.clusterings] == [4, 3, 4]
    one, other = (club_resamples(random_matrix(5), off_diagonal(5), weights) for weights in (taken, asked))
    assert one.deviations_3_B == pytest.approx(other.deviations_3_B)


def test_the_seed_decides_the_draw() -> None:
    def deviations(seed: int) -> Floats:
        weights = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=10, seed=seed).weights(PERSONAS, CHARACTERS)
        return club_resamples(random_matrix(8), off_diagonal(8), weights).deviations_3_B

    assert np.array_equal(deviations(1), deviations(1))
    assert not np.isclose(deviations(1), deviations(2)).any()


def test_the_order_of_samples_changes_nothing() -> None:
    order = np.random.default_rng(0).permutation(8)
    matrix = random_matrix(8)
    table = ClusterBootstrap(PERSONAS[order], CHARACTERS[order], resamples=10, seed=1)
    one = club_resamples(matrix, off_diagonal(8), table.weights(PERSONAS, CHARACTERS))
    shuffled = table.weights(PERSONAS[order], CHARACTERS[order])
    other = club_resamples(matrix[np.ix_(order, order)], off_diagonal(8), shuffled)
    assert one.deviations_3_B == pytest.approx(other.deviations_3_B)


# Variances


def test_the_variance_of_a_mean_of_clusters_is_unbiased_for_few_clusters() -> None:
    means_K = np.array([1.0, 4.0, -2.0, 3.0, 9.0])
    personas = np.repeat(np.arange(5), 3)
    weights = ClusterBootstrap(personas, np.arange(15), resamples=40_000, seed=1).weights(personas, np.arange(15))
    found = linear_resamples(np.repeat(means_K, 3), weights, estimate=0.0)
    assert variances(found)[0] == pytest.approx(means_K.var(ddof=1) / 5, rel=0.03)


@pytest.mark.parametrize("swapped", [False, True])
def test_with_one_sample_a_persona_the_variance_is_that_of_characters_alone(swapped: bool) -> None:
    means_K = np.array([1.0, 4.0, -2.0, 3.0, 9.0, 0.5])
    codes = [np.arange(18), np.repeat(np.arange(6), 3)]
    personas, characters = reversed(codes) if swapped else codes
    weights = ClusterBootstrap(personas, characters, resamples=40_000, seed=1).weights(personas, characters)
    found = linear_resamples(np.repeat(means_K, 3), weights, estimate=0.0)
    error = standard_error(found)
    assert error is not None
    assert error**2 == pytest.approx(variances(found)[0 if swapped else 1], rel=1e-12)
    assert error**2 == pytest.approx(means_K.var(ddof=1) / 6, rel=0.03)


def test_crossed_clusters_give_the_variance_of_cameron_gelbach_and_miller() -> None:
    rng = np.random.default_rng(5)
    personas, characters = rng.permutation(np.arange(120) % 40), rng.permutation(np.arange(120) % 30)
    values = rng.normal(size=40)[personas] + rng.normal(size=30)[characters] + rng.normal(size=120)
    weights = ClusterBootstrap(personas, characters, resamples=20_000, seed=1).weights(personas, characters)
    error = standard_error(linear_resamples(values, weights, estimate=0.0))
    residuals = (values - values.mean()) / 120

    def one_way(codes: Codes) -> float:
        k = len(np.unique(codes))
        return float(k / (k - 1) * sum(residuals[codes == code].sum() ** 2 for code in np.unique(codes)))

    expected = one_way(personas) + one_way(characters) - one_way(personas * 1000 + characters)
    assert error is not None
    assert error**2 == pytest.approx(expected, rel=0.05)


def test_with_negatives_of_no_effect_club_varies_like_the_mean_of_its_diagonal() -> None:
    diagonal = np.random.default_rng(1).normal(size=8)
    weights = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=50, seed=1).weights(PERSONAS, CHARACTERS)
    found = club_resamples(np.diag(diagonal), off_diagonal(8), weights)
    assert found.deviations_3_B == pytest.approx(linear_resamples(diagonal, weights, estimate=0.0).deviations_3_B)


# Arithmetic of replicates


def test_replicates_are_linear_in_the_matrix() -> None:
    a, b = random_matrix(8, 1), random_matrix(8, 2)
    table = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=7, seed=1)
    club = ClubBootstrap(off_diagonal(8), table.weights(PERSONAS, CHARACTERS))
    for combined, expected in [
        (club.resamples(a) - club.resamples(b), a - b),
        (club.resamples(a) + 2 * club.resamples(b), a + 2 * b),
        (average([club.resamples(a), club.resamples(b)]), (a + b) / 2),
    ]:
        found = club.resamples(expected)
        assert combined.estimate == pytest.approx(found.estimate)
        assert combined.deviations_3_B == pytest.approx(found.deviations_3_B)


def test_the_difference_of_two_subsets_with_the_same_samples_does_not_vary() -> None:
    table = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=9, seed=1)
    matrix = random_matrix(8)
    one, other = (
        club_resamples(matrix, off_diagonal(8), table.weights(PERSONAS, CHARACTERS)) for _ in ("id", "shifted")
    )
    assert standard_error(one - other) == 0
    assert interval(one - other, 5) is not None
    assert p_value(one - other, 5) is None


# Intervals and p-values


def test_an_interval_by_hand() -> None:
    found = interval(of_deviations(1.0, [-1.0, 1.0], [-2.0, 2.0], [-1.0, 1.0]), 5)
    assert found is not None
    assert found.standard_error == pytest.approx(math.sqrt(2 + 8 - 2))
    assert (found.low, found.high) == pytest.approx((1 - 2.776445 * math.sqrt(8), 1 + 2.776445 * math.sqrt(8)))
    assert not found.reliable


def test_the_two_way_variance_is_at_least_the_larger_one_way_variance() -> None:
    assert standard_error(of_deviations(0.0, [-1.0, 1.0], [-2.0, 2.0], [-9.0, 9.0])) == pytest.approx(math.sqrt(8))


@pytest.mark.parametrize(("n_clusters", "reliable"), [(19, False), (20, True)])
def test_an_interval_says_whether_its_clusters_suffice(n_clusters: int, reliable: bool) -> None:
    found = interval(of_deviations(0.0, [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]), n_clusters)
    assert found is not None
    assert found.reliable is reliable


def test_one_cluster_has_no_interval_and_no_p_value() -> None:
    assert interval(of_deviations(0.0, [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]), 1) is None
    weights = ClusterBootstrap([0, 0, 0], [1, 2, 3], resamples=5, seed=1).weights([0, 0, 0], [1, 2, 3])
    found = club_resamples(random_matrix(3), off_diagonal(3), weights)
    assert math.isfinite(found.estimate)
    assert (interval(found, 2), p_value(found, 2), standard_error(found)) == (None, None, None)


def test_a_p_value_by_hand() -> None:
    """With two clusters t is Cauchy: P(|t| > 1) is one half, P(|t| > sqrt(3)) a third."""
    rows = ([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])
    assert p_value(of_deviations(-math.sqrt(2), *rows), 2) == pytest.approx(1 / 2)
    assert p_value(of_deviations(math.sqrt(6), *rows), 2) == pytest.approx(1 / 3)


def test_an_interval_excludes_zero_exactly_when_p_is_below_its_level() -> None:
    rng = np.random.default_rng(0)
    for estimate in np.linspace(0.5, 4, 30):
        resamples = Resamples(float(estimate), rng.normal(size=(3, 200)))
        found, p = interval(resamples, 15, level=0.9), p_value(resamples, 15)
        assert found is not None
        assert p is not None
        assert (found.low > 0) == (p < 0.1)


# Holm's correction


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, None, 0.02], [0.02, None, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([None, None], [None, None]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float | None], adjusted: list[float | None]) -> None:
    assert holm(p_values) == [None if p is None else pytest.approx(p) for p in adjusted]


def test_holm_keeps_the_order_of_p_values_between_them_and_bonferroni() -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 30):
        p = rng.beta(0.3, 2, size=size)
        adjusted = np.array(holm(p.tolist()), dtype=float)
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
        assert (adjusted >= p).all()
        assert (adjusted <= np.minimum(1, size * p)).all()
        order = rng.permutation(size)
        assert holm(p[order].tolist()) == adjusted[order].tolist()


# What is refused


@pytest.mark.parametrize(
    ("personas", "characters", "resamples", "message"),
    [
        ([0, 1], [0, 1], 1, "resamples"),
        ([0, 1], [0], 10, "shapes"),
        ([0, -1], [0, 1], 10, "whole numbers"),
        ([0.5, 1.0], [0, 1], 10, "whole numbers"),
    ],
)
def test_a_bootstrap_refuses_codes_it_cannot_number(
    personas: list[Any], characters: list[Any], resamples: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterBootstrap(personas, characters, resamples=resamples, seed=1)


def test_what_does_not_fit_is_refused() -> None:
    table = ClusterBootstrap(PERSONAS, CHARACTERS, resamples=5, seed=1)
    weights = table.weights(PERSONAS, CHARACTERS)
    with pytest.raises(ValueError, match="persona and character"):
        table.weights([0], [9])
    with pytest.raises(ValueError, match="negatives_N_N has shape"):
        club_resamples(random_matrix(8), off_diagonal(7), weights)
    with pytest.raises(ValueError, match="no entry"):
        club_resamples(random_matrix(8), np.zeros((8, 8), dtype=bool), weights)
    for place in [(2, 2), (0, 1)]:
        broken = random_matrix(8)
        broken[place] = np.nan
        with pytest.raises(ValueError, match="matrix_N_N"):
            club_resamples(broken, off_diagonal(8), weights)
    with pytest.raises(ValueError, match="influence_N"):
        linear_resamples(np.ones(7), weights, estimate=0.0)
    with pytest.raises(ValueError, match="no statistics"):
        average([])


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        interval(of_deviations(0.0, [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), 5, level=level)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p_value(p: float) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, p])
