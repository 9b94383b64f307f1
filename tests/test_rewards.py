"""Rewards equal one naive forward pass a prompt, share the beginning of a group, and are None where nothing fits."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_sample

from benchmark import Benchmark, PromptRenderer, RunFailure, Sample
from benchmark.prompts import Message, Prompt
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.rewards import (
    AnswerLikelihood,
    answer_likelihoods,
    capped_ratio,
    log_likelihood_rewards,
    percentage_likelihoods,
    percentage_ratio_rewards,
    percentage_rewards,
)

CANDIDATES = ["Rye, and wait until morning.", "", "빵을 구우세요.", "A long answer " * 8, 'Say "no"."""']
REASONING = "## I. Content\n- dry wit"
Rewards = Callable[[LikelihoodScorer, PromptRenderer, Sample, Sequence[str]], Sequence[object]]


@pytest.fixture
def scorer(tiny_lm: CausalLM) -> LikelihoodScorer:
    return LikelihoodScorer(tiny_lm, batch_tokens=4096)


@pytest.fixture(scope="module")
def sample(mini: Benchmark) -> Sample:
    return mini.test["literature"][0]


def naive(lm: CausalLM, prompt: Prompt, answer: list[int]) -> list[float]:
    """Return log p of each token of the answer by one plain forward pass over prompt and answer."""
    prefix = lm.chat.encode_prompt(prompt)
    with torch.inference_mode():
        log_probs_L_V = lm.model(torch.tensor([prefix + answer])).logits[0].double().log_softmax(-1)
    return [float(log_probs_L_V[len(prefix) - 1 + k, token]) for k, token in enumerate(answer)]


@contextmanager
def counted_tokens(lm: CausalLM) -> Iterator[list[int]]:
    """Yield a list that grows by the number of tokens, padding included, of each forward pass."""
    seen: list[int] = []
    hook = lm.model.get_input_embeddings().register_forward_pre_hook(lambda _, given: seen.append(given[0].numel()))
    try:
        yield seen
    finally:
        hook.remove()


def ratio_rewards(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample, texts: Sequence[str]
) -> Sequence[object]:
    return percentage_ratio_rewards(scorer, renderer, sample, REASONING, texts)


ALL_REWARDS = pytest.mark.parametrize("rewards", [percentage_rewards, ratio_rewards, log_likelihood_rewards])


# ---- values ----


def test_the_percentage_reward_is_exp_of_the_mean_log_p_of_a_naive_pass(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    rewards = percentage_rewards(scorer, renderer, sample, CANDIDATES)
    likelihoods = percentage_likelihoods(scorer, renderer, sample, CANDIDATES)
    answer = scorer.lm.chat.encode_text("100%")
    for text, reward, likelihood in zip(CANDIDATES, rewards, likelihoods, strict=True):
        prompt = renderer.render("reward_response", sample, candidate_response=text)
        expected = float(np.mean(naive(scorer.lm, prompt, answer)))
        assert likelihood is not None
        assert likelihood.mean_log_prob == pytest.approx(expected, abs=1e-4)
        assert likelihood.tokens == len(answer)
        assert reward == pytest.approx(math.exp(expected), rel=1e-4)


def test_the_ratio_reward_equals_that_of_naive_passes(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    rewards = percentage_ratio_rewards(scorer, renderer, sample, REASONING, CANDIDATES)
    answer = scorer.lm.chat.encode_text("100%")
    golden, *others = (
        np.mean(naive(scorer.lm, renderer.render("reward_features", sample, **slots), answer))
        for text in (sample.golden_response, *CANDIDATES)
        for slots in [{"reasoning": REASONING, "candidate_response": text}]
    )
    assert rewards == pytest.approx([min(math.exp(other - golden), 1.0) for other in others], rel=1e-4)
    assert min(math.exp(other - golden) for other in others) < 1.0


def test_the_reasoning_reward_equals_naive_passes_over_the_golden_response_and_its_end(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    rollouts = [REASONING, "", "A wholly different thought. " * 5]
    found = log_likelihood_rewards(scorer, renderer, sample, rollouts)
    answer = [*scorer.lm.chat.encode_text(sample.golden_response), scorer.lm.chat.end_of_turn_id]
    for text, likelihood in zip(rollouts, found, strict=True):
        expected = naive(scorer.lm, renderer.render("policy_with_reasoning", sample, reasoning=text), answer)
        assert likelihood is not None
        assert likelihood.tokens == len(answer)
        assert likelihood.mean_log_prob == pytest.approx(np.mean(expected), abs=1e-4)
        assert likelihood.mean_probability == pytest.approx(math.exp(np.mean(expected)), rel=1e-4)
        assert likelihood.sum_log_prob == pytest.approx(sum(expected), abs=1e-4 * len(answer))


@pytest.mark.parametrize(
    ("candidate", "golden", "expected"),
    [
        (AnswerLikelihood(-4.0, 2), AnswerLikelihood(-3.0, 3), math.exp(-1.0)),
        (AnswerLikelihood(-1.0, 2), AnswerLikelihood(-3.0, 3), 1.0),
        (AnswerLikelihood(-3.0, 3), AnswerLikelihood(-3.0, 3), 1.0),
        (AnswerLikelihood(-1.0, 1), AnswerLikelihood(-5000.0, 1), 1.0),
        (AnswerLikelihood(-5001.0, 1), AnswerLikelihood(-5000.0, 1), math.exp(-1.0)),
    ],
)
def test_the_ratio_is_of_means_capped_at_one_and_survives_tiny_probabilities(
    candidate: AnswerLikelihood, golden: AnswerLikelihood, expected: float
) -> None:
    assert capped_ratio(candidate, golden) == expected


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_the_golden_response_gets_exactly_one_whatever_it_is_batched_with(
    tiny_lm: CausalLM, renderer: PromptRenderer, mini: Benchmark, batch_tokens: int
) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=batch_tokens)
    for sample in (mini.test["id"][0], mini.test["german"][0], mini.test["japanese"][0]):
        texts = [*CANDIDATES, sample.golden_response]
        assert percentage_ratio_rewards(scorer, renderer, sample, REASONING, texts)[-1] == 1.0


@ALL_REWARDS
def test_equal_rollouts_get_equal_rewards_and_order_changes_no_reward(
    rewards: Rewards, scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    once = rewards(scorer, renderer, sample, CANDIDATES)
    assert rewards(scorer, renderer, sample, [*CANDIDATES, *CANDIDATES]) == [*once, *once]
    again = rewards(scorer, renderer, sample, CANDIDATES[::-1])
    assert again == list(once)[::-1]
    assert len(set(once)) > 1
    assert not rewards(scorer, renderer, sample, [])


# ---- cost ----


def group_of_prompts(renderer: PromptRenderer, sample: Sample, name: str) -> list[Prompt]:
    """Return a group's prompts, an equal one among them."""
    if name == "reward_response":
        return [renderer.render(name, sample, candidate_response=text) for text in (*CANDIDATES, CANDIDATES[0])]
    return [renderer.render(name, sample, reasoning=f"{k % 3} {text}") for k, text in enumerate(CANDIDATES * 2)]


@pytest.mark.parametrize("name", ["reward_response", "policy_with_reasoning"])
def test_the_shared_beginning_runs_once_and_of_each_prompt_its_rest(
    tiny_lm: CausalLM, renderer: PromptRenderer, sample: Sample, name: str
) -> None:
    prompts = group_of_prompts(renderer, sample, name)
    answer = tiny_lm.chat.encode_text("100%")
    encoded = {tuple(tiny_lm.chat.encode_prompt(prompt)) for prompt in prompts}
    shared = next(k for k, column in enumerate(zip(*encoded, strict=False)) if len(set(column)) > 1)
    assert shared > 0.5 * min(map(len, encoded))
    rests = [len(ids) - shared + len(answer) for ids in encoded]
    # the last token of an answer predicts nothing and is no input; the last shared one begins each row instead
    for batch_tokens, rows in [(1, sum(rests)), (10**6, len(rests) * max(rests))]:
        scorer = LikelihoodScorer(tiny_lm, batch_tokens=batch_tokens)
        with counted_tokens(tiny_lm) as seen:
            answer_likelihoods(scorer, prompts, answer, sample_id=sample.sample_id)
        assert sum(seen) == shared - 1 + rows


@ALL_REWARDS
def test_a_group_costs_less_than_half_of_its_prompts_apart(
    rewards: Rewards, tiny_lm: CausalLM, renderer: PromptRenderer, sample: Sample
) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=1)
    texts = [f"{k} times, and wait." for k in range(8)]
    with counted_tokens(tiny_lm) as together:
        rewards(scorer, renderer, sample, texts)
    with counted_tokens(tiny_lm) as apart:
        for text in texts:
            rewards(scorer, renderer, sample, [text])
    assert sum(together) < 0.5 * sum(apart)


# ---- what has no reward ----


@ALL_REWARDS
def test_a_rollout_that_does_not_fit_has_none_and_the_others_keep_theirs(
    rewards: Rewards, scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    long = "word " * scorer.lm.context_length
    found = rewards(scorer, renderer, sample, [CANDIDATES[0], long, CANDIDATES[1]])
    assert found == [found[0], None, found[2]]
    assert (found[0], found[2]) == tuple(rewards(scorer, renderer, sample, CANDIDATES[:2]))
    assert rewards(scorer, renderer, sample, [long]) == [None]


def test_a_prompt_that_fills_the_context_to_the_last_token_is_scored(
    tiny_lm: CausalLM, renderer: PromptRenderer, sample: Sample
) -> None:
    prompt = renderer.render("reward_response", sample, candidate_response="Rye.")
    needed = len(tiny_lm.chat.encode_prompt(prompt)) + len(tiny_lm.chat.encode_text("100%"))
    for room, scored in [(needed, True), (needed - 1, False)]:
        scorer = LikelihoodScorer(dataclasses.replace(tiny_lm, context_length=room), batch_tokens=64)
        (found,) = percentage_rewards(scorer, renderer, sample, ["Rye."])
        assert (found is not None) == scored


def test_without_room_for_the_golden_response_no_ratio_is_made(
    scorer: LikelihoodScorer, renderer: PromptRenderer
) -> None:
    sample = make_sample(golden_response="word " * (scorer.lm.context_length // 2))
    assert percentage_ratio_rewards(scorer, renderer, sample, REASONING, ["Rye.", "Oats."]) == [None, None]


@ALL_REWARDS
def test_a_likelihood_that_is_no_number_stops_the_run_and_names_the_sample(
    rewards: Rewards,
    scorer: LikelihoodScorer,
    renderer: PromptRenderer,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(prefix: Sequence[int], groups: Sequence[Sequence[object]]) -> list[list[np.ndarray[Any, Any]]]:
        return [[np.array([-1.0, math.nan]) for _ in group] for group in groups]

    monkeypatch.setattr(scorer, "token_log_probs", broken)
    with pytest.raises(RunFailure, match=f"sample {sample.sample_id} a log-probability that is NaN"):
        rewards(scorer, renderer, sample, ["Rye."])


def test_an_answer_without_tokens_and_prompts_that_share_nothing_are_refused(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample
) -> None:
    prompt = renderer.render("reward_response", sample, candidate_response="Rye.")
    with pytest.raises(ValueError, match="no tokens"):
        answer_likelihoods(scorer, [prompt], [], sample_id="s")
    other = Prompt((Message("user", "Begins otherwise."),))
    with pytest.raises(ValueError, match="begin with the same token"):
        answer_likelihoods(stand_in_scorer(), [prompt, other], [5], sample_id="s")


# ---- data, without a model ----


def stand_in_scorer() -> Any:  # noqa: ANN401 - it stands in for a LikelihoodScorer
    """Return a scorer whose tokens are bytes and whose log p is drawn from a hash of all that stands before."""

    def log_probs(prefix: Sequence[int], groups: Sequence[Sequence[Any]]) -> list[list[np.ndarray[Any, Any]]]:
        return [[drawn(bytes((*prefix, *row.ids)), len(row.ids) - row.scored_from) for row in g] for g in groups]

    def drawn(text: bytes, size: int) -> np.ndarray[Any, Any]:
        return -np.random.default_rng(int(hashlib.sha256(text).hexdigest()[:16], 16)).exponential(size=size)

    chat = SimpleNamespace(
        encode_prompt=lambda prompt: list(prompt.messages[-1].content.encode()),
        encode_text=lambda text: list(text.encode()),
    )
    return SimpleNamespace(lm=SimpleNamespace(chat=chat, context_length=10**6), token_log_probs=log_probs)


def test_every_golden_response_of_the_mini_benchmark_gets_full_marks(mini: Benchmark, renderer: PromptRenderer) -> None:
    scorer = stand_in_scorer()
    others: list[float | None] = []
    for sample in mini:
        golden, other = percentage_ratio_rewards(
            scorer, renderer, sample, REASONING, [sample.golden_response, sample.last_query]
        )
        assert golden == 1.0
        others.append(other)
    assert all(other is not None and 0.0 < other <= 1.0 for other in others)
    assert sum(other != 1.0 for other in others) > 0.25 * len(others)
