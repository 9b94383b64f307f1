"""Rewards that are likelihoods: how likely a model finds "100%" behind a candidate, or the golden response behind r.

A group is all rollouts for one sample. Their prompts begin alike, and that beginning runs through the model once;
prompts that are the same are scored once, so that equal rollouts get equal rewards to the last bit. There is no state:
for several samples, call once a sample. A rollout whose prompt and answer do not fit into the model's context has no
reward: None, never 0, and nothing is cut.

Load the model in float32. Rounding in bfloat16 moved the mean log p of "100%" by up to 0.04 nats (SmolLM2-135M, ten
candidates), which is about as far as candidates lie apart, so their order changed; in float32 grouping changed nothing
to four digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import Sample
from scoring.likelihood import Continuation, LikelihoodScorer, encode_response
from scoring.models.prefix_cache import common_prefix

FULL_MARKS = "100%"
"""The expected output of Tables 19 and 24."""


@dataclass(frozen=True)
class AnswerLikelihood:
    """How likely a model finds a given answer behind a prompt."""

    sum_log_prob: float
    """log p of the whole answer, nats; at most 0."""
    tokens: int
    """Tokens of the answer, at least one."""

    @property
    def mean_log_prob(self) -> float:
        """Mean of log p over the answer's tokens, nats a token."""
        return self.sum_log_prob / self.tokens

    @property
    def mean_probability(self) -> float:
        """exp of the mean of log p: the geometric mean of the tokens' probabilities, 0 .. 1."""
        return math.exp(self.mean_log_prob)


def percentage_rewards(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample, candidates: Sequence[str]
) -> list[float | None]:
    """Return the reward of each candidate response for RFT, GRPO and ThinkingRL: the probability of "100%" (Table 24).

    The paper speaks of the probability of the expected output. Here it is exp of the mean log p over the tokens of
    "100%", as in the released reward of the policy model, which the paper calls similar. Every candidate has the same
    "100%" behind it, so mean or product makes no difference to which is the best.
    `percentage_likelihoods` gives log p itself.

    Args:
        scorer: scores under the base model before SFT (section E.1).
        renderer: renders `reward_response`.
        sample: the dialogue with its golden response, which serves as reference.
        candidates: the rollouts; an empty one is judged like any other.

    Raises:
        RunFailure: a log-probability is NaN or infinite.
    """
    found = percentage_likelihoods(scorer, renderer, sample, candidates)
    return [None if likelihood is None else likelihood.mean_probability for likelihood in found]


def percentage_likelihoods(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample, candidates: Sequence[str]
) -> list[AnswerLikelihood | None]:
    """Return the likelihood of "100%" behind each candidate (Table 24); arguments as in `percentage_rewards`."""
    prompts = [renderer.render("reward_response", sample, candidate_response=text) for text in candidates]
    return answer_likelihoods(scorer, prompts, _full_marks(scorer), sample_id=sample.sample_id)


def percentage_ratio_rewards(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample, reasoning: str, candidates: Sequence[str]
) -> list[float | None]:
    """Return the reward of each candidate response for the estimator's policy model (section 3.3, Table 19).

    It is min(exp(log p("100%" | candidate) - log p("100%" | golden response as candidate)), 1), with log p the mean
    over the tokens of "100%", as in the released code. The paper's formula has the responses' own probabilities in
    this place; its appendix replaces them by that of the expected output. The golden response gets exactly 1.

    Args:
        scorer: scores under the reference model.
        renderer: renders `reward_features`.
        sample: the dialogue with its golden response.
        reasoning: r, or its part that describes the features of the ideal response.
        candidates: the rollouts; an empty one is judged like any other. Where the golden response as candidate does
            not fit into the context, there is nothing to compare with, and all rewards are None.

    Raises:
        RunFailure: a log-probability is NaN or infinite.
    """
    texts = [sample.golden_response, *candidates]
    prompts = [renderer.render("reward_features", sample, reasoning=reasoning, candidate_response=t) for t in texts]
    golden, *found = answer_likelihoods(scorer, prompts, _full_marks(scorer), sample_id=sample.sample_id)
    return [None if golden is None or one is None else capped_ratio(one, golden) for one in found]


def capped_ratio(candidate: AnswerLikelihood, golden: AnswerLikelihood) -> float:
    """Return min(p_candidate / p_golden, 1), of geometric means over tokens; the difference is taken of logarithms."""
    return math.exp(min(candidate.mean_log_prob - golden.mean_log_prob, 0.0))


def log_likelihood_rewards(
    scorer: LikelihoodScorer, renderer: PromptRenderer, sample: Sample, reasonings: Sequence[str]
) -> list[AnswerLikelihood | None]:
    """Return log p(y | x, r_k) of the golden response for each reasoning r_k, the reward of the reasoning generator.

    The paper's reward is `sum_log_prob` (section 3.3 and its appendix); the released code's is `mean_probability`.
    Scored are the tokens of the golden response and the end-of-turn token, nothing else.

    Args:
        scorer: scores under the estimator's policy model.
        renderer: renders `policy_with_reasoning`.
        sample: x and y.
        reasonings: the rollouts, or of each the part that the policy model is shown; may be empty.

    Raises:
        RunFailure: a log-probability is NaN or infinite.
    """
    prompts = [renderer.render("policy_with_reasoning", sample, reasoning=reasoning) for reasoning in reasonings]
    response = encode_response(scorer.lm, sample.golden_response, ended=True)
    return answer_likelihoods(scorer, prompts, response.ids, sample_id=sample.sample_id)


def answer_likelihoods(
    scorer: LikelihoodScorer, prompts: Sequence[Prompt], answer: Sequence[int], *, sample_id: str
) -> list[AnswerLikelihood | None]:
    """Return the likelihood of one answer behind each prompt of a group; None where the two exceed the context.

    The tokens that run through the model are those of the common beginning once, and of each different prompt the
    rest with the answer.

    Args:
        scorer: scores under the model of its choice.
        prompts: they begin with the same token; the more they share, the less there is to compute.
        answer: token ids, at least one, all of them scored.
        sample_id: named where something fails.

    Raises:
        ValueError: the answer is empty, or the prompts have no token in common at their beginning.
        RunFailure: a log-probability is NaN or infinite.
    """
    if not answer:
        raise ValueError(f"sample {sample_id}: the answer to be scored has no tokens")
    encoded = [tuple(scorer.lm.chat.encode_prompt(prompt)) for prompt in prompts]
    fitting = [ids for ids in dict.fromkeys(encoded) if len(ids) + len(answer) <= scorer.lm.context_length]
    if not fitting:
        return [None] * len(prompts)
    shared = min(common_prefix(fitting[0], ids) for ids in fitting)
    if shared == 0:
        raise ValueError(f"sample {sample_id}: the prompts of a group must begin with the same token")
    rests = [Continuation((*ids[shared:], *answer), scored_from=len(ids) - shared) for ids in fitting]
    (values,) = scorer.token_log_probs(fitting[0][:shared], [rests])
    found = {ids: _checked(log_probs, sample_id) for ids, log_probs in zip(fitting, values, strict=True)}
    return [found.get(ids) for ids in encoded]


def _full_marks(scorer: LikelihoodScorer) -> list[int]:
    return scorer.lm.chat.encode_text(FULL_MARKS)


def _checked(log_probs: NDArray[np.float64], sample_id: str) -> AnswerLikelihood:
    if not np.isfinite(log_probs).all():
        raise RunFailure(
            f"the reward model gave an answer to sample {sample_id} a log-probability that is NaN or infinite; its "
            "weights are damaged, or they need float32 (compute.dtype)"
        )
    return AnswerLikelihood(float(log_probs.sum()), len(log_probs))
