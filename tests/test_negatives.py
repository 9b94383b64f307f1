"""The negatives: all off-diagonal pairs of a small subset, 64 seeded ones a row of a large one, never a copy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sample

from benchmark.sample import Sample, Turn
from scoring.negatives import ALL_PAIRS_UP_TO, SAMPLED_A_ROW, choose_negatives, same_input

COPIED = [(0, 1), (0, 256), (1, 256)]
"""Pairs of copies in `with_copies`."""


def distinct(count: int, subset: str = "id") -> list[Sample]:
    return [make_sample(f"IDTest-{k}", subset=subset, last_query=f"Question {k}?") for k in range(count)]


def with_copies(count: int) -> list[Sample]:
    """Return samples of which 1 and 256 repeat the input of 0 under another ID, with another golden response."""
    samples = distinct(count)
    for k in (1, 256):
        if k < count:
            samples[k] = replace(samples[0], sample_id=f"copy-{k}", golden_response=f"Another answer, {k}.")
    return samples


def mask(samples: Sequence[Sample], pairs: str = "auto", seed: int = 42) -> np.ndarray:
    return choose_negatives(samples, pairs=pairs, seed=seed).mask_N_N  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 12, ALL_PAIRS_UP_TO])
def test_a_small_subset_takes_every_off_diagonal_pair(count: int) -> None:
    negatives = choose_negatives(distinct(count), pairs="auto", seed=42)
    assert negatives.label == "off_diagonal"
    assert negatives.folds_N is None
    assert (negatives.mask_N_N == ~np.eye(count, dtype=bool)).all()
    assert negatives.wanted_N_N.all()


@pytest.mark.parametrize("count", [ALL_PAIRS_UP_TO + 1, 300])
def test_a_large_subset_takes_sixty_four_a_row_and_never_the_diagonal(count: int) -> None:
    negatives = choose_negatives(distinct(count), pairs="auto", seed=42)
    assert negatives.label == "sampled_64"
    assert negatives.mask_N_N.sum(axis=1).tolist() == [SAMPLED_A_ROW] * count
    assert not negatives.mask_N_N.diagonal().any()
    assert negatives.wanted_N_N.sum(axis=1).tolist() == [SAMPLED_A_ROW + 1] * count


def test_every_response_is_drawn_about_equally_often() -> None:
    drawn_N = mask(distinct(300)).sum(axis=0)
    assert drawn_N.mean() == SAMPLED_A_ROW
    assert 35 < drawn_N.min() <= drawn_N.max() < 95  # 64 on average, standard deviation 7


def test_the_word_all_takes_all_of_a_large_subset() -> None:
    negatives = choose_negatives(distinct(300), pairs="all", seed=42)
    assert negatives.label == "off_diagonal"
    assert negatives.mask_N_N.sum() == 300 * 299


@pytest.mark.parametrize(("count", "pairs"), [(12, "auto"), (300, "auto"), (300, "all")])
def test_copies_are_never_negatives_of_each_other(count: int, pairs: str) -> None:
    for seed in range(5):
        mask_N_N = mask(with_copies(count), pairs, seed)
        for i, j in COPIED:
            if j < count:
                assert not mask_N_N[i, j]
                assert not mask_N_N[j, i]
    if (count, pairs) == (300, "auto"):
        assert mask_N_N.sum(axis=1).tolist() == [SAMPLED_A_ROW] * count


def test_a_row_with_fewer_candidates_takes_them_all() -> None:
    twin = make_sample("twin")
    samples = [replace(twin, sample_id=f"twin-{k}") for k in range(250)] + distinct(10)
    counts_N = mask(samples).sum(axis=1)
    assert set(counts_N[:250]) == {10}
    assert set(counts_N[250:]) == {SAMPLED_A_ROW}


@pytest.mark.parametrize(("count", "pairs"), [(12, "all"), (12, "auto"), (300, "all")])
def test_with_folds_the_negatives_are_all_others_of_the_own_fold(count: int, pairs: str) -> None:
    folds = [k % 3 % 2 for k in range(count)]  # the first fold is twice as large
    negatives = choose_negatives(distinct(count), pairs=pairs, seed=42, folds=folds)  # type: ignore[arg-type]
    assert negatives.label == "off_diagonal_in_fold"
    assert negatives.folds_N is not None
    assert negatives.folds_N.tolist() == folds
    for i, j in np.ndindex(count, count):
        assert negatives.mask_N_N[i, j] == (i != j and folds[i] == folds[j])


def test_drawn_negatives_never_cross_folds_and_a_small_fold_gives_all_it_has() -> None:
    folds = np.array([0] * 200 + [1] * 90 + [2] * 10)
    negatives = choose_negatives(distinct(300), pairs="auto", seed=42, folds=folds.tolist())
    assert negatives.label == "sampled_64_in_fold"
    assert negatives.folds_N is not None
    assert negatives.folds_N.tolist() == folds.tolist()
    assert not negatives.mask_N_N[folds[:, None] != folds[None, :]].any()
    assert not negatives.mask_N_N.diagonal().any()
    assert negatives.mask_N_N.sum(axis=1).tolist() == [64] * 290 + [9] * 10
    again = choose_negatives(distinct(300), pairs="auto", seed=42, folds=folds.tolist())
    assert (again.mask_N_N == negatives.mask_N_N).all()


def test_copies_in_one_fold_are_no_negatives_either() -> None:
    negatives = choose_negatives(with_copies(12), pairs="auto", seed=42, folds=[0] * 6 + [1] * 6)
    assert not negatives.mask_N_N[0, 1]
    assert negatives.mask_N_N[0].sum() == 4


def test_rows_that_nothing_is_left_for_are_counted() -> None:
    negatives = choose_negatives(distinct(5), pairs="auto", seed=42, folds=[0, 1, 0, 2, 0])
    assert negatives.rows_without_negatives == 2
    assert choose_negatives(distinct(5), pairs="auto", seed=42).rows_without_negatives == 0
    assert choose_negatives(distinct(1), pairs="auto", seed=42).rows_without_negatives == 1


def test_folds_that_do_not_fit_the_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="4 folds are given for 5 samples"):
        choose_negatives(distinct(5), pairs="auto", seed=42, folds=[0, 1, 0, 1])


def test_the_seed_and_the_samples_alone_decide() -> None:
    samples = distinct(260)
    assert (mask(samples, seed=1) == mask(distinct(260), seed=1)).all()
    assert (mask(samples, seed=1) != mask(samples, seed=2)).any()
    assert (mask(samples, seed=1) != mask(distinct(260, "german"), seed=1)).any()


@pytest.mark.parametrize(
    "change",
    [
        {"user_persona": "I sail."},
        {"agent_character": replace(make_sample().agent_character, character_name="Heroine")},
        {"turns": (Turn("Are you well?", "I was."),)},
        {"last_query": "What shall I cook?"},
    ],
)
def test_samples_differ_in_input_by_any_part_of_it_and_by_nothing_else(change: dict[str, object]) -> None:
    samples = [make_sample(), make_sample("other", **change), make_sample("copy", golden_response="Oats.")]
    assert same_input(samples).tolist() == [[True, False, True], [False, True, False], [True, False, True]]
