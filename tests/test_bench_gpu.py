"""The bench of a GPU: the code that measures one runs here on a processor, with a small model, from end to end."""

import json
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
import torch

from rpm_methods.bench_gpu import NO_DEVICE, main
from scoring.bench import model_operations, score_all_pairs
from scoring.bench_shapes import SHAPES, random_lm, random_prompts, random_workload
from scoring.bench_sweep import ATTENTIONS, Setting, measure_setting, settings_of, sweep
from scoring.likelihood import LikelihoodScorer
from scoring.models.attention import NAME as GROUPED
from scoring.models.causal_lm import CausalLM
from scoring.packed_sequence import NAME as PACKED
from scoring.packed_sequence import PackedScorer

TINY = SHAPES["tiny"]


@pytest.fixture(scope="module")
def lm() -> CausalLM:
    return random_lm(TINY, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """Return the measurements as they are printed, and the table behind them."""
    out, file = StringIO(), tmp_path_factory.mktemp("bench") / "found.json"
    with redirect_stdout(out):
        assert main(["--shape", "tiny", "--device", "cpu", "--out", str(file)]) == 0
    found, end = json.JSONDecoder().raw_decode(out.getvalue())
    assert json.loads(file.read_text()) == found
    return found, out.getvalue()[end:]


@pytest.fixture(scope="module")
def found(printed: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return printed[0]


def test_scoring_is_measured_both_ways_against_the_matrix_rate(found: dict[str, Any]) -> None:
    scoring = found["scoring"]
    assert scoring["packed"]["pairs"] == TINY.samples**2
    assert scoring["padded"]["pairs"] == TINY.padded_pairs
    assert scoring["speedup"] == pytest.approx(
        scoring["packed"]["pairs_per_second"] / scoring["padded"]["pairs_per_second"]
    )
    rate = scoring["operations"] / scoring["packed"]["seconds"]
    assert scoring["share_of_matrix_rate"] == pytest.approx(rate / scoring["matrix_rate"])
    assert 0 < scoring["largest_difference_a_token"] < 0.1
    assert scoring["peak_memory"] > found["parameters"]


def test_every_setting_of_the_sweep_is_measured_and_scores_the_same(found: dict[str, Any]) -> None:
    rows = found["sweep"]
    assert [(row["attention"], row["batch_tokens"]) for row in rows] == [
        (s.attention, s.batch_tokens) for s in settings_of(TINY)
    ]
    assert {row["attention"] for row in rows} == set(ATTENTIONS)
    for row in rows:
        pairs = TINY.swept_inputs * TINY.samples
        assert row["pairs_per_second"] == pytest.approx(pairs / row["seconds"])
        assert row["share_of_matrix_rate"] > 0
        assert row["difference"] < 0.1


def test_a_grpo_step_is_its_rollouts_and_its_update(found: dict[str, Any]) -> None:
    step = found["grpo_step"]
    assert step["steps"] == TINY.steps
    assert step["seconds"] == pytest.approx(step["rollout_seconds"] + step["update_seconds"])
    assert min(step["rollout_seconds"], step["update_seconds"]) > 0


def test_decoding_makes_the_tokens_of_a_step(found: dict[str, Any]) -> None:
    decoding = found["decoding"]
    assert decoding["rows"] == TINY.prompts * TINY.rollouts
    assert 0 < decoding["tokens"] <= decoding["rows"] * TINY.new_tokens
    assert decoding["tokens_per_second"] == pytest.approx(decoding["tokens"] / decoding["seconds"])


def test_the_table_has_a_line_for_each_setting_and_each_part(printed: tuple[dict[str, Any], str]) -> None:
    found, table = printed
    assert found["device"] in table
    for row in found["sweep"]:
        assert f"{row['pairs_per_second']:.1f}" in table
    for words in ("scoring: ", "decoding: ", f"GRPO step ({TINY.prompts} prompts x {TINY.rollouts} rollouts"):
        assert words in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.strip() == NO_DEVICE


def test_the_large_shape_is_that_of_qwen3_4b() -> None:
    from transformers import AutoModelForCausalLM, Qwen3Config

    shape = SHAPES["qwen3-4b"]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(Qwen3Config(**shape.model, tie_word_embeddings=True))
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_022_468_096
    assert max(shape.prefix_tokens) + max(shape.response_tokens) < shape.model["max_position_embeddings"]


def test_a_random_model_is_the_same_every_time_and_leaves_the_random_numbers_alone(lm: CausalLM) -> None:
    before = torch.random.get_rng_state()
    again = random_lm(TINY, dtype="float32", device="cpu")
    assert torch.random.get_rng_state().equal(before)
    ours, others = lm.model.state_dict(), again.model.state_dict()
    assert all(tensor.equal(others[name]) for name, tensor in ours.items())
    assert random_prompts(TINY) == random_prompts(TINY)
    assert lm.chat.decode([5, 77]) == "5 77"
    assert lm.chat.end_of_turn_id != lm.chat.pad_id


@pytest.mark.parametrize("batch_tokens", [1, 25, 10**6])
def test_a_packed_sequence_scores_what_a_shared_prefix_does(lm: CausalLM, batch_tokens: int) -> None:
    work = random_workload(TINY, 3)
    expected = score_all_pairs(LikelihoodScorer(lm, batch_tokens=64), work)
    packed = PackedScorer(random_lm(TINY, dtype="float32", device="cpu"), batch_tokens=batch_tokens)
    assert packed.lm.model.config._attn_implementation == PACKED
    assert np.abs(score_all_pairs(packed, work) - expected).max() < 1e-4


def test_the_sweep_leaves_the_model_as_it_was_and_says_what_failed_or_had_no_time(
    lm: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, *given: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(PackedScorer, "token_log_probs", broken)
    rows = sweep(lm, replace(TINY, compiled=("whole",)), 1e12, seconds=100.0)
    problems = {(row["attention"], row["compiled"]): row.get("problem") for row in rows}
    assert problems["packed", ""] == "RuntimeError: no such kernel"
    assert problems["grouped", "whole"] == "not measured: too little time was left"
    assert problems["grouped", ""] is None
    assert lm.model.config._attn_implementation == GROUPED
    assert all("problem" in row for row in sweep(lm, TINY, 1e12, seconds=0.0))


@pytest.mark.slow
def test_a_compiled_model_scores_the_same_and_is_uncompiled_afterwards(lm: CausalLM) -> None:
    work = random_workload(TINY, 3)
    found, means = measure_setting(lm, Setting("grouped", 32, "parts"), work)
    plain = score_all_pairs(LikelihoodScorer(lm, batch_tokens=32), work)
    assert np.abs(means - plain).max() < 1e-4
    assert found["seconds"] > 0
    assert all(module._compiled_call_impl is None for module in lm.model.modules())


def test_operations_of_unequal_numbers_of_inputs_and_responses_are_counted(lm: CausalLM) -> None:
    work = random_workload(TINY, 4)
    halves = [replace(work, prefixes=part) for part in (work.prefixes[:2], work.prefixes[2:])]
    assert sum(model_operations(lm, half) for half in halves) == pytest.approx(model_operations(lm, work))
