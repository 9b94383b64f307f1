"""Perplexity of golden responses behind their reasoning (paper, Table 1), after a training and while it runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from corl.settings import HeldOutSettings
from rpm_methods.merged_adapter import merged
from rpm_methods.rollout_source import Measure, StepRollouts
from scoring.likelihood import REWARD_SETTING, LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer
from scoring.rewards import AnswerLikelihood, log_likelihood_rewards

PERPLEXITY = "held_out/perplexity"
"""Its name in logs."""
Reasonings = Mapping[str, str]
"""Sample ID -> what the policy model is shown."""


def perplexity(found: Sequence[AnswerLikelihood]) -> float:
    """Return exp of the mean of -log p over all tokens of all responses.

    Raises:
        ValueError: there is no response.
    """
    if not found:
        raise ValueError("the perplexity of no responses is not defined")
    return math.exp(-sum(one.sum_log_prob for one in found) / sum(one.tokens for one in found))


def golden_likelihoods(
    scorer: LikelihoodScorer, renderer: PromptRenderer, samples: Sequence[Sample], reasonings: Reasonings
) -> dict[str, AnswerLikelihood]:
    """Return sample ID -> log p(y | x, r) of the golden response; samples that do not fit the context are left out."""
    found = {s.sample_id: log_likelihood_rewards(scorer, renderer, s, [reasonings[s.sample_id]])[0] for s in samples}
    return {sample_id: one for sample_id, one in found.items() if one is not None}


@dataclass(frozen=True)
class HeldOut:
    """Measures the perplexity of samples that are not trained on, every few steps."""

    samples: Sequence[Sample]
    every: int
    renderer: PromptRenderer
    chat: ChatTokenizer
    context_length: int
    batch_tokens: int

    def of_generator(
        self, write: Callable[[CausalLM, Sequence[Sample], int], Reasonings], policy: str
    ) -> list[Measure]:
        """Return the measure for the generator's training: it writes anew, and the frozen policy model scores."""

        def measure(step: StepRollouts) -> Mapping[str, float]:
            if not self._due(step):
                return {}
            with merged(step.model) as bare:
                reasonings = write(self._lm(bare), self.samples, step.step)
            with merged(step.model, policy) as bare:
                return self._perplexity(bare, reasonings)

        return [measure] if self.samples else []

    def of_policy(self, reasonings: Reasonings) -> list[Measure]:
        """Return the measure for the policy model's training, behind reasonings that stay."""

        def measure(step: StepRollouts) -> Mapping[str, float]:
            if not self._due(step):
                return {}
            with merged(step.model) as bare:
                return self._perplexity(bare, reasonings)

        return [measure] if self.samples else []

    def _due(self, step: StepRollouts) -> bool:
        return step.step == 1 or step.step % self.every == 0

    def _lm(self, bare: object) -> CausalLM:
        return CausalLM(bare, self.chat, self.context_length, torch.device(bare.device))  # type: ignore[attr-defined]

    def _perplexity(self, bare: object, reasonings: Reasonings) -> dict[str, float]:
        scorer = LikelihoodScorer(self._lm(bare), batch_tokens=self.batch_tokens, setting=REWARD_SETTING)
        found = golden_likelihoods(scorer, self.renderer, self.samples, reasonings)
        return {PERPLEXITY: perplexity(list(found.values()))} if found else {}


def held_out_samples(samples: Sequence[Sample], settings: HeldOutSettings) -> list[Sample]:
    """Return the samples to measure on, spread evenly over those that a fold does not train on."""
    count = min(settings.samples, len(samples))
    return [samples[number * len(samples) // count] for number in range(count)]
