"""Co-evolution of the estimator's two models on one fold (paper, section 3.3 and appendix D).

Each iteration: the reasoning generator learns by GRPO what makes the policy model find the golden response likely; it
writes reasoning for all samples; the policy model learns the golden responses behind it, by SFT and then by GRPO.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.progress import Advance, SilentProgress
from benchmark.sample import Sample
from corl.cold_start import ColdStart
from corl.guards import reasoning_guards
from corl.held_out import HeldOut
from corl.phases import PhaseRunner, below, remembering_divergence
from corl.reward_models import SharedBase
from corl.rewards import generator_rewards, response_rewards
from corl.settings import EstimatorSettings
from rpm_methods.processes import by_first
from rpm_methods.rollout_training import RolloutTask
from rpm_methods.training_rows import TrainingRow, prompt_rows, training_rows
from rpm_methods.training_watch import TrainingDiverged
from scoring.estimator import ReasoningSettings
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.chat import ChatTokenizer
from scoring.reasoning import ReasoningCache, read_or_write_reasonings, write_reasonings
from scoring.reasoning_text import ReasoningReader, reasoning_reader

POLICY = "policy_with_reasoning"
"""The policy model's template."""
COLD_START_PHASES, ITERATION_PHASES = 2, 4
"""The trainings, and in an iteration the writing of reasoning."""
BESIDE = "policy"
"""PEFT's name of the policy model while the generator is in training."""


@dataclass(frozen=True)
class FoldData:
    """What the models of one fold are trained with."""

    cold_start: ColdStart
    evolve: tuple[Sample, ...]
    """Samples of co-evolution."""
    held_out: tuple[Sample, ...]
    """Samples that nothing is learned from; perplexity is measured on them in training."""


@dataclass(frozen=True)
class Pair:
    """The adapters of the two models."""

    generator: Path
    policy: Path


@dataclass(frozen=True)
class FoldOutcome:
    """The models of a fold."""

    pair: Pair
    cold: Pair
    """As they were after the cold start."""
    iterations: int
    """That were finished."""
    notes: tuple[str, ...]
    """What did not go as planned."""


@dataclass(frozen=True)
class FoldLoop:
    """Trains the models of one fold."""

    runner: PhaseRunner
    settings: EstimatorSettings
    data: FoldData
    chat: ChatTokenizer
    context_length: int

    def run(self) -> FoldOutcome:
        """Train, going on from what an interrupted run left.

        An iteration that diverges ends the co-evolution, and the pair from before it is the fold's: half an iteration
        would leave a policy model that does not know its generator.
        """
        iterations, notes, finished = self.settings.iterations, [], 0
        phases = COLD_START_PHASES + ITERATION_PHASES * iterations
        with self.runner.progress.task("phases", phases, alike=False) as passed:
            pair = cold = self._cold_start(passed)
            for number in range(1, iterations + 1):
                runner = below(self.runner, f"iteration-{number:02d}")
                try:
                    with remembering_divergence(runner.folder):
                        pair = self._iteration(runner, pair, passed)
                    finished = number
                except TrainingDiverged as error:
                    kept = f"iteration {number - 1}" if number > 1 else "the cold start"
                    notes.append(f"iteration {number} diverged, so the adapters of {kept} are kept ({error})")
                    break
        return FoldOutcome(pair, cold, finished, tuple(notes))

    def _cold_start(self, passed: Advance) -> Pair:
        runner, cold, settings = below(self.runner, "cold-start"), self.data.cold_start, self.settings
        targets = [cold.targets[sample.sample_id] for sample in cold.samples]
        shown = [self._reader.shown(target).text for target in targets]

        def generator_rows() -> list[TrainingRow]:
            return training_rows(cold.samples, runner.renderer, settings.template, self.chat, answers=targets)

        def policy_rows() -> list[TrainingRow]:
            return training_rows(cold.samples, runner.renderer, POLICY, self.chat, reasonings=shown)

        generator = runner.imitate("1-generator-sft", generator_rows, settings.cold_start, adapter=None)
        passed()
        policy = runner.imitate("2-policy-sft", policy_rows, settings.cold_start, adapter=None)
        passed()
        return Pair(generator, policy)

    def _iteration(self, runner: PhaseRunner, pair: Pair, passed: Advance) -> Pair:
        settings, samples = self.settings, self.data.evolve
        generator = runner.reinforce(
            "1-generator-rl",
            lambda: self._generator_task(runner),
            settings.reasoning_rl,
            new_tokens=settings.max_reasoning_tokens,
            adapter=pair.generator,
            beside={BESIDE: pair.policy},
        )
        passed()
        shown = by_first(lambda: self._written(runner, generator))
        passed()

        def policy_rows() -> list[TrainingRow]:
            texts = [shown[sample.sample_id] for sample in samples]
            return training_rows(samples, runner.renderer, POLICY, self.chat, reasonings=texts)

        policy = runner.imitate("2-policy-sft", policy_rows, settings.imitation, adapter=pair.policy)
        passed()
        policy = runner.reinforce(
            "3-policy-rl",
            lambda: self._policy_task(shown),
            settings.response_rl,
            new_tokens=settings.max_response_tokens,
            adapter=policy,
        )
        passed()
        return Pair(generator, policy)

    def _generator_task(self, runner: PhaseRunner) -> RolloutTask:
        template, samples = self.settings.template, self.data.evolve

        def write_held_out(lm: CausalLM, held_out: Sequence[Sample], step: int) -> dict[str, str]:
            cache = ReasoningCache(runner.folder / "held-out" / f"step-{step:06d}.jsonl")
            with SilentProgress().task("held-out reasoning", len(held_out)) as advance:
                found = write_reasonings(lm, held_out, runner.renderer, self._reasoning, cache, advance)
            return {one.sample_id: one.shown for one in found}

        policy = self._on_shared_base(BESIDE, self.settings.reasoning_rl.reward_batch_tokens)
        return RolloutTask(
            rows=prompt_rows(samples, runner.renderer, template, self.chat),
            samples=samples,
            stop=runner.renderer.templates[template].stop,
            parts=generator_rewards(self.settings.reward, self._reader, runner.renderer, policy),
            well_formed=lambda text: self._reader.shown(text).marked,
            measures=[
                reasoning_guards(lambda text: self._reader.shown(text).text),
                *self._held_out.of_generator(write_held_out, BESIDE),
            ],
        )

    def _policy_task(self, shown: Mapping[str, str]) -> RolloutTask:
        samples = self.data.evolve
        texts = [shown[sample.sample_id] for sample in samples]
        reference = self._on_shared_base(None, self.settings.response_rl.reward_batch_tokens)
        return RolloutTask(
            rows=prompt_rows(samples, self.runner.renderer, POLICY, self.chat, reasonings=texts),
            samples=samples,
            stop=self.runner.renderer.templates[POLICY].stop,
            parts=response_rewards(reference, self.runner.renderer, shown),
            measures=self._held_out.of_policy(shown),
        )

    def _on_shared_base(self, adapter: str | None, batch_tokens: int) -> SharedBase:
        float32 = self.settings.reward_precision == "float32"
        return SharedBase(self.chat, self.context_length, adapter=adapter, batch_tokens=batch_tokens, float32=float32)

    def _written(self, runner: PhaseRunner, generator: Path) -> dict[str, str]:
        """Return what the policy model is shown for every sample of the fold, held-out ones too."""
        samples = list(dict.fromkeys([*self.data.evolve, *self.data.held_out]))
        cache = ReasoningCache(runner.folder / "reasoning.jsonl")
        load = partial(load_causal_lm, runner.base, dtype=runner.dtype, device=runner.device, adapters=[generator])
        with runner.progress.task("reasoning", len(samples)) as advance:
            found = read_or_write_reasonings(load, samples, runner.renderer, self._reasoning, cache, advance)
        return {one.sample_id: one.shown for one in found}

    @property
    def _reader(self) -> ReasoningReader:
        return reasoning_reader(self.runner.renderer, self.settings.template)

    @property
    def _reasoning(self) -> ReasoningSettings:
        return reasoning_settings(self.settings)

    @property
    def _held_out(self) -> HeldOut:
        return HeldOut(
            samples=self.data.held_out,
            every=self.settings.held_out.every,
            renderer=self.runner.renderer,
            chat=self.chat,
            context_length=self.context_length,
            batch_tokens=self.settings.reasoning_rl.reward_batch_tokens,
        )


def reasoning_settings(settings: EstimatorSettings) -> ReasoningSettings:
    """Return how the generator writes, in training and afterwards."""
    return ReasoningSettings(
        template=settings.template,
        max_new_tokens=settings.max_reasoning_tokens,
        repetition_penalty=settings.repetition_penalty,
        batch_tokens=settings.reasoning_batch_tokens,
    )
