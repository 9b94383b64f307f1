"""Biases are measured rightly: numbers worked out by hand, and intervals that hold a known truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.bootstrap import ClusterBootstrap, SubsetWeights
from scoring.judge.bias import length_bias, mean_with_interval, position_bias


def weights(personas: object, characters: object, resamples: int = 400, seed: int = 0) -> SubsetWeights:
    codes = np.asarray(personas), np.asarray(characters)
    return ClusterBootstrap(*codes, resamples=resamples, seed=seed).weights(*codes)


def apart(number: int) -> SubsetWeights:
    """Return the weights of samples that share nothing."""
    return weights(np.arange(number), np.arange(number))


def test_a_judge_without_preference_has_no_position_bias() -> None:
    found = position_bias([1, 0, 0.5], [1, 0, 0.5], apart(3))
    assert (found.n, found.disagree.value, found.first_place.value) == (3, 0.0, 0.0)


def test_position_bias_is_that_worked_out_by_hand() -> None:
    """Both orders: first wins twice (+1), first wins and ties (+1/2), agreement (0), second wins twice (-1)."""
    found = position_bias([1, 1, 1, 0], [0, 0.5, 1, 1], apart(4))
    assert found.disagree.value == pytest.approx(3 / 4)
    assert found.first_place.value == pytest.approx((1 + 0.5 + 0 - 1) / 4)
    assert found.first_place.interval is not None
    assert found.first_place.interval.low < 0.125 < found.first_place.interval.high
    assert not found.first_place.interval.reliable


@pytest.mark.parametrize(("first", "second", "preference"), [(1.0, 0.0, 1.0), (0.0, 1.0, -1.0)])
def test_a_judge_that_goes_by_place_alone_has_all_of_it(first: float, second: float, preference: float) -> None:
    found = position_bias([first] * 5, [second] * 5, apart(5))
    assert (found.disagree.value, found.first_place.value) == (1.0, preference)


def test_without_verdicts_there_is_no_bias_and_never_zero() -> None:
    nothing = apart(1).take(np.array([False]))
    found = position_bias([], [], nothing)
    assert (found.n, found.disagree.value, found.first_place.value, found.disagree.interval) == (0, None, None, None)
    assert length_bias([], [], [], [], nothing).per_doubling.value is None
    assert mean_with_interval([], nothing).value is None


def test_orders_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values in one order and 2"):
        position_bias([1, 1, 1], [1, 1], apart(3))


def test_the_slope_is_that_of_a_doubling_of_length() -> None:
    """Lengths 1, 3, 7, 15 against 3 are -1, 0, 1, 2 doublings (one more character each); the value rises by 0.1."""
    found = length_bias([0.3, 0.4, 0.5, 0.6], [1, 3, 7, 15], [3] * 4, ["m"] * 4, apart(4))
    assert found.per_doubling.value == pytest.approx(0.1)
    assert found.spearman == pytest.approx(1.0)


def test_slope_and_rank_correlation_are_those_worked_out_by_hand() -> None:
    """x = -1, 0, 1 (centred), y = 0.5, 1, 0 (mean 0.5): slope (0 + 0 - 0.5) / 2; ranks 1 2 3 and 2 3 1: -1/2."""
    found = length_bias([0.5, 1.0, 0.0], [1, 3, 7], [3, 3, 3], ["m"] * 3, apart(3))
    assert found.per_doubling.value == pytest.approx(-0.25)
    assert found.spearman == pytest.approx(-0.5)


def test_a_good_and_wordy_method_is_no_length_bias() -> None:
    good = [0.9, 0.8, 0.9, 0.8], [63, 63, 31, 31]
    poor = [0.1, 0.2, 0.1, 0.2], [3, 3, 1, 1]
    values, lengths = (np.array([*one, *two]) for one, two in zip(good, poor, strict=True))
    methods = ["good"] * 4 + ["poor"] * 4
    assert np.corrcoef(values, np.log2(1 + lengths))[0, 1] > 0.9
    found = length_bias(values, lengths, [7] * 8, methods, apart(8))
    assert found.per_doubling.value == pytest.approx(0.0, abs=1e-12)
    assert found.spearman == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "lengths", "slope"), [([0.5, 1.0, 0.0], [3, 3, 3], None), ([0.5, 0.5, 0.5], [1, 3, 7], 0.0)]
)
def test_without_spread_there_is_no_correlation(values: list[float], lengths: list[int], slope: float | None) -> None:
    found = length_bias(values, lengths, [3] * 3, ["m"] * 3, apart(3))
    assert found.spearman is None
    assert found.per_doubling.value == (None if slope is None else pytest.approx(slope, abs=1e-12))


def test_columns_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not of equal number"):
        length_bias([1.0, 0.5], [3], [3], ["m"], apart(2))


def drawn_world(draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return personas, characters and lengths of 4 methods' responses to 100 samples, lengths clustered by both."""
    personas, characters = (np.tile(draw.integers(0, k, 100), 4) for k in (30, 40))
    clustered = draw.normal(0, 0.4, 30)[personas] + draw.normal(0, 0.4, 40)[characters]
    return personas, characters, np.round(50 * 2 ** (clustered + draw.normal(0, 0.5, 400)))


def test_intervals_hold_the_true_slope_and_the_true_preference_in_clustered_worlds() -> None:
    """400 responses of 4 methods; noise shared by persona, by character and by sample. 95 % is aimed at."""
    held = np.zeros(2)
    for world in range(200):
        draw = np.random.default_rng(world)
        personas, characters, lengths = drawn_world(draw)
        sample_noise = np.tile(draw.normal(0, 0.1, 100), 4)
        shared = draw.normal(0, 0.1, 30)[personas] + draw.normal(0, 0.1, 40)[characters] + sample_noise
        values = 0.07 * np.log2((1 + lengths) / 51) + shared + draw.normal(0, 0.2, 400)
        own = weights(personas, characters, resamples=200, seed=world)
        methods = [f"m{k // 100}" for k in range(400)]
        slope = length_bias(values, lengths, np.full(400, 50), methods, own).per_doubling.interval
        place = mean_with_interval(0.1 + shared + draw.normal(0, 0.5, 400), own).interval
        assert slope is not None
        assert place is not None
        held += (slope.low <= 0.07 <= slope.high, place.low <= 0.1 <= place.high)
    print(f"held the truth: slope {held[0] / 200:.1%}, mean {held[1] / 200:.1%}")
    assert (held >= 0.88 * 200).all()
