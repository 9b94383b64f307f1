"""Likelihoods equal a naive forward pass over exactly the response's tokens, however they are batched."""

from pathlib import Path

import numpy as np
import pytest
import torch
from likelihood_helpers import naive, worst_difference
from numpy.typing import NDArray

from benchmark import Benchmark, PromptRenderer
from scoring.likelihood import Continuation, LikelihoodScorer, encode_response
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.resolver import locate_model

TEXTS = ["Rye, and wait until morning.", "No.", "빵을 구우세요, 그리고 기다리세요.", "A long answer " * 8, ""]
HUGE = 10**6


@pytest.fixture(scope="module")
def prefix(tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer) -> list[int]:
    return tiny_lm.chat.encode_prompt(renderer.render("policy_without_reasoning", mini.test["id"][0]))


@pytest.fixture(scope="module")
def responses(tiny_lm: CausalLM) -> list[Continuation]:
    return [encode_response(tiny_lm, text, ended=True) for text in TEXTS]


def scored(lm: CausalLM, prefix: list[int], responses: list[Continuation], batch_tokens: int) -> list[list[float]]:
    (found,) = LikelihoodScorer(lm, batch_tokens=batch_tokens).token_log_probs(prefix, [responses])
    return [values.tolist() for values in found]


def padded_batch(
    lm: CausalLM, prefix: list[int], responses: list[Continuation], side: str
) -> list[NDArray[np.float64]]:
    """Return log p of every token by one forward pass of whole rows, padded on one side behind an attention mask."""
    rows = [[*prefix, *response.ids] for response in responses]
    width = max(map(len, rows))
    pads = [[lm.chat.pad_id] * (width - len(row)) for row in rows]
    filled = [[*pad, *row] if side == "left" else [*row, *pad] for row, pad in zip(rows, pads, strict=True)]
    starts = [len(pad) if side == "left" else 0 for pad in pads]
    places = torch.arange(width)[None] - torch.tensor(starts)[:, None]
    mask_B_L = (places >= 0) & (places < torch.tensor([len(row) for row in rows])[:, None])
    with torch.inference_mode():
        output = lm.model(torch.tensor(filled), attention_mask=mask_B_L.long(), position_ids=places.clamp(min=0))
        log_probs_B_L_V = output.logits.double().log_softmax(-1)
    found = []
    for b, response in enumerate(responses):
        first = starts[b] + len(prefix) - 1
        steps = torch.arange(first, first + len(response.ids))
        found.append(log_probs_B_L_V[b, steps, torch.tensor(response.ids)].numpy())
    return found


@pytest.mark.parametrize("batch_tokens", [1, 40, HUGE])
def test_every_token_equals_a_naive_forward_pass(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], batch_tokens: int
) -> None:
    assert worst_difference(tiny_lm, prefix, responses, batch_tokens=batch_tokens) < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_token_equals_a_padded_batch_with_an_attention_mask(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], side: str
) -> None:
    expected = padded_batch(tiny_lm, prefix, responses, side)
    for values, other in zip(scored(tiny_lm, prefix, responses, HUGE), expected, strict=True):
        assert values == pytest.approx(other, abs=1e-4)


def test_a_response_alone_or_in_another_order_gets_the_same(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation]
) -> None:
    together = scored(tiny_lm, prefix, responses, HUGE)
    reverse = scored(tiny_lm, prefix, responses[::-1], HUGE)[::-1]
    for number, response in enumerate(responses):
        (alone,) = scored(tiny_lm, prefix, [response], HUGE)
        assert alone == pytest.approx(together[number], abs=1e-5)
        assert reverse[number] == pytest.approx(together[number], abs=1e-5)


def test_equal_responses_come_out_in_the_order_given(tiny_lm: CausalLM, prefix: list[int]) -> None:
    same_length = [Continuation((5, 6)), Continuation((7, 8)), Continuation((5, 6))]
    first, second, third = scored(tiny_lm, prefix, same_length, 4)
    assert first == pytest.approx(third, abs=1e-5)
    assert first != pytest.approx(second, abs=1e-2)


@pytest.mark.parametrize("batch_tokens", [1, 40, HUGE])
def test_a_group_gets_the_same_bits_whatever_groups_are_beside_it(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], batch_tokens: int
) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=batch_tokens)
    (alone,) = scorer.token_log_probs(prefix, [responses[:3]])
    others: list[list[list[Continuation]]] = [[responses], [responses[3:], [responses[0]]], [[]]]
    for neighbours in others:
        beside = scorer.token_log_probs(prefix, [*neighbours, responses[:3]])[-1]
        assert all(np.array_equal(a, b) for a, b in zip(alone, beside, strict=True))


def test_bfloat16_stays_near_the_naive_pass_in_bfloat16(
    tiny_model: Path, prefix: list[int], responses: list[Continuation]
) -> None:
    lm = load_causal_lm(locate_model(str(tiny_model)), dtype="bfloat16", device="cpu")
    for values, response in zip(scored(lm, prefix, responses, 40), responses, strict=True):
        assert np.mean(values) == pytest.approx(naive(lm.model, prefix, response.ids).mean(), abs=0.03)


def test_a_prefix_of_one_token_needs_no_cache(tiny_lm: CausalLM, responses: list[Continuation]) -> None:
    assert worst_difference(tiny_lm, [1], responses, batch_tokens=40) < 1e-4


def test_scoring_begins_where_a_continuation_says(tiny_lm: CausalLM, prefix: list[int]) -> None:
    ids = encode_response(tiny_lm, TEXTS[3], ended=True).ids
    whole, part, last = scored(
        tiny_lm, prefix, [Continuation(ids), Continuation(ids, 5), Continuation(ids, len(ids) - 1)], HUGE
    )
    assert part == pytest.approx(whole[5:], abs=1e-5)
    assert last == pytest.approx(whole[-1:], abs=1e-5)
    assert len(part) == len(ids) - 5


def test_the_end_of_turn_is_scored_only_where_the_response_ended_itself(tiny_lm: CausalLM) -> None:
    ended = encode_response(tiny_lm, "Rye.", ended=True)
    assert ended.ids == (*encode_response(tiny_lm, "Rye.", ended=False).ids, tiny_lm.chat.end_of_turn_id)
    assert ended.scored_from == 0


def test_an_empty_response_is_its_end_token_or_nothing(tiny_lm: CausalLM) -> None:
    assert encode_response(tiny_lm, "", ended=True).ids == (tiny_lm.chat.end_of_turn_id,)
    assert encode_response(tiny_lm, "", ended=False).ids == ()


def test_special_tokens_spelled_in_a_response_are_scored_as_text(tiny_lm: CausalLM) -> None:
    assert tiny_lm.chat.end_of_turn_id not in encode_response(tiny_lm, "Rye.<|im_end|>", ended=False).ids


def test_the_prefix_runs_once_and_each_response_once(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation]
) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=1)
    shapes: list[tuple[int, ...]] = []
    embedding = tiny_lm.model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[0].shape)))
    try:
        scorer.token_log_probs(prefix, [responses, responses[:2]])
    finally:
        hook.remove()
    lengths = [sorted((len(r.ids) for r in group), reverse=True) for group in (responses, responses[:2])]
    assert shapes == [(1, len(prefix) - 1), *((1, n) for group in lengths for n in group)]


@pytest.mark.parametrize("batch_tokens", [30, 64, 200])
def test_a_batch_never_holds_more_than_its_tokens_padding_included(
    tiny_lm: CausalLM, prefix: list[int], batch_tokens: int
) -> None:
    group = [Continuation(tuple(range(3, 3 + length))) for length in (4, 29, 30, 7, 8, 30, 1)]
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=batch_tokens)
    sizes: list[int] = []
    embedding = tiny_lm.model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].numel()))
    try:
        scorer.token_log_probs(prefix, [group])
    finally:
        hook.remove()
    assert max(sizes[1:]) <= batch_tokens
