"""The slope of R-EMI over the share of damaged responses, and R-EMI of swapped responses where the truth is known."""

import numpy as np
import pytest
from conftest import make_sample
from numpy.typing import NDArray

from benchmark import AgentCharacter, oracle
from benchmark.degradation import SHARES, degrade
from scoring.bootstrap import ClusterBootstrap, SubsetWeights
from scoring.club import club_estimate
from scoring.degradation_trend import DegradationTrend, DegradedColumn, degradation_trend
from scoring.statistics import ClubBootstrap, MethodMatrix, interval, p_value

Floats = NDArray[np.float64]
SIZE = 24
NEGATIVES = ~np.eye(SIZE, dtype=bool)
PERSONAS = np.arange(SIZE) // 2
CHARACTERS = np.arange(SIZE) % 9


def weights() -> SubsetWeights:
    return ClusterBootstrap(PERSONAS, CHARACTERS, resamples=200, seed=1).weights(PERSONAS, CHARACTERS)


def of_diagonals(*levels: float, shares: tuple[float, ...] = SHARES) -> list[DegradedColumn]:
    """Return columns whose CLUB is `levels` plus what they all have in common."""
    shared = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    scored = np.ones(SIZE, dtype=bool)
    return [
        DegradedColumn(f"d-{round(100 * share)}", share, MethodMatrix(shared + level * np.eye(SIZE), scored))
        for share, level in zip(shares, levels, strict=True)
    ]


def noisy(shares: tuple[float, ...] = SHARES) -> list[DegradedColumn]:
    rng = np.random.default_rng(5)
    scored = np.ones(SIZE, dtype=bool)
    return [DegradedColumn(f"d-{s}", s, MethodMatrix(rng.normal(size=(SIZE, SIZE)), scored)) for s in shares]


def trend(columns: list[DegradedColumn], golden: MethodMatrix | None = None) -> DegradationTrend:
    return degradation_trend(columns, golden or columns[0].matrix, NEGATIVES, weights())


def test_slope_and_points_by_hand() -> None:
    found = trend(of_diagonals(0.0, -1.0, -2.0, -3.0, -4.0))
    assert found.slope == pytest.approx(-4)
    assert [point.remi for point in found.points] == pytest.approx([0, -1, -2, -3, -4])
    assert [step.difference for step in found.steps] == pytest.approx([-1] * 4)
    assert (found.rises, found.n_samples, found.n_clusters) == ((), SIZE, 9)


@pytest.mark.parametrize("shares", [SHARES, (0.0, 1.0), (0.1, 0.2, 0.9)])
def test_the_slope_is_that_of_a_least_squares_fit(shares: tuple[float, ...]) -> None:
    columns = noisy(shares)
    remis = [club_estimate(c.matrix.log_probs_N_N) - club_estimate(columns[0].matrix.log_probs_N_N) for c in columns]
    found = trend(columns)
    assert found.slope == pytest.approx(np.polyfit(shares, remis, 1)[0])
    assert [point.remi for point in found.points] == pytest.approx(remis)


def test_the_interval_is_that_of_the_matrices_combined_the_same_way() -> None:
    columns = noisy((0.0, 0.5, 1.0))
    low, _, high = (column.matrix.log_probs_N_N for column in columns)
    resamples = ClubBootstrap(NEGATIVES, weights()).resamples(high - low)
    expected = interval(resamples, 9)
    found = trend(columns)
    assert found.interval is not None
    assert expected is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert found.p_value == pytest.approx(p_value(resamples, 9))


def test_what_all_shares_have_in_common_does_not_widen_the_interval() -> None:
    found = trend(of_diagonals(0.0, -1.0, -2.0, -3.0, -4.0))
    assert found.interval is not None
    assert found.interval.standard_error == pytest.approx(0, abs=1e-12)


def test_the_golden_responses_cancel_in_slope_and_steps() -> None:
    columns = noisy()
    other = MethodMatrix(np.random.default_rng(9).normal(size=(SIZE, SIZE)), np.ones(SIZE, dtype=bool))
    one, two = trend(columns), trend(columns, other)
    assert two.slope == pytest.approx(one.slope)
    assert [s.difference for s in two.steps] == pytest.approx([s.difference for s in one.steps])
    assert two.points[0].remi != pytest.approx(0)


def test_the_order_of_the_columns_changes_nothing() -> None:
    there, back = trend(noisy()), trend(noisy()[::-1], noisy()[0].matrix)
    assert [p.method for p in back.points] == [p.method for p in there.points]
    assert back.slope == pytest.approx(there.slope)


def test_steps_that_rise_are_named() -> None:
    found = trend(of_diagonals(0.0, -3.0, -2.0, -4.0, -4.5))
    assert [(step.smaller, step.larger) for step in found.rises] == [("d-25", "d-50")]
    assert found.rises[0].difference == pytest.approx(1)
    assert found.rises[0].rises_surely
    assert found.slope is not None
    assert found.slope < 0


def test_a_rise_within_its_interval_is_not_sure() -> None:
    (step,) = trend(noisy((0.0, 1.0))).steps
    assert step.interval is not None
    assert step.interval.low < 0 < step.interval.high
    assert not step.rises_surely


def test_a_sample_that_one_share_has_not_scored_leaves_all() -> None:
    columns = noisy()
    matrix = columns[2].matrix.log_probs_N_N.copy()
    matrix[:, 3] = matrix[3] = np.nan
    columns[2] = DegradedColumn("d", 0.5, MethodMatrix(matrix, np.arange(SIZE) != 3))
    found = trend(columns)
    kept = [i for i in range(SIZE) if i != 3]
    parts = [club_estimate(c.matrix.log_probs_N_N[np.ix_(kept, kept)]) for c in columns]
    assert [point.remi for point in found.points] == pytest.approx([part - parts[0] for part in parts])
    assert found.n_samples == SIZE - 1


def test_too_few_samples_have_no_slope_and_no_zero() -> None:
    columns = [DegradedColumn(c.method, c.share, MethodMatrix(c.matrix.log_probs_N_N, PERSONAS == 0)) for c in noisy()]
    found = trend(columns)
    assert (found.slope, found.interval, found.p_value, found.points, found.steps) == (None, None, None, (), ())
    assert found.n_samples == 2


@pytest.mark.parametrize("shares", [(0.5,), (0.5, 0.5)])
def test_one_share_has_no_slope(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two or more, each once"):
        trend(noisy(shares))


# Where the truth is known

N = 30
DRAWS = 400


def swapped_remis(world: oracle.OracleWorld, seed: int) -> list[float]:
    """Draw samples of a world, swap responses as texts at every share, and return R-EMI with exact likelihoods."""
    codes_N_3, golden_N, _ = oracle.sample(world, "P", N, np.random.default_rng([7, seed]))
    samples = [
        make_sample(
            f"s{i}",
            user_persona=f"user {u}",
            agent_character=AgentCharacter(f"agent {a}", "x", "x", "x", "x", "x"),
            last_query=f"dialogue {d}, number {i}",
            golden_response=str(y),
        )
        for i, ((u, a, d), y) in enumerate(zip(codes_N_3, golden_N, strict=True))
    ]
    found = degrade(samples, "swapped", seed=seed)
    clubs = []
    for share in SHARES:
        answers = [int(row["response"]) for row in found.rows if row["method"] == found.methods[share]]
        clubs.append(club_estimate(oracle.log_prob_matrix(world, codes_N_3, np.array(answers))))
    return [club - clubs[0] for club in clubs]


@pytest.mark.parametrize("world_seed", [0, 1, 2])
def test_swapped_responses_lower_remi_step_by_step_in_expectation(world_seed: int) -> None:
    world = oracle.random_world(np.random.default_rng(world_seed), (3, 3, 2, 5), 0.5)
    remis_R_S = np.array([swapped_remis(world, seed) for seed in range(DRAWS)])
    means_S, errors_S = remis_R_S.mean(axis=0), remis_R_S.std(axis=0) / DRAWS**0.5
    club = oracle.population_club(world.p_U_A_D, world.golden_U_A_D_Y, world.golden_U_A_D_Y)
    counts_S = np.array([int(share * N + 0.5) for share in SHARES])
    expected_S = -club * counts_S / (N - 1)
    assert (np.diff(means_S) < -3 * errors_S[1:]).all()
    assert (np.abs(means_S - expected_S) <= 4 * errors_S).all()
