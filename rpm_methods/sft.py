"""Supervised fine-tuning with LoRA on the golden responses (Appendix E.1), by TRL's SFTTrainer."""

from collections.abc import Mapping

from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response"


class SFTSettings(AdapterSettings):
    """Settings of supervised fine-tuning."""


class SupervisedFineTuning:
    """Trains a LoRA adapter on the base model; the loss is on the response alone."""

    spec = MethodSpec(
        name="sft",
        label="SFT",
        family="sft",
        order=20,
        starts_from="base",
        produces_reasoning=False,
        trains=True,
    )
    config_type = SFTSettings

    def models_needed(self, config: SFTSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: SFTSettings, context: TrainContext) -> PolicyArtifact:
        """Train the adapter, going on from the last checkpoint in the folder if there is one."""
        rows = training_rows(context.samples, context.renderer, TEMPLATE, load_chat(context.base))
        tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)
