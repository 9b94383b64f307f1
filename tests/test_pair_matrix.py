"""Blocks of pairs: which samples remain, what a missing response is, and every pair against a naive forward pass."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import make_sample
from likelihood_helpers import make_blocks, naive, same_block, with_model
from numpy.typing import NDArray

from benchmark import PromptRenderer, RunFailure
from benchmark.prompts import Prompt
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.pair_matrix import CandidateResponse, PairBlock, fitting_samples, name_the_samples, score_row
from scoring.pair_tokens import ExactTokens, RowTokens

CONTEXT = 100


def kept(prefixes: Sequence[int], responses: Sequence[int], wanted_N_N: NDArray[np.bool_] | None = None) -> list[int]:
    wanted_N_N = np.ones((len(prefixes), len(prefixes)), dtype=bool) if wanted_N_N is None else wanted_N_N
    return np.flatnonzero(fitting_samples(np.array(prefixes), np.array(responses), wanted_N_N, CONTEXT)).tolist()


def brute_force(prefixes: list[int], responses: list[int], wanted: list[list[bool]]) -> list[int]:
    """Return the samples kept, by the rule in words: drop the empty, then again and again the worst offender."""
    remaining = [i for i, tokens in enumerate(responses) if tokens]

    def offences(k: int) -> int:
        pairs = [(k, j) for j in remaining] + [(i, k) for i in remaining]
        return sum(1 for i, j in pairs if wanted[i][j] and prefixes[i] + responses[j] > CONTEXT)

    while any(offences(k) for k in remaining):
        worst = max(map(offences, remaining))
        remaining.remove(next(k for k in remaining if offences(k) == worst))
    return remaining


@pytest.mark.parametrize(
    ("prefixes", "responses", "expected"),
    [
        ([50, 50, 50], [50, 50, 50], [0, 1, 2]),  # exactly the context length
        ([50, 99, 50, 50], [5, 5, 5, 5], [0, 2, 3]),  # one overlong input
        ([50, 50, 50, 50], [5, 5, 5, 51], [0, 1, 2]),  # one overlong response
        ([99, 50, 50, 50], [5, 5, 5, 99], [1, 2]),  # one of each
        ([101, 101], [1, 1], []),  # nothing fits
        ([50, 50, 50], [5, 0, 5], [0, 2]),  # a response of no tokens
        ([99, 50], [0, 5], [1]),  # an overlong input that goes for its missing response
        ([], [], []),
    ],
)
def test_an_overlong_input_or_response_costs_its_own_sample(
    prefixes: list[int], responses: list[int], expected: list[int]
) -> None:
    assert kept(prefixes, responses) == expected


def test_only_wanted_pairs_have_to_fit() -> None:
    wanted_N_N = np.eye(3, dtype=bool)
    wanted_N_N[0, 1] = True
    assert kept([90, 50, 50], [5, 20, 50], wanted_N_N) == [1, 2]
    wanted_N_N[0, 1] = False
    assert kept([90, 50, 50], [5, 20, 50], wanted_N_N) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(60))
def test_what_remains_equals_the_rule_in_words_and_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 9))
    prefix_N, response_N = rng.integers(20, 95, size), rng.integers(0, 30, size)
    wanted_N_N = (rng.random((size, size)) < rng.choice([0.3, 0.7, 1.0])) | np.eye(size, dtype=bool)
    found = kept(prefix_N.tolist(), response_N.tolist(), wanted_N_N)
    assert found == brute_force(prefix_N.tolist(), response_N.tolist(), wanted_N_N.tolist())
    assert all(prefix_N[i] + response_N[j] <= CONTEXT for i in found for j in found if wanted_N_N[i, j])


# ---- blocks under the tiny model ----

ANSWERS = [
    CandidateResponse("Rye, and wait until morning.", True),
    CandidateResponse("빵을 구우세요.", False),
    CandidateResponse("", True),
    CandidateResponse("A long answer " * 8, True),
]


@pytest.fixture(scope="module")
def prompts(renderer: PromptRenderer) -> list[Prompt]:
    personas = ["I bake bread.", "I keep bees. " * 6, "I sail.", "Je peins des phares, et je dors peu."]
    return [renderer.render("policy_without_reasoning", make_sample(user_persona=text)) for text in personas]


@pytest.fixture(scope="module")
def block(tiny_lm: CausalLM, prompts: list[Prompt]) -> PairBlock:
    return make_blocks(tiny_lm, prompts, one=ANSWERS)["one"]


def test_every_pair_equals_a_naive_forward_pass_over_the_responses_tokens(
    tiny_lm: CausalLM, prompts: list[Prompt], block: PairBlock
) -> None:
    chat = tiny_lm.chat
    for j, answer in enumerate(ANSWERS):
        ids = chat.encode_text(answer.text or "") + ([chat.end_of_turn_id] if answer.ended else [])
        for i, prompt in enumerate(prompts):
            expected = naive(tiny_lm.model, chat.encode_prompt(prompt), ids)
            assert block.tokens_N_N[i, j] == len(ids)
            assert block.sums_N_N[i, j] == pytest.approx(expected.sum(), abs=1e-4 * len(ids))
            assert block.means_N_N[i, j] == pytest.approx(expected.mean(), abs=1e-4)
            if i == j:
                assert block.own_tokens[i] == pytest.approx(expected, abs=1e-4)


def test_an_empty_response_that_ended_is_one_end_token(block: PairBlock) -> None:
    assert block.tokens_N_N[:, 2].tolist() == [1, 1, 1, 1]
    assert (block.sums_N_N[:, 2] < 0).all()
    assert block.scored_N.all()


@pytest.mark.parametrize("nothing", [CandidateResponse(None, True), CandidateResponse("", False)])
def test_a_missing_response_is_nan_in_its_row_and_column_and_never_zero(
    tiny_lm: CausalLM, prompts: list[Prompt], block: PairBlock, nothing: CandidateResponse
) -> None:
    given = [ANSWERS[0], nothing, *ANSWERS[2:]]
    found = make_blocks(tiny_lm, prompts, one=given)["one"]
    others = np.ix_([0, 2, 3], [0, 2, 3])
    assert np.isnan(found.sums_N_N[1]).all()
    assert np.isnan(found.sums_N_N[:, 1]).all()
    assert np.isnan(found.means_N_N[1]).all()
    assert found.sums_N_N[others] == pytest.approx(block.sums_N_N[others], abs=1e-3)
    assert found.tokens_N_N[1].tolist() == [0, 0, 0, 0]
    assert found.own_tokens[1].size == 0
    assert found.scored_N.tolist() == [True, False, True, True]
    assert found.n_scored_pairs == 9


def test_what_does_not_fit_the_context_is_left_out_whole_and_nothing_is_cut(
    tiny_lm: CausalLM, prompts: list[Prompt], block: PairBlock
) -> None:
    overlong = CandidateResponse("word " * tiny_lm.context_length, True)
    found = make_blocks(tiny_lm, prompts, one=[*ANSWERS[:3], overlong])["one"]
    assert found.scored_N.tolist() == [True, True, True, False]
    assert np.isnan(found.sums_N_N[:, 3]).all()
    assert (found.tokens_N_N[:3, :3] == block.tokens_N_N[:3, :3]).all()


def test_unwanted_pairs_are_not_scored(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    wanted_N_N = np.eye(4, dtype=bool)
    wanted_N_N[0, 2] = True
    tokens = ExactTokens(tiny_lm, prompts, ANSWERS, wanted_N_N)
    assert [list(tokens.row(i).continuations) for i in range(4)] == [[0, 2], [1], [2], [3]]


def test_columns_scored_together_have_the_bits_of_columns_scored_alone(
    tiny_lm: CausalLM, prompts: list[Prompt], block: PairBlock
) -> None:
    other = [CandidateResponse(None, True), *ANSWERS[:3]]
    together = make_blocks(tiny_lm, prompts, other=other, one=ANSWERS, again=ANSWERS)
    assert same_block(together["one"], block)
    assert same_block(together["again"], block)
    assert same_block(together["other"], make_blocks(tiny_lm, prompts, other=other)["other"])


def test_columns_with_one_input_share_its_encoding(tiny_lm: CausalLM) -> None:
    rows = {name: RowTokens((5, 6, 7), {0: Continuation((8,))}) for name in ("one", "two")}
    runs: list[int] = []
    embedding = tiny_lm.model.get_input_embeddings()
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=8)
    hook = embedding.register_forward_hook(lambda module, inputs, output: runs.append(inputs[0].numel()))
    try:
        score_row(scorer, rows, 0, 1)
    finally:
        hook.remove()
    assert runs == [2, 1, 1]


def test_weights_that_are_no_numbers_stop_the_run_and_name_both_samples(
    tiny_lm: CausalLM,
) -> None:
    damaged = copy.deepcopy(tiny_lm.model)
    with torch.no_grad():
        damaged.model.norm.weight[0] = float("nan")
    columns = {"golden": RowTokens((5, 6, 7), {2: Continuation((8, 9))})}
    with pytest.raises(FloatingPointError) as caught:
        score_row(LikelihoodScorer(with_model(tiny_lm, damaged), batch_tokens=8), columns, 1, 3)
    assert caught.value.args == ("golden", 2)
    failure = name_the_samples(caught.value, 1, ["IDTest-1", "IDTest-2", "IDTest-3"])
    assert isinstance(failure, RunFailure)
    assert "golden response of sample IDTest-3 behind the input of sample IDTest-2" in str(failure)


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_a_log_probability_that_is_no_number_names_its_column_and_response(
    tiny_lm: CausalLM, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=8)
    given = [[np.array([-1.0])], [np.array([-1.0, -2.0]), np.array([-1.0, value])]]
    monkeypatch.setattr(scorer, "token_log_probs", lambda prefix, groups: given)
    row = RowTokens((5,), {0: Continuation((8, 9)), 4: Continuation((8, 9))})
    columns = {"golden": RowTokens((5,), {0: Continuation((8,))}), "sft": row}
    with pytest.raises(FloatingPointError) as caught:
        score_row(scorer, columns, 0, 5)
    assert caught.value.args == ("sft", 4)
