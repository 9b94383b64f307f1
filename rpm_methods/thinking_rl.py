"""ThinkingRL (Appendix E.1): GRPO from ThinkingSFT; only the response is rewarded, malformed answers get 0."""

from collections.abc import Mapping

from benchmark.thinking import thinking_format
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.full_marks import full_marks_reward
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.rollout_training import PolicyRolloutSettings, RolloutTask, train_on_rollouts, training_counts
from rpm_methods.sampled_answers import parent_of
from rpm_methods.training_rows import prompt_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response_thinking"


class ThinkingRLSettings(PolicyRolloutSettings):
    """Settings of reinforcement learning with thinking."""


class ThinkingReinforcementLearning:
    """Trains a LoRA adapter on the ThinkingSFT policy by the rewards of the responses that follow its thinking."""

    spec = MethodSpec(
        name="thinking_rl",
        label="ThinkingRL",
        family="thinking",
        order=80,
        starts_from="thinking_sft",
        produces_reasoning=True,
        trains=True,
        draws_answers=True,
    )
    config_type = ThinkingRLSettings

    def models_needed(self, config: ThinkingRLSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: ThinkingRLSettings, context: TrainContext) -> PolicyArtifact:
        """Train, going on from the last checkpoint in the folder if there is one."""
        parent_of(context, self.spec)
        form = thinking_format(context.renderer, TEMPLATE)

        def response(text: str) -> str | None:
            answer = form.read(text)
            return None if answer is None else answer.response

        task = RolloutTask(
            rows=prompt_rows(context.samples, context.renderer, TEMPLATE, load_chat(context.base)),
            samples=context.samples,
            stop=context.renderer.templates[TEMPLATE].stop,
            parts=[full_marks_reward(context, config.reward_batch_tokens, response)],
            well_formed=lambda text: form.read(text) is not None,
        )
        trained = train_on_rollouts(task, config, context)
        counts = training_counts(trained)
        return trained_artifact(
            self.spec, context, template=TEMPLATE, training_tokens=trained.tokens, training_counts=counts
        )
