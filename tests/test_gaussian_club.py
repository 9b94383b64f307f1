"""The Gaussian CLUB of the original EMID, against Gaussians whose mutual information and CLUB limit are known."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from scoring.club import club_estimate
from scoring.gaussian_club import GaussianClub, GaussianClubSettings, train_gaussian_club

Matrix = NDArray[np.float64]
SHORT = GaussianClubSettings(hidden_width=8, steps=40)


def correlated_pairs(rows: int, width: int, rho: float, seed: int) -> tuple[Matrix, Matrix]:
    """Return standard normal x and y whose coordinates are correlated one to one."""
    generator = np.random.default_rng(seed)
    x_N_D, noise_N_D = generator.normal(size=(2, rows, width))
    return x_N_D, rho * x_N_D + math.sqrt(1 - rho**2) * noise_N_D


def small(seed: int = 0, settings: GaussianClubSettings = SHORT) -> GaussianClub:
    return train_gaussian_club(*correlated_pairs(40, 3, 0.6, 0), settings, seed)


@pytest.mark.parametrize(("width", "rho"), [(4, 0.6), (8, 0.5)])
def test_on_correlated_gaussians_the_estimate_nears_the_limit_of_club_and_lies_above_the_information(
    width: int, rho: float
) -> None:
    club = train_gaussian_club(*correlated_pairs(1000, width, rho, 0), GaussianClubSettings(), 0)
    x_N_D, y_N_D = correlated_pairs(1500, width, rho, 1)
    log_probs_N_N = club.log_densities(x_N_D, y_N_D)
    information = -width / 2 * math.log(1 - rho**2)
    limit = width * rho**2 / (1 - rho**2)  # I(X; Y) + KL(p_x p_y || p_xy): what CLUB has with the exact conditional
    estimate = club_estimate(log_probs_N_N)
    assert estimate == pytest.approx(limit, rel=0.15)
    assert estimate > information


def test_the_learned_conditional_recovers_the_known_mutual_information() -> None:
    club = train_gaussian_club(*correlated_pairs(1000, 4, 0.6, 0), GaussianClubSettings(), 0)
    x_N_D, y_N_D = correlated_pairs(1500, 4, 0.6, 1)
    log_marginal_N = -0.5 * (y_N_D**2 + math.log(2 * math.pi)).sum(axis=1)
    lower_bound = np.diagonal(club.log_densities(x_N_D, y_N_D)).mean() - log_marginal_N.mean()
    assert lower_bound == pytest.approx(-2 * math.log(1 - 0.36), abs=0.25)  # 0.893 nats


@pytest.mark.parametrize("seed", [0, 1])
def test_independent_pairs_have_about_no_information(seed: int) -> None:
    club = train_gaussian_club(*correlated_pairs(1000, 6, 0.0, seed), GaussianClubSettings(), seed)
    assert abs(club_estimate(club.log_densities(*correlated_pairs(1500, 6, 0.0, seed + 10)))) < 0.1


def test_log_densities_are_the_gaussian_formula_entry_by_entry() -> None:
    club = small()
    x_N_D, y_M_E = correlated_pairs(5, 3, 0.0, 2)[0], correlated_pairs(7, 3, 0.0, 3)[1]
    mean_N_E, variance_N_E = club.moments(x_N_D)
    log_probs_N_M = club.log_densities(x_N_D, y_M_E)
    assert log_probs_N_M.shape == (5, 7)
    assert log_probs_N_M.dtype == np.dtype(np.float64)
    for i in range(5):
        for j in range(7):
            density = 1.0
            for value, mean, variance in zip(y_M_E[j], mean_N_E[i], variance_N_E[i], strict=True):
                density *= math.exp(-((value - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            assert log_probs_N_M[i, j] == pytest.approx(math.log(density), abs=1e-10)


def test_moments_are_the_networks_outputs_by_hand() -> None:
    zero, one = torch.zeros(1), torch.ones(1, 1)
    club = GaussianClub(mean=[one, zero, 3 * one, zero + 2], log_variance=[one, zero, one, zero])
    mean_N_E, variance_N_E = club.moments([[0.5], [0.0]])
    assert mean_N_E[:, 0] == pytest.approx([2 + 3 * math.tanh(0.5), 2.0])
    assert variance_N_E[:, 0] == pytest.approx([math.exp(math.tanh(math.tanh(0.5))), 1.0])


def test_variances_stay_between_1_over_e_and_e_however_narrow_or_wide_the_data() -> None:
    x_N_D, y_N_D = correlated_pairs(60, 3, 0.5, 0)
    settings = GaussianClubSettings(hidden_width=8, steps=400)
    for scale, edge in ((0.01, 1 / math.e), (30.0, math.e)):
        variance_N_E = train_gaussian_club(x_N_D, scale * y_N_D, settings, 0).moments(x_N_D)[1]
        assert variance_N_E == pytest.approx(np.full((60, 3), edge), rel=0.05)


def test_the_same_seed_gives_the_same_densities_and_another_seed_others() -> None:
    x_N_D, y_N_D = correlated_pairs(10, 3, 0.6, 5)
    first, again, other = (small(seed).log_densities(x_N_D, y_N_D) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_training_neither_changes_nor_reads_the_global_random_state() -> None:
    x_N_D, y_N_D = correlated_pairs(10, 3, 0.6, 5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small().log_densities(x_N_D, y_N_D)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(small().log_densities(x_N_D, y_N_D), first)


def test_training_stops_before_it_learns_noise_by_heart() -> None:
    club = train_gaussian_club(*correlated_pairs(1000, 8, 0.0, 0), GaussianClubSettings(), 0)
    fresh = club.log_densities(*correlated_pairs(500, 8, 0.0, 1))
    best_possible = -4 * (1 + math.log(2 * math.pi))
    assert np.diagonal(fresh).mean() == pytest.approx(best_possible, abs=0.8)  # all 4,000 steps: about 6 nats below


def test_the_weights_kept_are_the_best_on_the_held_out_rows_not_the_last() -> None:
    pairs = correlated_pairs(100, 6, 0.0, 0)
    settings = (GaussianClubSettings(steps=1000, patience=patience) for patience in (1000, 200))
    longer, shorter = (train_gaussian_club(*pairs, setting, 0).log_densities(*pairs) for setting in settings)
    assert np.array_equal(longer, shorter)


def test_diverging_training_is_a_failed_run() -> None:
    with pytest.raises(RunFailure, match=r"diverged.*after 20 steps"):
        small(settings=GaussianClubSettings(hidden_width=8, steps=40, learning_rate=1e30))


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "message"),
    [
        ((2, 3), (2, 3), "3 or more"),
        ((5, 3), (4, 3), "same number"),
        ((5,), (5, 3), "x_N_D"),
        ((5, 3), (5, 0), "y_N_E"),
    ],
)
def test_training_refuses_too_few_rows_and_wrong_shapes(
    x_shape: tuple[int, ...], y_shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_gaussian_club(np.zeros(x_shape), np.zeros(y_shape), SHORT, 0)


def test_three_rows_are_enough_to_train_on() -> None:
    x_N_D, y_N_D = correlated_pairs(3, 2, 0.5, 0)
    assert np.isfinite(train_gaussian_club(x_N_D, y_N_D, SHORT, 0).log_densities(x_N_D, y_N_D)).all()


def test_missing_values_and_other_widths_are_refused() -> None:
    club = small()
    with pytest.raises(ValueError, match="x_N_D must be a finite matrix"):
        club.log_densities([[0.0, np.nan, 0.0]], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="x_N_D has 2 columns; the network was trained on 3"):
        club.log_densities(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="y_M_E has 4 columns"):
        club.log_densities(np.zeros((1, 3)), np.zeros((1, 4)))


@pytest.mark.parametrize("name", ["hidden_width", "learning_rate", "batch_size", "steps", "patience"])
def test_settings_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        GaussianClubSettings(**{name: 0})
