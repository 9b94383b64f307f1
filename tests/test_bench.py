"""The bench of the pair matrix: both ways agree, its ratios are those of its parts, its operations are counted."""

import math
from pathlib import Path
from typing import Any

import pytest
from conftest import CONTEXT_LENGTH
from likelihood_helpers import random_model, with_model

from scoring import bench as module
from scoring.bench import PREFIX_TOKENS, RESPONSE_TOKENS, Workload, bench, make_workload, model_operations
from scoring.models.causal_lm import CausalLM


@pytest.fixture(scope="module")
def found(tiny_model: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "choose_dtype", lambda setting, device: "float32")
        return bench(str(tiny_model), samples=4, sizes=[2, 4], padded_pairs=4, batch_tokens=128)


def test_pairs_scored_both_ways_agree(found: dict[str, Any]) -> None:
    assert found["dtype"] == "float32"
    assert 0 < found["mean_difference_a_token"] <= found["largest_difference_a_token"] < 1e-4


def test_rates_and_ratios_are_those_of_the_parts(found: dict[str, Any]) -> None:
    assert (found["packed"]["pairs"], found["padded"]["pairs"]) == (16, 4)
    for way in ("packed", "padded"):
        assert found[way]["pairs_per_second"] == pytest.approx(found[way]["pairs"] / found[way]["seconds"])
    assert found["speedup"] == pytest.approx(found["packed"]["pairs_per_second"] / found["padded"]["pairs_per_second"])
    assert 0 < found["share_of_matrix_rate"] < 1


def test_the_share_of_the_matrix_rate_is_that_of_the_counted_operations(
    found: dict[str, Any], tiny_lm: CausalLM
) -> None:
    rate = model_operations(tiny_lm, make_workload(tiny_lm, 4)) / found["packed"]["seconds"]
    assert found["share_of_matrix_rate"] == pytest.approx(rate / found["matrix_rate"])


def test_growth_is_measured_for_every_size_and_fitted_between_them(found: dict[str, Any]) -> None:
    small, large = found["growth"]
    assert (small["samples"], large["samples"]) == (2, 4)
    for row in found["growth"]:
        assert row["seconds"] == pytest.approx(row["prefix_seconds"] + row["pair_seconds"])
    exponent = found["growth_exponents"]["prefix_seconds"]
    assert exponent == pytest.approx(math.log(large["prefix_seconds"] / small["prefix_seconds"]) / math.log(2))


def test_one_size_has_no_exponent(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "choose_dtype", lambda setting, device: "float32")
    monkeypatch.setattr(module, "matrix_rate", lambda dtype, device: 1e12)
    found = bench(str(tiny_model), samples=2, sizes=[2], padded_pairs=100, batch_tokens=128)
    assert found["growth_exponents"] is None
    assert found["padded"]["pairs"] == 4  # there are no more


def test_the_workload_is_the_same_every_time_and_of_the_stated_lengths(tiny_lm: CausalLM) -> None:
    work = make_workload(tiny_lm, 6)
    assert work == make_workload(tiny_lm, 6)
    assert all(PREFIX_TOKENS[0] <= len(ids) <= PREFIX_TOKENS[1] for ids in work.prefixes)
    assert all(RESPONSE_TOKENS[0] <= len(ids) <= RESPONSE_TOKENS[1] for ids in work.responses)
    assert work.first(2) == Workload(work.prefixes[:2], work.responses[:2])
    assert PREFIX_TOKENS[1] + RESPONSE_TOKENS[1] <= CONTEXT_LENGTH


@pytest.mark.parametrize("tied", [True, False])
def test_operations_by_hand(tiny_lm: CausalLM, tied: bool) -> None:
    """Two inputs of 3 and 5 tokens, responses of 2 and 4: 8 tokens of inputs, 12 of responses behind them."""
    lm = with_model(tiny_lm, random_model("LlamaConfig", 100, tie_word_embeddings=tied))
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64 + 2 * 32  # q, k and v (two of four heads), o, MLP, norms
    weights = 2 * layer + 32
    seen = (3 * 3 + 5 * 5) / 2 + 2 * (3 + 1) + 4 * (3 + 2) + 2 * (5 + 1) + 4 * (5 + 2)
    attention = 2 * 2 * 32 * 2 * seen  # scores and values, 4 heads of 8, two layers
    expected = 2 * weights * (8 + 12) + 2 * 32 * 100 * 12 + attention
    work = Workload([[1] * 3, [1] * 5], [[1] * 2, [1] * 4])
    assert model_operations(lm, work) == pytest.approx(expected)
