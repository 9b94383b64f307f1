"""Correlations equal those of points written out, their intervals hold known truths, and what has no answer is None."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from benchmark.seeds import derive_seed
from scoring.agreement import (
    MIN_POINTS,
    Correlation,
    _Coefficients,
    correlations,
    rank_agreement,
    sign_test,
)

NOTHING = Correlation(None, None, None)


def grid(n_models: int, n_subsets: int) -> tuple[list[int], list[int]]:
    models, subsets = zip(*product(range(n_models), range(n_subsets)), strict=True)
    return list(models), list(subsets)


def scipy_coefficients(x: Sequence[float], y: Sequence[float]) -> list[float]:
    functions = scipy.stats.pearsonr, scipy.stats.spearmanr, scipy.stats.kendalltau
    return [float(function(x, y).statistic) for function in functions]


@pytest.mark.parametrize("ties", [False, True])
def test_values_are_the_textbook_coefficients_also_with_ties(ties: bool) -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.integers(0, 4, 15) if ties else rng.normal(size=15) for _ in range(2))
    found = correlations(x, y, *grid(3, 5), seed=0, resamples=50)
    values = [found.pearson.value, found.spearman.value, found.kendall.value]
    assert values == pytest.approx(scipy_coefficients(x, y), abs=1e-12)
    ranks = rank_agreement(x, y)
    assert [ranks.spearman, ranks.kendall] == pytest.approx(scipy_coefficients(x, y)[1:], abs=1e-12)


def test_a_resample_equals_its_points_written_out_as_often_as_they_are_drawn() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 6, (2, 12)).astype(float)
    counts_B_P = rng.integers(0, 4, (20, 12))
    found_3_B = _Coefficients(x, y)(counts_B_P.astype(float))
    for counts, found in zip(counts_B_P, found_3_B.T, strict=True):
        assert found == pytest.approx(scipy_coefficients(np.repeat(x, counts), np.repeat(y, counts)), abs=1e-12)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_the_interval_runs_between_percentiles_of_resamples_drawn_one_by_one() -> None:
    """One of them holds one point alone, and is left out."""
    rng = np.random.default_rng(7)
    models, subsets = grid(4, 3)
    x = rng.normal(size=12)
    y = x + rng.normal(size=12)
    found = correlations(x, y, models, subsets, seed=11, resamples=200)
    draws = [
        np.random.default_rng(derive_seed(11, name)).multinomial(size, [1 / size] * size, 200)
        for name, size in (("models", 4), ("subsets", 3))
    ]
    replicates = []
    for of_models, of_subsets in zip(*draws, strict=True):
        counts = [of_models[m] * of_subsets[s] for m, s in zip(models, subsets, strict=True)]
        replicates.append(scipy_coefficients(np.repeat(x, counts), np.repeat(y, counts)))
    replicates_B_3 = np.array([one for one in replicates if not np.isnan(one).any()])
    assert len(replicates_B_3) == 199
    for place, one in enumerate((found.pearson, found.spearman, found.kendall)):
        assert (one.low, one.high) == pytest.approx(np.quantile(replicates_B_3[:, place], [0.025, 0.975]))


def test_a_rising_curve_has_full_rank_correlation_and_a_lower_pearson() -> None:
    x = np.arange(12.0)
    found = correlations(x, np.exp(x), *grid(4, 3), seed=1)
    assert found.spearman == Correlation(1.0, 1.0, 1.0)
    assert found.kendall == Correlation(1.0, 1.0, 1.0)
    assert found.pearson.value is not None
    assert found.pearson.value < 0.8


def test_below_ten_points_there_is_nothing() -> None:
    x = np.arange(MIN_POINTS - 1.0)
    found = correlations(x, x, *grid(3, 3), seed=1)
    assert (found.pearson, found.spearman, found.kendall, found.n_points) == (NOTHING, NOTHING, NOTHING, 9)


@pytest.mark.parametrize("constant", [0.1, 1e9 + 0.1])
def test_a_constant_quantity_has_no_correlation(constant: float) -> None:
    found = correlations(np.full(12, constant), np.arange(12), *grid(4, 3), seed=1)
    assert (found.pearson, found.spearman, found.kendall, found.n_points) == (NOTHING, NOTHING, NOTHING, 12)
    assert rank_agreement([1, 2, 3], [constant] * 3).kendall is None


def test_no_interval_where_many_resamples_are_constant() -> None:
    """The first quantity differs for one subset of five alone, which a third of the draws leave out."""
    models, subsets = grid(2, 5)
    found = correlations([s == 0 for s in subsets], np.arange(10), models, subsets, seed=1)
    assert found.pearson.value is not None
    assert (found.pearson.low, found.pearson.high) == (None, None)


@pytest.mark.parametrize(("n_models", "n_subsets"), [(12, 1), (1, 12)])
def test_a_kind_with_a_single_member_leaves_the_other_to_be_resampled(n_models: int, n_subsets: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=12)
    found = correlations(x, x + rng.normal(size=12), *grid(n_models, n_subsets), seed=1).pearson
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high


def test_the_seed_alone_decides_the_draw() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 12))
    first, again, other = (correlations(x, y, *grid(4, 3), seed=seed, resamples=100) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_names_and_scale_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 12))
    models, subsets = grid(4, 3)
    plain = correlations(x, y, models, subsets, seed=1, resamples=100)
    named = correlations(1e6 + 1e3 * x, 1e-6 * y, [(None, str(m)) for m in models], subsets, seed=1, resamples=100)
    assert named.kendall == plain.kendall
    assert (named.pearson.low, named.pearson.high) == pytest.approx((plain.pearson.low, plain.pearson.high))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_P": [np.nan] * 12}, "NaN or infinite"),
        ({"y_P": [np.inf] * 12}, "NaN or infinite"),
        ({"x_P": range(11)}, r"shapes \(11,\) and \(12,\)"),
        ({"models": [0] * 11}, "12 points, 11 models and 12 subsets"),
        ({"models": [0] * 12}, "occurs twice"),
        ({"resamples": 1}, "at least 2"),
    ],
)
def test_what_makes_no_sense_is_an_error(changes: dict[str, object], message: str) -> None:
    models, subsets = grid(4, 3)
    given = {"x_P": range(12), "y_P": range(12), "models": models, "subsets": subsets, "seed": 1} | changes
    with pytest.raises(ValueError, match=message):
        correlations(**given)  # type: ignore[arg-type]


def test_two_values_have_no_rank_agreement() -> None:
    assert rank_agreement([1, 2], [3, 4]).spearman is None
    assert rank_agreement([1, 2, 3], [3, 4, 9]).spearman == 1.0


@pytest.mark.parametrize(("n_positive", "n"), [(10, 12), (2, 12), (8, 12), (6, 12), (0, 5), (1, 1), (700, 1500)])
def test_the_sign_test_is_the_exact_binomial_one(n_positive: int, n: int) -> None:
    assert sign_test(n_positive, n) == pytest.approx(scipy.stats.binomtest(n_positive, n).pvalue)


def test_the_sign_test_by_hand() -> None:
    """Ten of twelve or more extreme, both ways: 2 (66 + 12 + 1) / 4096."""
    assert sign_test(10, 12) == pytest.approx(158 / 4096)
    assert sign_test(0, 0) is None
    with pytest.raises(ValueError, match="5 of 4 signs"):
        sign_test(5, 4)


def draw_points(
    n_models: int, n_subsets: int, shares: Sequence[float], inner: Sequence[float], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw normal effects of models, of subsets and of points, with their shares of variance and correlations."""
    models, subsets = grid(n_models, n_subsets)
    total = np.zeros((n_models * n_subsets, 2))
    for share, rho, index in zip(shares, inner, (models, subsets, range(len(models))), strict=True):
        effect = rng.multivariate_normal([0, 0], [[share, rho * share], [rho * share, share]], max(index) + 1)
        total += effect[list(index)]
    return total[:, 0], total[:, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_models", "n_subsets", "shares", "inner"),
    [
        (9, 12, (1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0.5)),
        (9, 12, (0.8, 0.1, 0.1), (0.75, 0.5, 0.5)),
        (18, 11, (0.1, 0.8, 0.1), (0.5, 0.75, 0.5)),
        (18, 2, (0.1, 0.8, 0.1), (0.5, 0.75, 0.5)),
        (18, 5, (1 / 3, 1 / 3, 1 / 3), (0.9, 0.9, 0.9)),
        (9, 12, (0.0, 0.0, 1.0), (0.0, 0.0, 0.5)),
    ],
)
def test_intervals_hold_the_known_correlation(
    n_models: int, n_subsets: int, shares: Sequence[float], inner: Sequence[float]
) -> None:
    """A point is bivariate normal with rho = shares . inner, so the three truths are known.

    Intervals that take points as independent are measured beside, on the same draws.
    """
    rho = float(np.dot(shares, inner))
    truths = (rho, 6 / np.pi * np.arcsin(rho / 2), 2 / np.pi * np.arcsin(rho))
    models, subsets = grid(n_models, n_subsets)
    clusterings = {"two-way": (models, subsets), "points": (list(range(len(models))), [0] * len(models))}
    hits: dict[str, list[list[bool]]] = {name: [] for name in clusterings}
    for repetition in range(400):
        x, y = draw_points(n_models, n_subsets, shares, inner, np.random.default_rng([n_models, repetition]))
        for name, groups in clusterings.items():
            found = correlations(x, y, *groups, seed=repetition, resamples=300)
            parts = zip((found.pearson, found.spearman, found.kendall), truths, strict=True)
            hits[name].append([(one.low or 0) <= truth <= (one.high or 0) for one, truth in parts])
    covered = {name: np.mean(rows, axis=0) for name, rows in hits.items()}
    print(f"{n_models} x {n_subsets}, rho {rho:.2f}:", {name: 100 * share for name, share in covered.items()})
    assert (covered["two-way"] >= 0.89).all()
    if shares[2] < 1:
        assert (covered["points"] < covered["two-way"] - 0.1).all()
