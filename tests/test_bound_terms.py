"""The terms of the bounds, against numbers worked out by hand and against divergences of reweighted samples."""

import math
from typing import Any

import numpy as np
import pytest
from divergence_helpers import Floats, weighted_divergence

from scoring.bootstrap import ClusterWeights, SubsetWeights
from scoring.bound_terms import (
    EntropyTerms,
    HHatRule,
    entropy_terms,
    response_deviation,
    root_resamples,
    shift_resamples,
)
from scoring.divergence import representation_jsd
from scoring.pair_matrix import PairBlock
from scoring.resamples import Resamples

STEP = 1e-4
"""Size of the reweighting that first order must follow."""


def own_log_probs(*values: float) -> PairBlock:
    """Return a block with these log-likelihoods of each sample's own response; off-diagonal ones are far larger."""
    sums_N_N = np.full((len(values), len(values)), -99.0)
    np.fill_diagonal(sums_N_N, values)
    return PairBlock(sums_N_N, np.ones(sums_N_N.shape, dtype=np.int64), tuple(np.empty(0) for _ in values))


@pytest.mark.parametrize(
    ("rule", "of_sums", "golden", "model"),
    [("max", 8.0, 5.0, 6.0), ("q95", 7.7, 4.7, 5.4)],  # of 3 5 8 6, of 1 3 2 5, of 2 2 6 1
)
def test_entropy_terms_are_the_largest_surprisals_or_their_quantile_over_both_subsets(
    rule: HHatRule, of_sums: float, golden: float, model: float
) -> None:
    blocks = [(own_log_probs(-1, -3), own_log_probs(-2, -2)), (own_log_probs(-2, -5), own_log_probs(-6, -1))]
    found = entropy_terms(blocks, rule)
    assert found is not None
    assert (found.of_sums, found.golden, found.model) == pytest.approx((of_sums, golden, model))


def test_a_sample_that_one_of_both_did_not_score_takes_no_part_in_any_term() -> None:
    golden = own_log_probs(-1, -100, -2, -3, -4)
    model = own_log_probs(-1, math.nan, -1, -1, -9)
    blocks = [(golden, model), (own_log_probs(math.nan), own_log_probs(-50))]
    assert entropy_terms(blocks, "max") == EntropyTerms(of_sums=13.0, golden=4.0, model=9.0)


@pytest.mark.parametrize(("values", "known"), [((-1, -2), False), ((-1, -2, math.nan), False), ((-1, -2, -3), True)])
def test_below_three_samples_there_are_no_entropy_terms(values: tuple[float, ...], known: bool) -> None:
    block = own_log_probs(*values)
    assert (entropy_terms([(block, block)], "max") is not None) == known


# Reweighting


def gaussian(rows: int, seed: int, shift: float = 0.0) -> Floats:
    return np.asarray(np.random.default_rng(seed).normal(size=(rows, 5)) + shift * np.eye(5)[0])


def reweighted(size: int, seed: int) -> SubsetWeights:
    """Return weights near one, each sample its own persona, character and cell; three resamples."""
    noise = np.random.default_rng(seed).normal(size=(size, 3))
    weights = ClusterWeights(np.arange(size), 1 + STEP * noise, size)
    return SubsetWeights((weights, weights, weights))


def raw_deviations(resamples: Resamples, *sizes: int) -> Floats:
    """Return the deviations of one clustering without the small-cluster factor; all sizes are equal."""
    (size,) = set(sizes)
    assert (resamples.deviations_3_B == resamples.deviations_3_B[0]).all()
    return np.asarray(resamples.deviations_3_B[0] / math.sqrt((size + 1) / (size - 1)))


def test_resamples_of_a_shift_follow_the_reweighted_divergence_to_first_order() -> None:
    P, Q = gaussian(12, 1), gaussian(12, 2, shift=1.0)
    of_id, of_subset = reweighted(12, 3), reweighted(12, 4)
    found = shift_resamples(P, Q, of_id, of_subset)
    assert found.estimate == representation_jsd(P, Q)
    weights = zip(of_id.clusterings[0].weights_K_B.T, of_subset.clusterings[0].weights_K_B.T, strict=True)
    expected = [weighted_divergence(P, Q, w, v) - found.estimate for w, v in weights]
    assert raw_deviations(found, 12, 12) == pytest.approx(expected, rel=0.02, abs=1e-8)
    assert min(map(abs, expected)) > 1e-7


def test_resamples_of_a_deviation_weight_a_samples_two_responses_alike() -> None:
    model, golden_rows = gaussian(12, 5, shift=0.5), gaussian(12, 6)
    weights = reweighted(12, 7)
    found = response_deviation(model, golden_rows, weights)
    assert found is not None
    assert found.jsd == found.resamples.estimate == representation_jsd(model, golden_rows)
    expected = [weighted_divergence(model, golden_rows, w, w) - found.jsd for w in weights.clusterings[0].weights_K_B.T]
    assert raw_deviations(found.resamples, 12) == pytest.approx(expected, rel=0.02, abs=1e-8)


def test_a_deviation_is_over_the_samples_that_have_a_response() -> None:
    model, golden_rows, weights = gaussian(6, 8), gaussian(6, 9), reweighted(6, 10)
    kept = np.array([True, False, True, True, False, True])
    missing = np.where(kept[:, None], model, np.nan)
    found = response_deviation(missing, golden_rows, weights)
    alone = response_deviation(model[kept], golden_rows[kept], weights.take(kept))
    assert found is not None
    assert alone is not None
    assert found.jsd == alone.jsd == representation_jsd(model[kept], golden_rows[kept])
    assert (found.resamples.deviations_3_B == alone.resamples.deviations_3_B).all()


def test_golden_responses_deviate_by_nothing() -> None:
    rows = gaussian(8, 11)
    found = response_deviation(rows, rows, reweighted(8, 12))
    assert found is not None
    assert found.jsd == pytest.approx(0.0, abs=1e-12)
    assert np.abs(found.resamples.deviations_3_B).max() < 1e-12


@pytest.mark.parametrize("answered", [0, 2])
def test_below_three_responses_there_is_no_deviation(answered: int) -> None:
    model = gaussian(5, 13)
    model[answered:] = np.nan
    assert response_deviation(model, gaussian(5, 14), reweighted(5, 15)) is None


# Roots


@pytest.mark.parametrize("power", [0.5, 0.25])
def test_resamples_of_a_root_follow_the_root_to_first_order(power: float) -> None:
    value, moves = 0.3, np.array([[1e-6, -2e-6], [3e-6, 0.0], [-1e-6, 5e-7]])
    found = root_resamples(Resamples(value, moves), value, power)
    assert found is not None
    assert found.estimate == value**power
    assert found.deviations_3_B == pytest.approx((value + moves) ** power - value**power, rel=1e-4, abs=1e-14)


def test_a_root_is_taken_around_the_value_that_is_shown() -> None:
    found = root_resamples(Resamples(0.04, np.full((3, 2), 0.01)), 0.16, 0.5)
    assert found is not None
    assert found.estimate == 0.4
    assert found.deviations_3_B == pytest.approx(np.full((3, 2), 0.01 / (2 * 0.4)))


@pytest.mark.parametrize(("value", "known"), [(0.0, False), (9e-7, False), (2e-6, True)])
def test_a_root_of_nearly_zero_has_no_resamples(value: float, known: bool) -> None:
    resamples: Any = root_resamples(Resamples(value, np.ones((3, 2))), value, 0.5)
    assert (resamples is not None) == known
