"""Supervised fine-tuning with LoRA on the golden responses (Appendix E.1), by TRL's SFTTrainer."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from rpm_methods.artifact import PolicyArtifact
from rpm_methods.method import MethodConfig, MethodSpec, TrainContext
from rpm_methods.sft_training import check_lora_arguments, check_trl_arguments, train_adapter
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response"
ADAPTER = "adapter"


class SFTSettings(MethodConfig):
    """Settings of supervised fine-tuning."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Arguments of trl.SFTConfig under their own names."""
    lora: dict[str, Any] = Field(default_factory=dict)
    """Arguments of peft.LoraConfig under their own names."""

    @field_validator("training")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_trl_arguments(value)

    @field_validator("lora")
    @classmethod
    def _known_to_peft(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_lora_arguments(value)


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
        tokens = train_adapter(rows, config.training, config.lora, context, context.folder / ADAPTER)
        return PolicyArtifact(
            folder=context.folder,
            method=self.spec.name,
            base_model=context.base.name,
            base_fingerprint=context.base.fingerprint,
            template=TEMPLATE,
            sampling=context.sampling,
            seed=context.seed,
            adapters=(ADAPTER,),
            training_tokens=tokens,
        ).write()
