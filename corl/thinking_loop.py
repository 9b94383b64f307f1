"""Co-evolution of one model that writes its thinking and its response (appendix E.2).

Each iteration: the model learns by GRPO to think what makes it find the golden response likely; it thinks about all
training samples; it learns the golden responses behind its own thinking, by SFT; and it learns by GRPO to respond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from benchmark.progress import Advance
from benchmark.run_store import append_jsonl, read_appended_jsonl
from benchmark.sample import Sample
from corl.guards import reasoning_guards
from corl.phases import PhaseRunner, below, remembering_divergence
from corl.reward_models import OwnWeights, RewardModel, SharedBase
from corl.rewards import response_rewards
from corl.settings import CoEvolutionSettings
from corl.thinking_prompts import TEMPLATE, ThinkingPrompts, thinking_prompts
from rpm_methods.processes import by_first
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import RolloutTask
from rpm_methods.training_rows import PromptRow, TrainingRow, training_rows
from rpm_methods.training_watch import TrainingDiverged
from scoring.likelihood import encode_response
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.chat import ChatTokenizer
from scoring.models.generation import Generation, Sampling, generate_batches
from scoring.models.out_of_memory import out_of_memory_names
from scoring.rewards import answer_likelihoods
from scoring.sampling import Rollout

PHASES = 4
"""Of an iteration: three trainings, and the writing of thoughts."""
THOUGHTS = "thoughts.jsonl"
BESIDE = "before"
"""PEFT's name of the model as it was before it learns to think."""


@dataclass(frozen=True)
class ThinkingOutcome:
    """What the loop left."""

    adapter: Path
    iterations: int
    """That were finished."""
    diverged: bool
    counts: Mapping[str, int]


@dataclass(frozen=True)
class ThinkingLoop:
    """Trains the model."""

    runner: PhaseRunner
    settings: CoEvolutionSettings
    samples: tuple[Sample, ...]
    sampling: Sampling
    """How thinking is written for all samples; its limit is the settings'."""
    chat: ChatTokenizer
    context_length: int

    def run(self) -> ThinkingOutcome:
        """Train, going on from what an interrupted run left.

        An iteration that diverges ends the training; the adapter from before it is kept.

        Raises:
            TrainingDiverged: the first iteration did.
        """
        adapter: Path | None = None
        counts, iterations = {"thinking_cut": 0, "thinking_left_out": 0}, self.settings.iterations
        with self.runner.progress.task("phases", PHASES * iterations, alike=False) as passed:
            for number in range(1, iterations + 1):
                runner = below(self.runner, f"iteration-{number:02d}")
                try:
                    with remembering_divergence(runner.folder):
                        adapter, found = self._iteration(runner, adapter, passed)
                except TrainingDiverged:
                    if adapter is None:
                        raise
                    return ThinkingOutcome(adapter, number - 1, diverged=True, counts=counts)
                counts = {name: counts[name] + count for name, count in found.items()}
        assert adapter is not None  # there is at least one iteration
        return ThinkingOutcome(adapter, iterations, diverged=False, counts=counts)

    def _iteration(self, runner: PhaseRunner, before: Path | None, passed: Advance) -> tuple[Path, dict[str, int]]:
        thinker = runner.reinforce(
            "1-thinking-rl",
            lambda: self._thinking_task(before),
            self.settings.reasoning_rl,
            new_tokens=self.settings.max_reasoning_tokens,
            adapter=before,
            beside={} if before is None else {BESIDE: before},
        )
        passed()
        thoughts, counts = self._thoughts(runner, thinker)
        passed()
        samples = [sample for sample in self.samples if sample.sample_id in thoughts]

        def rows() -> list[TrainingRow]:
            answers = self._prompts.answers(samples, [thoughts[sample.sample_id] for sample in samples])
            return training_rows(samples, self.runner.renderer, TEMPLATE, self.chat, answers=answers)

        imitator = runner.imitate("2-answer-sft", rows, self.settings.imitation, adapter=thinker)
        passed()
        adapter = runner.reinforce(
            "3-response-rl",
            lambda: self._response_task(samples, thoughts),
            self.settings.response_rl,
            new_tokens=self.settings.max_response_tokens,
            adapter=imitator,
        )
        passed()
        return adapter, counts

    @cached_property
    def _prompts(self) -> ThinkingPrompts:
        return thinking_prompts(self.runner.renderer)

    def _thinking_task(self, before: Path | None) -> RolloutTask:
        rows = [PromptRow(s.sample_id, self.chat.encode_prompt(self._prompts.thinking(s))) for s in self.samples]
        frozen = SharedBase(
            self.chat,
            self.context_length,
            adapter=None if before is None else BESIDE,
            batch_tokens=self.settings.reasoning_rl.reward_batch_tokens,
            float32=self.settings.reward_precision == "float32",
        )
        return RolloutTask(
            rows=rows,
            samples=self.samples,
            stop=self._prompts.form.thinking_end,
            parts=[thinking_reward(self._prompts, frozen)],
            measures=[reasoning_guards(lambda text: text)],
        )

    def _response_task(self, samples: Sequence[Sample], thoughts: Mapping[str, str]) -> RolloutTask:
        prompts = [self._prompts.response(sample, thoughts[sample.sample_id]) for sample in samples]
        rows = [
            PromptRow(sample.sample_id, self.chat.encode_prompt(prompt))
            for sample, prompt in zip(samples, prompts, strict=True)
        ]
        return RolloutTask(
            rows=rows,
            samples=samples,
            stop=self.runner.renderer.templates[TEMPLATE].stop,
            parts=response_rewards(self._reference(), self.runner.renderer, thoughts),
        )

    def _reference(self) -> RewardModel:
        """Return the base model before any training; the weights in training have the parent's adapters in them."""
        precision = "float32" if self.settings.reward_precision == "float32" else self.runner.dtype
        lm = load_causal_lm(self.runner.base, dtype=precision, device=self.runner.device)
        return OwnWeights(lm, batch_tokens=self.settings.response_rl.reward_batch_tokens)

    def _thoughts(self, runner: PhaseRunner, thinker: Path) -> tuple[dict[str, str], dict[str, int]]:
        """Return the model's thinking about each sample, and how many thoughts were cut or are of no use.

        What the limit cut is closed there; what is empty or has a tag in it is left out.

        Raises:
            TrainingDiverged: none is of use.
        """
        made = by_first(lambda: self._written(runner, thinker))
        usable = {name: self._prompts.usable(answer.text or "") for name, answer in made.items()}
        kept = {name: thinking for name, thinking in usable.items() if thinking is not None}
        if not kept:
            raise TrainingDiverged("the model thinks nothing of use about any training sample")
        cut = sum(made[name].finish_reason == "length" for name in kept)
        return kept, {"thinking_cut": cut, "thinking_left_out": len(made) - len(kept)}

    def _written(self, runner: PhaseRunner, thinker: Path) -> dict[str, Generation]:
        """Let the model think about all samples; finished batches are kept."""
        path, names = runner.folder / THOUGHTS, [sample.sample_id for sample in self.samples]
        made = {int(i): Generation(**answer) for batch in read_appended_jsonl(path) for i, answer in batch.items()}
        with runner.progress.task("thinking", len(names)) as advance:
            advance(len(made))
            if len(made) < len(names):
                prompts = [self._prompts.thinking(sample) for sample in self.samples]
                lm = self._thinker(runner, thinker)
                with out_of_memory_names("generation.batch_tokens", doing="writing thinking"):
                    for batch in generate_batches(lm, prompts, self.sampling, finished=made):
                        append_jsonl(path, {str(index): asdict(answer) for index, answer in batch})
                        made |= dict(batch)
                        advance(len(batch))
        return {name: made[index] for index, name in enumerate(names)}

    def _thinker(self, runner: PhaseRunner, adapter: Path) -> CausalLM:
        parent = [] if runner.parent is None else [runner.parent.folder / name for name in runner.parent.adapters]
        return load_causal_lm(runner.base, dtype=runner.dtype, device=runner.device, adapters=[*parent, adapter])


def thinking_reward(prompts: ThinkingPrompts, model: RewardModel) -> RewardPart:
    """Return the reward of thinking: the probability a token of the golden response behind it; 0 for malformed.

    It is exp of the mean log p, 0 .. 1, so that malformed thinking can be worse than any other; a sum of log p has no
    such value.
    """

    def score(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        thoughts = [prompts.closed_thinking(rollout) for rollout in rollouts]
        rendered = [prompts.response(sample, thinking) for thinking in thoughts if thinking is not None]
        golden = encode_response(model.scorer.lm, sample.golden_response, ended=False)
        found = answer_likelihoods(model.scorer, rendered, golden.ids, sample_id=sample.sample_id)
        rewards = iter([None if one is None else one.mean_probability for one in found])
        return [0.0 if thinking is None else next(rewards) for thinking in thoughts]

    return RewardPart("likelihood", score, model.lent)
