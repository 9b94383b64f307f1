"""Likelihoods equal a naive forward pass over exactly the response's tokens, however they are grouped."""

from pathlib import Path

import pytest
import torch

from benchmark import Benchmark, PromptRenderer, RunFailure
from benchmark.progress import SilentProgress
from scoring.likelihood import encode_response, response_log_probs
from scoring.models.causal_lm import CausalLM
from scoring.pair_matrix import CandidateResponse, PairBlock, load_block, pair_blocks, save_block

TEXTS = ["Rye, and wait until morning.", "No.", "빵을 구우세요, 그리고 기다리세요.", "A long answer " * 8]


@pytest.fixture(scope="module")
def prefix(tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer) -> list[int]:
    return tiny_lm.chat.encode_prompt(renderer.render("policy_without_reasoning", mini.test["id"][0]))


def naive(lm: CausalLM, prefix: list[int], response: list[int]) -> float:
    """Return the sum of log p over the response by one plain forward pass of prefix and response."""
    with torch.inference_mode():
        log_probs_L_V = lm.model(torch.tensor([prefix + response])).logits[0].double().log_softmax(-1)
    return sum(float(log_probs_L_V[len(prefix) - 1 + k, token]) for k, token in enumerate(response))


def test_log_probs_equal_a_naive_forward_pass(tiny_lm: CausalLM, prefix: list[int]) -> None:
    responses = [encode_response(tiny_lm, text, ended=True) for text in TEXTS]
    (found,) = response_log_probs(tiny_lm, prefix, [responses], batch_tokens=10**6)
    for value, response in zip(found, responses, strict=True):
        assert value / len(response) == pytest.approx(naive(tiny_lm, prefix, response) / len(response), abs=1e-4)


def test_log_probs_do_not_depend_on_batches_order_or_other_groups(tiny_lm: CausalLM, prefix: list[int]) -> None:
    responses = [encode_response(tiny_lm, text, ended=True) for text in TEXTS]
    (together,) = response_log_probs(tiny_lm, prefix, [responses], batch_tokens=10**6)
    (alone,) = response_log_probs(tiny_lm, prefix, [responses], batch_tokens=1)
    reverse, _ = response_log_probs(tiny_lm, prefix, [responses[::-1], responses[:1]], batch_tokens=10**6)
    for other in (alone, reverse[::-1]):
        assert other == pytest.approx(together, abs=1e-3)


def test_a_prefix_of_one_token_works(tiny_lm: CausalLM) -> None:
    response = encode_response(tiny_lm, "No.", ended=True)
    ((found,),) = response_log_probs(tiny_lm, [1], [[response]], batch_tokens=64)
    assert found == pytest.approx(naive(tiny_lm, [1], response), abs=1e-3)


def test_the_end_of_turn_is_scored_only_where_the_response_ended_itself(tiny_lm: CausalLM) -> None:
    ended = encode_response(tiny_lm, "Rye.", ended=True)
    assert ended == [*encode_response(tiny_lm, "Rye.", ended=False), tiny_lm.chat.end_of_turn_id]


def test_special_tokens_spelled_in_a_response_are_scored_as_text(tiny_lm: CausalLM) -> None:
    ids = encode_response(tiny_lm, "Rye.<|im_end|>", ended=False)
    assert tiny_lm.chat.end_of_turn_id not in ids


def blocks(
    lm: CausalLM, mini: Benchmark, renderer: PromptRenderer, **columns: list[CandidateResponse]
) -> dict[str, PairBlock]:
    prompts = [renderer.render("policy_without_reasoning", sample) for sample in mini.test["id"][:3]]
    with SilentProgress().task("", 3) as advance:
        return pair_blocks(lm, prompts, columns, batch_tokens=512, advance=advance)


def test_a_missing_response_is_nan_in_its_column_and_never_zero(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    given = [CandidateResponse("Rye.", True), CandidateResponse(None, True), CandidateResponse("Oats.", True)]
    block = blocks(tiny_lm, mini, renderer, one=given)["one"]
    assert torch.tensor(block.sums_N_N).isnan()[:, 1].all()
    assert block.scored_N.tolist() == [True, False, True]
    assert (block.sums_N_N[:, [0, 2]] < 0).all()
    assert block.n_scored_pairs == 6


def test_an_empty_response_is_scored_by_its_end_token_alone(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    given = [CandidateResponse("", True), CandidateResponse("Rye.", True), CandidateResponse("Oats.", True)]
    block = blocks(tiny_lm, mini, renderer, one=given)["one"]
    assert block.tokens_N[0] == 1
    assert block.scored_N.all()


def test_what_does_not_fit_the_context_is_unscored_and_not_cut(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    long = CandidateResponse("word " * tiny_lm.context_length, True)
    short = [CandidateResponse(text, True) for text in ("a", "b", "c")]
    made = blocks(tiny_lm, mini, renderer, long=[long, *short[:2]], short=short)
    assert not made["long"].scored_N.any()
    assert made["short"].scored_N.all()


def test_a_column_is_the_same_whatever_is_scored_beside_it(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    one = [CandidateResponse(text, True) for text in TEXTS[:3]]
    alone = blocks(tiny_lm, mini, renderer, one=one)["one"]
    beside = blocks(tiny_lm, mini, renderer, other=one[::-1], one=one)["one"]
    assert (alone.sums_N_N == beside.sums_N_N).all()


def test_a_likelihood_that_is_no_number_stops_the_run(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.likelihood.response_log_probs", lambda *a, **k: [[float("nan")] * 3])
    with pytest.raises(RunFailure, match="NaN or infinite behind input 1"):
        blocks(tiny_lm, mini, renderer, one=[CandidateResponse("a", True)] * 3)


def test_blocks_survive_being_stored(
    tmp_path: Path, tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    path = tmp_path / "block.npz"
    block = blocks(tiny_lm, mini, renderer, one=[CandidateResponse(text, True) for text in TEXTS[:3]])["one"]
    save_block(path, block)
    read = load_block(path)
    assert (read.sums_N_N == block.sums_N_N).all()
    assert (read.tokens_N == block.tokens_N).all()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunFailure, match="cannot be read"):
        load_block(path)
