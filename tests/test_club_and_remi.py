"""Mutual information and R-EMI against numbers worked out by hand."""

import numpy as np
import pytest
from conftest import make_sample
from numpy.typing import NDArray

from benchmark import Sample
from scoring.club import club_estimate
from scoring.clusters import SampleClusters
from scoring.negatives import choose_negatives
from scoring.pair_matrix import PairBlock
from scoring.remi import UNITS, RemiEstimate, SubsetRemi, Unit, estimate_remid

MATRIX = np.array([[-1.0, -4.0, -3.0], [-5.0, -2.0, -6.0], [-7.0, -8.0, -3.0]])
"""Diagonal mean -2, off-diagonal mean -5.5, mean of all -13/3."""


def samples(count: int) -> list[Sample]:
    return [make_sample(str(i), user_persona=f"persona {i}", last_query=f"query {i}") for i in range(count)]


def block(sums_N_N: NDArray[np.float64], tokens: list[int]) -> PairBlock:
    shape = (len(tokens), len(tokens))
    own = tuple(np.zeros(count) for count in tokens)
    return PairBlock(np.array(sums_N_N, dtype=np.float64), np.broadcast_to(np.array(tokens), shape), own)


def estimate(rows: list[Sample], golden: PairBlock, method: PairBlock, unit: Unit = "nats_per_token") -> RemiEstimate:
    clusters = SampleClusters(rows, resamples=200, seed=1)
    subset = SubsetRemi(rows, choose_negatives(rows, pairs="auto", seed=1), clusters)
    return subset.estimate_blocks(golden, method, unit)


def test_club_off_diagonal_by_hand() -> None:
    assert club_estimate(MATRIX) == pytest.approx(3.5)


def test_club_over_all_pairs_is_equation_2() -> None:
    assert club_estimate(MATRIX, pairs="all") == pytest.approx(-2 + 39 / 9)


def test_club_with_a_mask_of_negatives() -> None:
    mask = np.zeros((3, 3), dtype=bool)
    mask[0, 1] = True
    assert club_estimate(MATRIX, pairs=mask) == pytest.approx(-2 + 4)


@pytest.mark.parametrize(
    "matrix",
    [np.zeros((2, 3)), np.zeros((1, 1)), np.zeros(4), np.array([[0.0, np.nan], [0.0, 0.0]])],
)
def test_club_refuses_what_it_cannot_estimate_from(matrix: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="log_probs_N_N"):
        club_estimate(matrix)


def test_club_reads_the_diagonal_and_its_negatives_alone() -> None:
    mask = np.zeros((3, 3), dtype=bool)
    mask[0, 1] = True
    holed = np.where(mask | np.eye(3, dtype=bool), MATRIX, np.nan)
    assert club_estimate(holed, pairs=mask) == club_estimate(MATRIX, pairs=mask)
    with pytest.raises(ValueError, match=r"log_probs_N_N\[0, 2\] is nan"):
        club_estimate(holed)


def test_club_refuses_an_empty_mask_and_an_unknown_word() -> None:
    with pytest.raises(ValueError, match="mask"):
        club_estimate(MATRIX, pairs=np.zeros((3, 3), dtype=bool))
    with pytest.raises(ValueError, match="off_diagonal"):
        club_estimate(MATRIX, pairs="diagonal")  # type: ignore[arg-type]


def test_remi_is_the_models_term_less_the_references_in_both_units() -> None:
    golden = block(MATRIX * 2, [2, 2, 2])
    method = block(MATRIX * 4, [8, 8, 8])
    per_token = estimate(samples(3), golden, method)
    assert (per_token.reference_mi, per_token.model_mi) == pytest.approx((3.5, 1.75))
    assert per_token.remi == pytest.approx(-1.75)
    assert (per_token.n_samples, per_token.n_pairs, per_token.n_unscored) == (3, 6, 0)
    assert estimate(samples(3), golden, method, "nats_per_response").remi == pytest.approx(14 - 7)


def test_a_samples_contribution_is_its_own_row_and_their_mean_is_remi() -> None:
    golden, method = block(MATRIX * 2, [2, 2, 2]), block(MATRIX * 4, [2, 2, 2])
    found = estimate(samples(3), golden, method)
    assert found.contributions_N == pytest.approx(np.array([2.5, 3.5, 4.5]))
    assert found.remi == pytest.approx(3.5)


def test_the_resamples_belong_to_the_estimate() -> None:
    golden, method = block(MATRIX * 2, [2, 2, 2]), block(MATRIX * 4, [8, 8, 8])
    found = estimate(samples(3), golden, method)
    assert found.resamples is not None
    assert found.resamples.estimate == pytest.approx(found.remi)


def test_golden_responses_scored_as_a_methods_have_remi_zero() -> None:
    golden = block(MATRIX, [3, 2, 4])
    assert [estimate(samples(3), golden, golden, unit).remi for unit in UNITS] == [0.0, 0.0]


def test_an_unscored_sample_leaves_both_terms_and_is_counted() -> None:
    wide = np.pad(MATRIX, ((0, 1), (0, 1)), constant_values=-9.0)
    broken = wide.copy()
    broken[:, 3] = np.nan
    found = estimate(samples(4), block(wide, [1] * 4), block(broken, [1, 1, 1, 0]))
    assert (found.n_samples, found.n_unscored) == (3, 1)
    assert found.reference_mi == pytest.approx(3.5)
    assert found.remi == pytest.approx(0.0)
    assert found.contributions_N is not None
    assert np.isnan(found.contributions_N).tolist() == [False, False, False, True]


def test_fewer_than_three_samples_give_no_estimate_and_no_zero() -> None:
    small = block(MATRIX[:2, :2], [1, 1])
    found = estimate(samples(2), small, small)
    assert (found.remi, found.model_mi, found.reference_mi, found.interval) == (None, None, None, None)


def test_copies_of_one_sample_are_not_negatives_of_each_other() -> None:
    rows = [*samples(2), make_sample("copy", user_persona="persona 0", last_query="query 0")]
    found = estimate(rows, block(MATRIX, [1] * 3), block(MATRIX, [1] * 3))
    assert found.n_pairs == 4
    assert found.reference_mi == pytest.approx(-2 - (-4 - 5 - 6 - 8) / 4)


def test_remid_is_remi_on_the_first_less_remi_on_the_second_subset() -> None:
    golden, method = block(MATRIX * 2, [2, 2, 2]), block(MATRIX * 4, [8, 8, 8])
    near, far = estimate(samples(3), golden, golden), estimate(samples(3), golden, method)
    assert estimate_remid(near, far).remid == pytest.approx(0.0 - -1.75)
    assert estimate_remid(far, near).remid == pytest.approx(-1.75)


def test_remid_is_missing_where_one_of_its_terms_is() -> None:
    golden, small = block(MATRIX * 2, [2, 2, 2]), block(MATRIX[:2, :2], [1, 1])
    whole, none = estimate(samples(3), golden, golden), estimate(samples(2), small, small)
    assert estimate_remid(whole, none).remid is None
    assert estimate_remid(none, whole).interval is None
