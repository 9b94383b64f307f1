"""SFT with persona dropout: training leaves out words of the user personas, so that less hangs on how they are put.

What it is for shows in the columns of user shift, beside a row of plain SFT.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from benchmark import Sample
from benchmark.seeds import derive_seed
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat


class PersonaDropoutSettings(AdapterSettings):
    """What a recipe may say below `config`: this, and `training` and `lora` as for SFT."""

    share: float = Field(default=0.3, ge=0, lt=1)
    """Chance of each word of a persona to be left out."""


class PersonaDropout:
    """Trains a LoRA adapter on the golden responses; the personas in the prompts have gaps."""

    spec = MethodSpec(
        name="persona_dropout", label="SFT, persona dropout", family="sft", order=25,
        starts_from="base", produces_reasoning=False, trains=True,
    )  # fmt: skip
    config_type = PersonaDropoutSettings

    def models_needed(self, config: PersonaDropoutSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: PersonaDropoutSettings, context: TrainContext) -> PolicyArtifact:
        """Train the adapter, going on from the last checkpoint in the folder if there is one."""
        samples = [drop_words(sample, config.share, context.seed) for sample in context.samples]
        rows = training_rows(samples, context.renderer, "response", load_chat(context.base))
        tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template="response", training_tokens=tokens)


def drop_words(sample: Sample, share: float, seed: int) -> Sample:
    """Return the sample with words of its persona left out: those between spaces, the same for every run of a seed."""
    generator = random.Random(derive_seed(seed, "persona_dropout", sample.sample_id))
    kept = [word for word in sample.user_persona.split() if generator.random() >= share]
    return replace(sample, user_persona=" ".join(kept))
