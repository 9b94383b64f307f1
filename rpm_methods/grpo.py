"""Reinforcement learning by GRPO (Appendix E.1): rollouts of the SFT policy, rewarded by the base model's "100%"."""

from collections.abc import Mapping

from rpm_methods.artifact import PolicyArtifact
from rpm_methods.full_marks import full_marks_reward
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.rollout_training import PolicyRolloutSettings, RolloutTask, train_on_rollouts, training_counts
from rpm_methods.sampled_answers import parent_of
from rpm_methods.training_rows import prompt_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response"


class GRPOSettings(PolicyRolloutSettings):
    """Settings of group relative policy optimisation."""


class GroupRelativePolicyOptimization:
    """Trains a LoRA adapter on the SFT policy by the rewards of its own answers."""

    spec = MethodSpec(
        name="grpo",
        label="RL",
        family="rl",
        order=60,
        starts_from="sft",
        produces_reasoning=False,
        trains=True,
        draws_answers=True,
    )
    config_type = GRPOSettings

    def models_needed(self, config: GRPOSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: GRPOSettings, context: TrainContext) -> PolicyArtifact:
        """Train, going on from the last checkpoint in the folder if there is one."""
        parent_of(context, self.spec)
        task = RolloutTask(
            rows=prompt_rows(context.samples, context.renderer, TEMPLATE, load_chat(context.base)),
            samples=context.samples,
            stop=context.renderer.templates[TEMPLATE].stop,
            parts=[full_marks_reward(context, config.reward_batch_tokens)],
        )
        trained = train_on_rollouts(task, config, context)
        counts = training_counts(trained)
        return trained_artifact(
            self.spec, context, template=TEMPLATE, training_tokens=trained.tokens, training_counts=counts
        )
