"""Rejection sampling fine-tuning (Appendix E.1): the best of five sampled answers is the target of more SFT."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import Field

from benchmark.errors import RunFailure
from benchmark.run_store import append_jsonl, read_appended_jsonl
from benchmark.seeds import derive_seed
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.processes import by_first
from rpm_methods.sampled_answers import load_parent, sample_answers
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import training_rows
from scoring.likelihood import REWARD_SETTING, LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm, load_chat
from scoring.rewards import percentage_rewards

TEMPLATE = "response"
CANDIDATES = "candidates.jsonl"
REWARDS = "rewards.jsonl"


class RFTSettings(AdapterSettings):
    """Settings of rejection sampling fine-tuning."""

    candidates: int = Field(default=5, ge=2)
    """Answers sampled for each training sample."""
    temperature: float = Field(default=1.0, gt=0)
    reward_batch_tokens: int = Field(default=1024, ge=1)
    """Memory: most tokens in a batch of reward prompts."""


class RejectionSamplingFineTuning:
    """Samples from the SFT policy, keeps the answer that the base model finds best, and goes on training on it."""

    spec = MethodSpec(
        name="rft",
        label="RFT",
        family="sft",
        order=50,
        starts_from="sft",
        produces_reasoning=False,
        trains=True,
        draws_answers=True,
    )
    config_type = RFTSettings

    def models_needed(self, config: RFTSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: RFTSettings, context: TrainContext) -> PolicyArtifact:
        """Sample, choose, train; each goes on from what an interrupted run left."""
        with context.progress.task("data and training", 2, alike=False) as passed:
            winners = by_first(lambda: self._winners(config, context))
            passed()
            chat = load_chat(context.base)
            rows = training_rows(context.samples, context.renderer, TEMPLATE, chat, answers=winners)
            tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)

    def _winners(self, config: RFTSettings, context: TrainContext) -> list[str]:
        """Return the best of the sampled answers to each training sample."""
        candidates = self._candidates(config, context)
        rewards = _rewards(candidates, config, context)
        return [texts[_best(values)] for texts, values in zip(candidates, rewards, strict=True)]

    def _candidates(self, config: RFTSettings, context: TrainContext) -> list[list[str]]:
        """Return the sampled answers to each training sample; one cut by the length limit is a candidate too."""
        prompts = [context.renderer.render(TEMPLATE, sample) for sample in context.samples]
        repeated = [prompt for prompt in prompts for _ in range(config.candidates)]
        seed = derive_seed(context.seed, "rft")
        sampling = replace(context.sampling, temperature=config.temperature, seed=seed)
        policy = load_parent(context, self.spec)
        path = context.folder / CANDIDATES
        answers = [a.text for a in sample_answers(policy, repeated, sampling, path, context, "candidates")]
        texts = [text for text in answers if text is not None]
        if len(texts) < len(answers):
            raise RunFailure("a training prompt does not fit into the context with room for an answer")
        return [texts[start : start + config.candidates] for start in range(0, len(texts), config.candidates)]


def _rewards(
    candidates: Sequence[Sequence[str]], config: RFTSettings, context: TrainContext
) -> list[list[float | None]]:
    """Return each candidate's probability of "100%" under the base model before SFT, in float32."""
    path = context.folder / REWARDS
    made: list[list[float | None]] = read_appended_jsonl(path)
    with context.progress.task("rewards", len(candidates)) as advance:
        advance(len(made))
        if len(made) < len(candidates):
            lm = load_causal_lm(context.base, dtype="float32", device=context.device)
            scorer = LikelihoodScorer(lm, batch_tokens=config.reward_batch_tokens, setting=REWARD_SETTING)
            for sample, texts in list(zip(context.samples, candidates, strict=True))[len(made) :]:
                made.append(percentage_rewards(scorer, context.renderer, sample, texts))
                append_jsonl(path, made[-1])
                advance()
    return made


def _best(rewards: Sequence[float | None]) -> int:
    """Return the place of the highest reward, the first among equals; RunFailure when nothing could be rewarded."""
    known = [(-value, place) for place, value in enumerate(rewards) if value is not None]
    if not known:
        raise RunFailure("no candidate of a training sample fits into the reward model's context")
    return min(known)[1]
