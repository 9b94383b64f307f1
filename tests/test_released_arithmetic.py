"""The released code's arithmetic against a plain re-statement of it, and what it counts otherwise than ours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_sample
from likelihood_helpers import make_blocks

from benchmark import PromptRenderer
from benchmark.prompts import Message, Prompt
from scoring import released
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.pair_matrix import CandidateResponse, PairBlock, score_row
from scoring.pair_tokens import ExactTokens, RowTokens
from scoring.released import ReleasedTokens, released_negatives

ANSWERS = [
    CandidateResponse("Rye, and wait until the morning comes.", True),
    CandidateResponse("Let it rest. " * 6, True),
    CandidateResponse("No.", True),
    CandidateResponse("빵을 구우세요.", False),
]
PERSONAS = ["I bake.", "I keep bees. ", "I keep bees and count them. " * 4, "I sail, and I bake at sea. " * 12]


@pytest.fixture(scope="module")
def prompts(renderer: PromptRenderer) -> list[Prompt]:
    return [renderer.render("policy_without_reasoning", make_sample(user_persona=text)) for text in PERSONAS]


@pytest.fixture(scope="module")
def bare_prompts(prompts: list[Prompt]) -> list[Prompt]:
    """Return prompts whose answers open with no heading, so that responses differ before the counting begins."""
    return [replace(prompt, answer_prefix="") for prompt in prompts]


def chat_ids(lm: CausalLM, messages: list[dict[str, str]], *, generation_prompt: bool) -> list[int]:
    return list(
        lm.chat.tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=generation_prompt, return_dict=False
        )
    )


def context_length(lm: CausalLM, prompt: Prompt) -> int:
    """Return the tokens of the chat with an empty answer, and with a generation prompt behind it."""
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    return len(chat_ids(lm, [*messages, {"role": "assistant", "content": ""}], generation_prompt=True))


def restated_mean(lm: CausalLM, prompt: Prompt, text: str, cut: int) -> tuple[float, int]:
    """Return the mean log p and the number of tokens counted: the whole chat, cut, from the context's length on."""
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    answer = {"role": "assistant", "content": prompt.answer_prefix + text}
    ids = chat_ids(lm, [*messages, answer], generation_prompt=False)[:cut]
    counted = range(context_length(lm, prompt), len(ids))
    if not counted:
        return 0.0, 0
    with torch.inference_mode():
        log_probs_L_V = lm.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return float(np.mean([float(log_probs_L_V[k - 1, ids[k]]) for k in counted])), len(counted)


def check_against_restatement(lm: CausalLM, prompts: list[Prompt], block: PairBlock, cut: int) -> None:
    for i, prompt in enumerate(prompts):
        for j, answer in enumerate(ANSWERS):
            mean, count = restated_mean(lm, prompt, answer.text or "", cut)
            assert block.tokens_N_N[i, j] == count
            assert block.means_N_N[i, j] == pytest.approx(mean, abs=1e-4)


def test_every_pair_equals_the_restatement_where_nothing_is_cut(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    block = make_blocks(tiny_lm, prompts, ReleasedTokens, one=ANSWERS)["one"]
    assert (block.tokens_N_N > 0).all()
    check_against_restatement(tiny_lm, prompts, block, cut=4096)


def test_every_pair_equals_the_restatement_where_answers_open_with_no_heading(
    tiny_lm: CausalLM, bare_prompts: list[Prompt]
) -> None:
    block = make_blocks(tiny_lm, bare_prompts, ReleasedTokens, one=ANSWERS)["one"]
    assert block.tokens_N_N[:, 2].tolist() == [0] * 4, "the short answer counts over no token"
    assert (block.tokens_N_N[:, [0, 1, 3]] > 0).all()
    check_against_restatement(tiny_lm, bare_prompts, block, cut=4096)


def test_every_pair_equals_the_restatement_where_responses_are_cut_in_part_or_whole(
    tiny_lm: CausalLM, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = context_length(tiny_lm, prompts[2]) + 3
    assert context_length(tiny_lm, prompts[3]) > cut
    monkeypatch.setattr(released, "CUT", cut)
    block = make_blocks(tiny_lm, prompts, ReleasedTokens, one=ANSWERS)["one"]
    check_against_restatement(tiny_lm, prompts, block, cut)
    assert block.tokens_N_N[2, 1] == 3, "cut in the middle"
    assert block.means_N_N[3].tolist() == [0.0] * 4, "cut to nothing: as if certain"
    assert block.tokens_N_N[3].tolist() == [0] * 4
    assert block.own_tokens[3].size == 0
    assert block.scored_N.all(), "it counts as scored, which is the fault"


def test_the_cut_never_exceeds_4096_or_the_models_context(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    wanted_N_N = np.ones((4, 4), dtype=bool)
    assert released.CUT == 4096
    assert ReleasedTokens(tiny_lm, prompts, ANSWERS, wanted_N_N).cut == 4096
    smaller = CausalLM(tiny_lm.model, tiny_lm.chat, 512, tiny_lm.device)
    assert ReleasedTokens(smaller, prompts, ANSWERS, wanted_N_N).cut == 512


def test_a_missing_response_is_not_scored_and_not_zero(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    given = [ANSWERS[0], CandidateResponse(None, True), *ANSWERS[2:]]
    block = make_blocks(tiny_lm, prompts, ReleasedTokens, one=given)["one"]
    assert np.isnan(block.sums_N_N[:, 1]).all()
    assert block.scored_N.tolist() == [True, False, True, True]
    assert np.isfinite(block.sums_N_N[1, [0, 2, 3]]).all()


# ---- what differs from scoring exactly the response ----

PLAIN = Prompt((Message("user", "What shall I bake?"),))
TAIL = "<|im_end|>\n<|im_start|>assistant\n"
"""What the template writes behind an empty answer, with the generation prompt."""


def counted_ids(row: RowTokens, j: int) -> list[int]:
    return list(row.continuations[j].ids[row.continuations[j].scored_from :])


def test_the_first_tokens_of_a_response_are_left_out_and_the_templates_tail_is_counted(tiny_lm: CausalLM) -> None:
    chat, wanted_1_1 = tiny_lm.chat, np.ones((1, 1), dtype=bool)
    answer = [CandidateResponse("Rye, and wait until the morning comes.", True)]
    theirs = counted_ids(ReleasedTokens(tiny_lm, [PLAIN], answer, wanted_1_1).row(0), 0)
    ours = counted_ids(ExactTokens(tiny_lm, [PLAIN], answer, wanted_1_1).row(0), 0)
    newline = chat.encode_text("\n")
    assert ours == [*chat.encode_text(answer[0].text or ""), chat.end_of_turn_id]
    left_out = len(chat.tokenizer(TAIL, add_special_tokens=False)["input_ids"])
    assert left_out >= 4
    assert theirs == (ours + newline)[left_out:]


def test_a_short_response_counts_as_certain_without_any_cut(tiny_lm: CausalLM) -> None:
    wanted_1_1 = np.ones((1, 1), dtype=bool)
    row = ReleasedTokens(tiny_lm, [PLAIN], [CandidateResponse("No", True)], wanted_1_1).row(0)
    assert (row.without_tokens, row.continuations) == ((0,), {})
    pair = score_row(LikelihoodScorer(tiny_lm, batch_tokens=64), {"one": row}, 0, 1)["one"]
    assert (pair.sums_N.tolist(), pair.tokens_N.tolist()) == ([0.0], [0])


def test_the_means_differ_visibly_from_those_of_exactly_the_response(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    theirs = make_blocks(tiny_lm, prompts, ReleasedTokens, one=ANSWERS)["one"]
    ours = make_blocks(tiny_lm, prompts, ExactTokens, one=ANSWERS)["one"]
    assert np.abs(theirs.means_N_N - ours.means_N_N).min() > 1e-3


# ---- its negatives ----


@pytest.mark.parametrize("size", [2, 12, 32])
def test_up_to_a_thousand_pairs_all_are_negatives(size: int) -> None:
    negatives = released_negatives(size)
    assert negatives.label == "off_diagonal"
    assert (negatives.mask_N_N == ~np.eye(size, dtype=bool)).all()


@pytest.mark.parametrize("size", [33, 100])
def test_of_more_than_a_thousand_pairs_a_thousand_are_drawn_the_same_each_time(size: int) -> None:
    negatives = released_negatives(size)
    assert negatives.label == "sampled_1000_in_all"
    assert negatives.mask_N_N.sum() == 1000
    assert not negatives.mask_N_N.diagonal().any()
    assert (negatives.mask_N_N == released_negatives(size).mask_N_N).all()
    assert released.SEED == 42


def test_one_sample_has_no_negatives() -> None:
    assert not released_negatives(1).mask_N_N.any()
