"""The reasoning role-playing model trained by co-evolution (appendix E.2): the ninth method, from ThinkingSFT.

It writes thinking and response as ThinkingSFT and ThinkingRL do, from the same start, so that the three differ in what
they learn afterwards and in nothing else.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from benchmark.run_store import disk_errors
from corl.phases import PhaseRunner, phase_records, total_counts
from corl.settings import CoEvolutionSettings, ReasoningReward
from corl.thinking_loop import ThinkingLoop
from corl.thinking_prompts import TEMPLATE
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import ADAPTER, trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.processes import by_first
from rpm_methods.sampled_answers import parent_of
from scoring.models.causal_lm import context_length, load_chat


class CoRLSettings(CoEvolutionSettings):
    """Settings of the reasoning role-playing model."""

    iterations: int = Field(default=2, ge=1)
    """The paper alternates twice in the estimator, and names no other number here."""
    reward: ReasoningReward = ReasoningReward(likelihood="mean_probability")

    @field_validator("reward")
    @classmethod
    def _has_a_worst_value(cls, value: ReasoningReward) -> ReasoningReward:
        if value != ReasoningReward(likelihood="mean_probability"):
            raise ValueError("thinking is rewarded by likelihood: mean_probability alone, in which 0 is for malformed")
        return value


class CoEvolvedReasoning:
    """Trains a LoRA adapter on the ThinkingSFT policy, by turns on its thinking and on its responses."""

    spec = MethodSpec(
        name="corl",
        label="CoRL",
        family="thinking",
        order=90,
        starts_from="thinking_sft",
        produces_reasoning=True,
        trains=True,
        draws_answers=True,
    )
    config_type = CoRLSettings

    def models_needed(self, config: CoRLSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: CoRLSettings, context: TrainContext) -> PolicyArtifact:
        """Train, going on from what an interrupted run left.

        Raises:
            TrainingDiverged: the first iteration did; a later one is counted, and the adapter from before it is kept.
        """
        runner = PhaseRunner(
            base=context.base,
            dtype=context.dtype,
            device=context.device,
            renderer=context.renderer,
            lora=config.lora,
            seed=context.seed,
            folder=context.folder,
            parent=parent_of(context, self.spec),
            progress=context.progress,
        )
        outcome = ThinkingLoop(
            runner=runner,
            settings=config,
            samples=context.samples,
            sampling=replace(context.sampling, max_new_tokens=config.max_reasoning_tokens),
            chat=load_chat(context.base),
            context_length=context_length(context.base),
        ).run()
        by_first(lambda: _take_over(outcome.adapter, context.folder))
        phases = phase_records(context.folder)
        counts = {"iterations": outcome.iterations, "diverged": int(outcome.diverged), **outcome.counts}
        return trained_artifact(
            self.spec,
            context,
            template=TEMPLATE,
            training_tokens=sum(phase["tokens"] for phase in phases),
            training_counts={**counts, **total_counts(phases)},
        )


def _take_over(adapter: Path, folder: Path) -> None:
    """Copy the adapter of the last phase to where a policy's lies."""
    with disk_errors(folder):
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)
        shutil.copytree(adapter, folder / ADAPTER)
