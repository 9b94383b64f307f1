"""The ablation: its statistics against hand and loop, what it compares, and what it writes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sample
from numpy.typing import NDArray

from benchmark import Sample
from corl.ablation import (
    compare_variants,
    log_perplexity,
    log_perplexity_influence,
    log_perplexity_resamples,
)
from corl.ablation_variants import VARIANTS, Evaluation, FoldEvaluation
from recipes.ablation_page import as_markdown
from recipes.ablation_report import write_ablation
from scoring.bootstrap import ClusterBootstrap
from scoring.reasoning import Reasoning
from scoring.rewards import AnswerLikelihood
from scoring.statistics import holm, standard_error

Floats = NDArray[np.float64]
NAMES = [variant.name for variant in VARIANTS]
FACTS = {"base_model": "tiny", "n_folds": 2}

# Statistics


def test_perplexity_is_that_of_all_tokens_together() -> None:
    assert log_perplexity([-2.0, -3.0, -7.0], [1, 2, 3]) == pytest.approx(12 / 6)
    assert log_perplexity([-2.0], [4]) == pytest.approx(0.5)


@pytest.mark.parametrize("tokens", [[], [1, 2], [1, 2, 0]])
def test_perplexity_of_nothing_or_of_unlike_numbers_is_refused(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="log_probs_N and tokens_N have shapes"):
        log_perplexity([-1.0] * (3 if tokens else 0), tokens)


def draw_responses(size: int, seed: int) -> tuple[Floats, Floats]:
    """Return log p and tokens of responses that are independent; longer ones are less likely a token."""
    rng = np.random.default_rng(seed)
    tokens_N = rng.integers(5, 60, size).astype(np.float64)
    return -tokens_N * (2.0 + 0.01 * tokens_N + rng.normal(0, 0.4, size)), tokens_N


def test_influence_is_the_derivative_by_the_weight_of_a_sample() -> None:
    log_probs_N, tokens_N = draw_responses(7, seed=1)
    influence_N = log_perplexity_influence(log_probs_N, tokens_N)
    assert influence_N.sum() == pytest.approx(0)
    step = 1e-7
    for i in range(7):
        weights_N = np.full(7, 1 / 7) * (1 - step)
        weights_N[i] += step
        moved = -(weights_N * log_probs_N).sum() / (weights_N * tokens_N).sum()
        assert (moved - log_perplexity(log_probs_N, tokens_N)) / step == pytest.approx(influence_N[i], abs=1e-5)


def test_the_standard_error_of_independent_samples_is_that_of_a_jackknife() -> None:
    log_probs_N, tokens_N = draw_responses(400, seed=2)
    numbers = np.arange(400)
    weights = ClusterBootstrap(numbers, numbers, resamples=4000, seed=3).weights(numbers, numbers)
    left_out = np.array([log_perplexity(np.delete(log_probs_N, i), np.delete(tokens_N, i)) for i in range(400)])
    jackknife = math.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    found = log_perplexity_resamples(log_probs_N, tokens_N, weights)
    assert found.estimate == log_perplexity(log_probs_N, tokens_N)
    assert standard_error(found) == pytest.approx(jackknife, rel=0.04)


# Comparison

Values = Mapping[str, tuple[float, int] | None]
"""Sample ID -> log p and tokens."""


def written(sample: Sample, shown: str) -> Reasoning:
    return Reasoning(sample.sample_id, shown, shown, True, "stop", 10, 5)


def evaluated(
    samples: Sequence[Sample], values: Mapping[str, Values], shown: Mapping[str, str] | None = None, number: int = 0
) -> FoldEvaluation:
    """Return a fold whose variants have the values given, or those of "full"."""
    found = {}
    for variant in VARIANTS:
        of = values.get(variant.name, values["full"])
        likelihoods = {s.sample_id: None if (v := of[s.sample_id]) is None else AnswerLikelihood(*v) for s in samples}
        reasonings = [written(s, (shown or {}).get(s.sample_id, "none")) for s in samples]
        found[variant.name] = Evaluation(likelihoods, reasonings if variant.reasoning else None)
    return FoldEvaluation(number, tuple(samples), found, ("iteration 1 diverged",) if number else ())


def make_samples(count: int, subset: str) -> list[Sample]:
    """Return samples that share nothing."""
    samples = [make_sample(f"{subset}-{n}", subset=subset, user_persona=f"{subset} {n}") for n in range(count)]
    return [replace(s, agent_character=replace(s.agent_character, character_name=s.sample_id)) for s in samples]


def random_values(samples: Sequence[Sample], seed: int) -> dict[str, tuple[float, int] | None]:
    log_probs_N, tokens_N = draw_responses(len(samples), seed)
    return {s.sample_id: (float(log_probs_N[n]), int(tokens_N[n])) for n, s in enumerate(samples)}


def test_subsets_of_one_shift_are_one_group_over_all_folds() -> None:
    german, korean, home = make_samples(2, "german"), make_samples(1, "korean"), make_samples(1, "id")
    values = {"german-0": (-2.0, 1), "german-1": (-3.0, 2), "korean-0": (-7.0, 3), "id-0": (-8.0, 4)}
    found = compare_variants(
        [evaluated([*german, *home], {"full": values}), evaluated(korean, {"full": values}, number=3)], seed=1
    )
    rows = {(row.variant, row.group): row for row in found.perplexities}
    assert set(rows) == {(name, group) for name in NAMES for group in ("id", "user")}
    user = rows["untrained", "user"]
    assert user.perplexity == pytest.approx(math.exp(2))
    assert (user.n_samples, user.n_tokens, user.n_clusters) == (3, 6, 3)
    assert user.interval is not None
    assert user.interval.low < math.exp(2) < user.interval.high
    assert user.interval.low * user.interval.high == pytest.approx(math.exp(4)), "even on the logarithm's scale"
    assert rows["full", "id"].perplexity == pytest.approx(math.exp(2))
    assert rows["full", "id"].interval is None, "one persona says nothing of others"
    assert found.folds == (0, 3)
    assert found.notes == ("fold 3: iteration 1 diverged",)


def test_a_variant_with_the_same_values_differs_by_exactly_nothing() -> None:
    samples = make_samples(6, "film")
    values = random_values(samples, 4)
    found = compare_variants([evaluated(samples, {"full": values, "untrained": random_values(samples, 5)})], seed=1)
    for row in found.differences:
        assert row.first == "full"
        assert row.interval is not None
        if row.second == "untrained":
            assert row.p_value is not None
        else:
            assert (row.difference, row.interval.low, row.interval.high) == (0.0, 0.0, 0.0)
            assert row.p_value is row.adjusted_p is None


def test_a_difference_is_paired_and_below_zero_where_co_evolution_is_better() -> None:
    samples = make_samples(30, "gaming")
    values = random_values(samples, 6)
    worse = {name: (one[0] - 0.1 * one[1], one[1]) for name, one in values.items() if one is not None}
    found = compare_variants([evaluated(samples, {"full": values, "without_corl": worse})], seed=1)
    row = next(row for row in found.differences if row.second == "without_corl")
    assert row.difference == pytest.approx(-0.1)
    assert row.interval is not None
    assert row.interval.high - row.interval.low == pytest.approx(0, abs=1e-9), "what the two share cancels"
    assert row.interval.reliable
    full = next(one for one in found.perplexities if one.variant == "full")
    assert full.interval is not None
    assert full.interval.high / full.interval.low > 1.05


def test_all_groups_and_variants_are_one_family_of_tests() -> None:
    samples = [*make_samples(8, "id"), *make_samples(8, "theater"), *make_samples(8, "turn_level")]
    values = {name: random_values(samples, seed) for seed, name in enumerate(NAMES)}
    found = compare_variants([evaluated(samples, values)], seed=2)
    assert len(found.differences) == 5 * 3
    assert [row.adjusted_p for row in found.differences] == holm([row.p_value for row in found.differences])
    assert any(row.adjusted_p != row.p_value for row in found.differences)


def test_a_sample_that_one_variant_cannot_score_is_left_out_of_all() -> None:
    samples = make_samples(3, "id")
    values = {"id-0": (-2.0, 1), "id-1": (-3.0, 2), "id-2": (-700.0, 3)}
    golden = samples[2].golden_response
    found = compare_variants(
        [evaluated(samples, {"full": values, "without_rl": {**values, "id-2": None}}, {"id-2": golden})], seed=1
    )
    assert (found.held_out, found.compared) == (3, 2)
    assert found.unscored == {name: int(name == "without_rl") for name in NAMES}
    assert all(row.perplexity == pytest.approx(math.exp(5 / 3)) for row in found.perplexities)
    assert all(row.copied_share == 0 and row.counts["samples"] == 2 for row in found.reasoning)


def test_a_group_of_which_nothing_is_left_has_no_numbers() -> None:
    samples = [*make_samples(2, "id"), *make_samples(1, "word_level")]
    values = {"id-0": (-2.0, 1), "id-1": (-3.0, 2), "word_level-0": None}
    found = compare_variants([evaluated(samples, {"full": values})], seed=1)
    lost = [row for row in found.perplexities if row.group == "dialogue"]
    assert len(lost) == len(NAMES)
    assert all((row.perplexity, row.interval, row.n_samples) == (None, None, 0) for row in lost)
    assert all(row.difference is row.adjusted_p is None for row in found.differences if row.group == "dialogue")
    assert "| co-evolved " in as_markdown(found, FACTS, [])


def test_copying_is_measured_where_there_is_reasoning() -> None:
    first, second = make_samples(2, "id")
    first = replace(first, golden_response="one two three four five")
    values = {"id-0": (-2.0, 1), "id-1": (-3.0, 2)}
    shown = {"id-0": "it says one two three four and more", "id-1": "warm"}
    found = compare_variants([evaluated([first, second], {"full": values}, shown)], seed=1)
    assert [row.variant for row in found.reasoning] == ["full", "without_corl", "without_rl"]
    for row in found.reasoning:
        assert (row.copied_share, row.copied_share_max) == (0.25, 0.5), "one of two sequences of four words"
        assert row.shown_words == (8 + 1) / 2


# What is written


def test_the_page_tells_the_papers_numbers_apart_and_marks_what_is_unreliable(tmp_path: Path) -> None:
    samples = [*make_samples(25, "id"), *make_samples(5, "spanish")]
    found = compare_variants([evaluated(samples, {"full": random_values(samples, 8)})], seed=1)
    page, *_ = write_ablation(tmp_path, found, FACTS, [])
    lines = page.read_text().splitlines()
    (own,) = [line for line in lines if line.startswith("| co-evolved ") and "[" in line]
    home, user = own.split("|")[2:4]
    assert "°" not in home
    assert "°" in user
    assert [line.split("|")[2].strip() for line in lines if "| *(p)" in line] == ["*4.852*", "*5.457*", "*6.266*"]
    assert "another model" in page.read_text()
    assert "![" not in page.read_text()
    table = (tmp_path / "ablation.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * len(NAMES)
    assert table[1].startswith("full,id,") and len(table[1].split(",")[2].partition(".")[2]) == 3
