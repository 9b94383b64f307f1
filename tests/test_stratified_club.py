"""CLUB under a cross-fitted estimator: fold by fold, weighed by samples, so that the folds' levels cancel."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from conftest import make_sample
from numpy.typing import NDArray

from benchmark import AgentCharacter, PromptRenderer, Sample
from recipes.schema import ScoringSettings
from recipes.stage_likelihoods import BLOCKS
from recipes.stage_scores import ScoredMethod, ScoreStage
from scoring.block_files import save_block
from scoring.bootstrap import ClusterBootstrap, SubsetWeights
from scoring.club import club_estimate
from scoring.clusters import SampleClusters
from scoring.estimator_description import Estimator, EstimatorDescription, FoldDescription
from scoring.negatives import choose_negatives
from scoring.pair_matrix import PairBlock
from scoring.remi import RemiEstimate, SubsetRemi, estimate_remid
from scoring.resamples import ClubBootstrap
from scoring.statistics import (
    MethodMatrix,
    PairedDifference,
    SubsetMatrices,
    interval,
    paired_differences,
    standard_error,
)
from scoring.stratified import StratifiedClub, comparable_samples, compare_samples

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
X = math.nan
MATRIX = np.array(
    [
        [-1.0, X, -4.0, X, X],
        [X, -1.0, X, -4.0, -4.0],
        [-6.0, X, -3.0, X, X],
        [X, -6.0, X, -2.0, -6.0],
        [X, -8.0, X, -8.0, -3.0],
    ]
)
"""Samples 0 and 2 are one fold: -2 less -5 is 3. Samples 1, 3 and 4 are the other: -2 less -6 is 4."""
FOLDS = np.array([0, 1, 0, 1, 1])
BY_HAND = 2 / 5 * 3 + 3 / 5 * 4
POOLED = -2 - (-4 - 6 - 4 - 4 - 6 - 6 - 8 - 8) / 8
"""What the mean over all negatives together would give: 3.75, not 3.6."""
SEVEN_AND_FIVE = np.array([0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0])
EQUAL = np.arange(12) % 3


def samples(count: int, personas: Sequence[int] | None = None) -> list[Sample]:
    """Return samples with a character each, and a persona each if no personas are given."""
    found = []
    for i, persona in enumerate(personas or range(count)):
        who = AgentCharacter(f"Character {i}", "Science", "Book", "Born.", "Lived.", "Kind.")
        found.append(make_sample(f"T-{i}", user_persona=f"I am {persona}.", agent_character=who, last_query=f"{i}?"))
    return found


def subset_remi(rows: Sequence[Sample], folds: Sequence[int] | None) -> SubsetRemi:
    clusters = SampleClusters(rows, resamples=100, seed=1)
    return SubsetRemi(rows, choose_negatives(rows, pairs="auto", seed=1, folds=folds), clusters)


def in_fold(folds_N: NDArray[np.int64]) -> Mask:
    return np.asarray((folds_N[:, None] == folds_N[None, :]) & ~np.eye(len(folds_N), dtype=bool))


def cluster_weights(personas: NDArray[np.int64], characters: NDArray[np.int64], resamples: int = 60) -> SubsetWeights:
    return ClusterBootstrap(personas, characters, resamples=resamples, seed=3).weights(personas, characters)


def own_weights(size: int) -> SubsetWeights:
    return cluster_weights(np.arange(size), np.arange(size))


def random_matrix(size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(size, size)) + 2 * np.eye(size)


# The estimate


@pytest.mark.parametrize("sparse", [False, True])
def test_folds_of_two_and_three_by_hand(sparse: bool) -> None:
    mask = scipy.sparse.csr_array(in_fold(FOLDS)) if sparse else in_fold(FOLDS)
    club = StratifiedClub(mask, own_weights(5), FOLDS)
    assert club.estimate(MATRIX) == pytest.approx(BY_HAND) == 3.6
    assert club.resamples(MATRIX).estimate == club.estimate(MATRIX)
    assert club_estimate(MATRIX, pairs=in_fold(FOLDS)) == pytest.approx(POOLED) == 3.75


def test_contributions_average_to_the_estimate_whatever_the_negatives() -> None:
    mask = in_fold(FOLDS)
    mask[1, 3] = False
    club = StratifiedClub(mask, own_weights(5), FOLDS)
    assert club.contributions(MATRIX).mean() == pytest.approx(club.estimate(MATRIX))
    assert club.contributions(MATRIX)[1] == pytest.approx(-1 - 3 / 5 * -4)


def test_remi_takes_both_terms_fold_by_fold() -> None:
    found = subset_remi(samples(5), FOLDS.tolist()).estimate(MATRIX, 3 * MATRIX, np.ones(5, dtype=bool))
    assert (found.reference_mi, found.model_mi, found.remi) == pytest.approx((BY_HAND, 3 * BY_HAND, 2 * BY_HAND))
    assert found.resamples is not None
    assert found.resamples.estimate == pytest.approx(found.remi)
    assert (found.n_samples, found.n_unscored, found.n_pairs, found.n_clusters) == (5, 0, 2 + 6, 5)


@pytest.mark.parametrize(("folds", "stays"), [(SEVEN_AND_FIVE, 42 / 62 - 7 / 12), (EQUAL, 0.0)])
def test_a_level_of_a_fold_changes_nothing(folds: NDArray[np.int64], stays: float) -> None:
    level_N = np.array([0.0, 5.0, -2.0])[folds]
    golden, method = random_matrix(12, 1), random_matrix(12, 2)
    subset, kept = subset_remi(samples(12), folds.tolist()), np.ones(12, dtype=bool)
    plain = subset.estimate(golden, method, kept)
    raised = subset.estimate(golden + level_N[:, None], method - 3 * level_N[:, None], kept)
    for name in ("model_mi", "reference_mi", "remi"):
        assert getattr(raised, name) == pytest.approx(getattr(plain, name))
    assert plain.resamples is not None
    assert raised.resamples is not None
    assert raised.resamples.deviations_3_B == pytest.approx(plain.resamples.deviations_3_B)
    pooled = [club_estimate(m, pairs=in_fold(folds)) for m in (golden, golden + level_N[:, None])]
    assert pooled[1] - pooled[0] == pytest.approx(5.0 * stays)


def test_the_order_of_samples_and_the_names_of_folds_change_nothing() -> None:
    order = np.random.default_rng(0).permutation(12)
    matrix, table = random_matrix(12), ClusterBootstrap(np.arange(12), np.arange(12) // 2, resamples=20, seed=1)
    one = StratifiedClub(in_fold(EQUAL), table.weights(np.arange(12), np.arange(12) // 2), EQUAL).resamples(matrix)
    renamed = np.array([7, 0, 3])[EQUAL[order]]
    shuffled = StratifiedClub(in_fold(renamed), table.weights(order, order // 2), renamed)
    other = shuffled.resamples(matrix[np.ix_(order, order)])
    assert one.estimate == pytest.approx(other.estimate)
    assert one.deviations_3_B == pytest.approx(other.deviations_3_B)


# One fold


@pytest.mark.parametrize("folds", [None, [0] * 9])
@pytest.mark.parametrize("missing", [[], [2, 7]])
def test_one_fold_is_the_same_as_none_to_the_bit(folds: list[int] | None, missing: list[int]) -> None:
    subset = subset_remi(samples(9, [0, 0, 1, 2, 3, 4, 5, 6, 7]), folds)
    kept = ~np.isin(np.arange(9), missing)
    golden, method = random_matrix(9, 1), random_matrix(9, 2)
    golden[missing], method[:, missing] = X, X
    found = subset.estimate(golden, method, kept)
    golden_K_K, method_K_K = (matrix[np.ix_(kept, kept)] for matrix in (golden, method))
    assert found.reference_mi == club_estimate(golden_K_K)
    assert found.model_mi == club_estimate(method_K_K)
    assert found.remi == club_estimate(method_K_K) - club_estimate(golden_K_K)
    club = ClubBootstrap(~np.eye(int(kept.sum()), dtype=bool), subset.weights.take(kept))
    expected = club.resamples(method_K_K - golden_K_K)
    assert found.resamples is not None
    assert found.resamples.estimate == expected.estimate
    assert np.array_equal(found.resamples.deviations_3_B, expected.deviations_3_B)
    assert found.interval == interval(expected, 6 if missing else 8)
    assert (found.n_samples, found.n_unscored) == (9 - len(missing), len(missing))


def test_without_folds_samples_stay_even_where_they_have_no_negatives() -> None:
    twins = [make_sample("a"), make_sample("b"), make_sample("c")]
    found = subset_remi(twins, None).estimate(random_matrix(3), random_matrix(3), np.array([True, True, False]))
    assert (found.remi, found.n_samples, found.n_unscored, found.n_pairs) == (None, 2, 1, 0)


# Folds that cannot be compared


@pytest.mark.parametrize(
    ("folds", "kept", "chosen"),
    [
        ([0, 0, 0, 1, 2, 2], [0, 1, 2, 3, 4, 5], [0, 1, 2, 4, 5]),  # alone in its fold
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 4], [0, 1, 2]),  # left alone by unscored ones
        ([0, 0, 0, 1, 1, 1], [0, 1, 2], [0, 1, 2]),  # a fold with nothing scored
        ([0, 0, 0, 1, 1, 1], [0, 3], []),
        ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], []),
    ],
)
def test_samples_of_a_fold_with_nothing_to_compare_leave(folds: list[int], kept: list[int], chosen: list[int]) -> None:
    folds_N, kept_N = np.array(folds), np.isin(np.arange(6), kept)
    found = comparable_samples(kept_N, in_fold(folds_N), folds_N)
    assert np.flatnonzero(found).tolist() == chosen
    compared = compare_samples(kept_N, in_fold(folds_N), own_weights(6), folds_N)
    assert np.array_equal(compared.chosen_N, found)
    assert (compared.club is None) == (len(chosen) < 3)
    assert compared.n_clusters == len(chosen)
    assert compared.n_pairs == in_fold(folds_N)[np.ix_(found, found)].sum()


def test_a_sample_alone_in_its_fold_leaves_even_where_the_diagonal_counts_as_negative() -> None:
    folds = np.array([0, 0, 0, 1])
    found = comparable_samples(np.ones(4, dtype=bool), in_fold(folds) | np.eye(4, dtype=bool), folds)
    assert found.tolist() == [True, True, True, False]


def test_samples_that_leave_leave_both_terms_and_are_counted() -> None:
    """Of folds of 3, 3 and 1 one of the second is unscored, and the third has nothing to compare: 5 of 7 remain."""
    folds = np.array([0, 1, 0, 1, 1, 2, 1])
    golden = np.full((7, 7), -99.0)
    golden[:5, :5] = MATRIX
    kept = np.array([True] * 6 + [False])
    found = subset_remi(samples(7), folds.tolist()).estimate(golden, 2 * golden, kept)
    assert (found.reference_mi, found.model_mi) == pytest.approx((BY_HAND, 2 * BY_HAND))
    assert (found.n_samples, found.n_unscored, found.n_pairs, found.n_clusters) == (5, 2, 8, 5)


def test_a_fold_of_copies_has_nothing_to_compare() -> None:
    rows = [*samples(3), make_sample("twin"), make_sample("copy of it")]
    found = subset_remi(rows, [0, 0, 0, 1, 1]).estimate(random_matrix(5), random_matrix(5), np.ones(5, dtype=bool))
    assert (found.n_samples, found.n_unscored, found.n_pairs) == (3, 2, 6)
    assert found.reference_mi == club_estimate(random_matrix(5)[:3, :3])


def test_fewer_than_three_samples_that_remain_give_no_estimate() -> None:
    found = subset_remi(samples(4), [0, 0, 1, 2]).estimate(random_matrix(4), random_matrix(4), np.ones(4, dtype=bool))
    assert (found.remi, found.interval, found.n_samples, found.n_unscored) == (None, None, 2, 2)


# Replicates


def looped(matrix: Floats, mask: Mask, w: Floats) -> float:
    """Return CLUB with weights, pair by pair."""
    pairs = [(i, j) for i in range(len(w)) for j in range(len(w)) if mask[i, j]]
    positives = sum(w[i] * matrix[i, i] for i in range(len(w))) / sum(w)
    return float(positives - sum(w[i] * w[j] * matrix[i, j] for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs))


def test_replicates_are_those_of_each_fold_by_its_share_of_the_samples() -> None:
    personas, characters = np.array([0, 1, 0, 1, 2, 3, 3, 4, 5]), np.array([0, 1, 2, 3, 1, 4, 4, 2, 5])
    folds = np.array([0, 1, 0, 1, 1, 1, 1, 0, 1])
    matrix, weights = random_matrix(9), cluster_weights(personas, characters, resamples=4)
    found = StratifiedClub(in_fold(folds), weights, folds).resamples(matrix)
    for clustering, deviations_B in zip(weights.clusterings, found.deviations_3_B, strict=True):
        for b in range(4):
            expected = 0.0
            for fold in (0, 1):
                own = np.flatnonzero(folds == fold)
                block, mask = matrix[np.ix_(own, own)], ~np.eye(len(own), dtype=bool)
                k = len(set(clustering.codes_N[own].tolist()))
                replicate = looped(block, mask, clustering.weights_K_B[clustering.codes_N[own], b])
                deviation = replicate - looped(block, mask, np.ones(len(own)))
                expected += len(own) / 9 * math.sqrt((k + 1) / (k - 1)) * deviation
            assert deviations_B[b] == pytest.approx(expected)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_standard_error_is_that_of_drawing_clusters_within_folds(swapped: bool) -> None:
    """Clusters of two samples, 40 in one fold and 24 in the other; counts of drawn clusters are the other bootstrap."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(64), 2)
    folds = (clusters >= 40).astype(np.int64)
    matrix = rng.normal(size=128)[:, None] + rng.normal(size=128)[None, :] + rng.normal(size=(128, 128))
    matrix += np.diag(2 * rng.normal(size=64)[clusters] * (1 + folds)) + 7.0 * folds[:, None]
    codes = (np.arange(128), clusters) if swapped else (clusters, np.arange(128))
    club = StratifiedClub(in_fold(folds), cluster_weights(*codes, resamples=4000), folds)
    variance = 0.0
    for fold, (first, behind) in enumerate([(0, 40), (40, 64)]):
        own, k = folds == fold, behind - first
        block = matrix[np.ix_(own, own)]
        others = block * ~np.eye(len(block), dtype=bool)
        counts_B_N = np.repeat(rng.multinomial(k, [1 / k] * k, size=4000), 2, axis=1).astype(np.float64)
        pairs_B = counts_B_N.sum(axis=1) ** 2 - (counts_B_N**2).sum(axis=1)
        negatives_B = np.array([w @ others @ w for w in counts_B_N]) / pairs_B
        estimates_B = counts_B_N @ block.diagonal() / (2 * k) - negatives_B
        variance += (own.sum() / 128) ** 2 * k / (k - 1) * estimates_B.var(ddof=1)
    assert standard_error(club.resamples(matrix)) == pytest.approx(math.sqrt(variance), rel=0.05)


def test_a_fold_of_one_persona_leaves_the_estimate_without_an_interval() -> None:
    subset = subset_remi(samples(6, [0, 0, 1, 2, 3, 4]), [0, 0, 1, 1, 1, 1])
    found = subset.estimate(random_matrix(6, 1), random_matrix(6, 2), np.ones(6, dtype=bool))
    assert found.remi is not None
    assert found.resamples is not None
    assert [np.isnan(row).all() for row in found.resamples.deviations_3_B] == [True, False, False]
    assert (found.interval, found.n_clusters) == (None, 5)
    assert estimate_remid(found, found).remid == 0.0
    assert estimate_remid(found, found).interval is None


# Differences


def two_methods(folds: NDArray[np.int64], missing: list[int]) -> tuple[PairedDifference, list[RemiEstimate]]:
    """Return the difference of two methods, of which one lacks samples, and R-EMI of both over what remains."""
    rows = samples(len(folds))
    subset, (golden, one, other) = subset_remi(rows, folds.tolist()), (random_matrix(len(folds), s) for s in range(3))
    one[missing] = X
    scored = ~np.isin(np.arange(len(folds)), missing)
    clusters = SampleClusters(rows, resamples=100, seed=1)
    methods = {"one": MethodMatrix(one, scored), "other": MethodMatrix(other, np.ones(len(folds), dtype=bool))}
    compared = SubsetMatrices(*clusters.codes(rows), subset.negatives.mask_N_N, methods, subset.negatives.folds_N)
    (found,) = paired_differences({"id": compared}, clusters.bootstrap)
    return found, [subset.estimate(golden, matrix, scored) for matrix in (one, other)]


@pytest.mark.parametrize(
    ("folds", "missing", "remain"),
    [(SEVEN_AND_FIVE, [], 12), (EQUAL, [4, 5], 10), (np.array([0, 0, 0, 1, 1, 2, 2, 2]), [3], 6)],
)
def test_a_difference_is_that_of_the_methods_remi_over_the_same_samples(
    folds: NDArray[np.int64], missing: list[int], remain: int
) -> None:
    found, (one, other) = two_methods(folds, missing)
    assert one.remi is not None
    assert other.remi is not None
    assert found.difference == pytest.approx(one.remi - other.remi)
    assert found.n_samples == one.n_samples == other.n_samples == remain
    assert found.n_clusters == one.n_clusters == remain
    assert one.resamples is not None
    assert other.resamples is not None
    expected = interval(one.resamples - other.resamples, remain)
    assert found.interval is not None
    assert expected is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_a_difference_without_three_samples_that_remain_is_none() -> None:
    found, _ = two_methods(np.array([0, 0, 1, 1]), [3])
    assert (found.difference, found.interval, found.p_value, found.n_samples) == (None, None, None, 2)


def score_by_hand(folder: Path, rows: Sequence[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the scores of two methods under an estimator of two folds: two tokens a response, log p by hand."""
    folds = tuple(FoldDescription((), (), generator_hash="", policy_hash="") for _ in range(2))
    description = EstimatorDescription("corl", "tiny", "", reasoning=True, folds=folds)
    assignments = {row.sample_id: int(fold) for row, fold in zip(rows, FOLDS, strict=True)}
    estimator = Estimator(folder, description, PromptRenderer(), assignments)
    monkeypatch.setattr("recipes.stage_scores.read_estimator", lambda _: estimator)
    for name, factor in {"(golden)": 2, "one": 4, "other": 10}.items():
        block = PairBlock(factor * MATRIX, np.full((5, 5), 2), (np.zeros(2),) * 5)
        save_block(folder / name / "block.npz", block)
    (folder / BLOCKS).write_text(json.dumps({name: {"id": name} for name in ("(golden)", "one", "other")}))
    methods = [ScoredMethod(None, name, name) for name in ("one", "other")]
    ScoreStage(folder, folder, folder, methods, {"id": rows}, ScoringSettings(resamples=100), seed=1)(folder)


def test_the_files_of_scores_hold_what_is_weighed_by_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score_by_hand(tmp_path, samples(5), monkeypatch)
    remi, differences = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("remi", "differences"))
    found = {row["method"]: row for row in remi if row["unit"] == "nats_per_token"}
    assert [found["one"][name] for name in ("reference_mi", "model_mi")] == pytest.approx([BY_HAND, 2 * BY_HAND])
    assert [found[name]["remi"] for name in ("one", "other")] == pytest.approx([BY_HAND, 4 * BY_HAND])
    assert [row["difference"] for row in differences] == pytest.approx([-3 * BY_HAND, -6 * BY_HAND])


# What is refused


@pytest.mark.parametrize(
    ("mask_folds", "folds", "message"),
    [
        (np.zeros(6), [0, 0, 0, 1, 1, 1], "18 negatives in another fold than their row"),
        (EQUAL[:6], [0, 1, 2, 0, 1], r"folds_N \(5,\)"),
        (EQUAL[:5], [0, 1, 2, 0, 1, 2], r"negatives_N_N has shape \(5, 5\)"),
        (np.array([0, 0, 1, 1, 1, 2]), [0, 0, 1, 1, 1, 2], "no entry set"),
    ],
)
def test_what_does_not_fit_is_refused(mask_folds: NDArray[np.int64], folds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StratifiedClub(in_fold(mask_folds), own_weights(6), np.array(folds))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(2, 2), (1, 3)])
def test_a_value_that_is_no_number_is_refused_where_it_is_read(place: tuple[int, int], value: float) -> None:
    broken = MATRIX.copy()
    broken[place] = value
    club = StratifiedClub(in_fold(FOLDS), own_weights(5), FOLDS)
    for compute in (club.estimate, club.resamples):
        with pytest.raises(ValueError, match="matrix_N_N is NaN or infinite"):
            compute(broken)
