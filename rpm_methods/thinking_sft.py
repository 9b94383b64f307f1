"""ThinkingSFT (Appendix E.1): supervised fine-tuning on a teacher's thinking followed by the golden response."""

from collections.abc import Mapping

from pydantic import model_validator

from benchmark.thinking import thinking_format
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.sft_training import train_on_rows
from rpm_methods.teacher import MINI, Teacher, TeacherSettings
from rpm_methods.teacher_reasoning import all_features, recorded_reasoning, teacher_reasoning
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response_thinking"


class ThinkingSFTSettings(AdapterSettings):
    """Settings of supervised fine-tuning with thinking."""

    reasoning: str | None = None
    """Recorded traces: "mini" for those of the mini benchmark, or a JSON-lines file with `sample_ID` and `reasoning`.
    Without it, and without a teacher, "mini"."""
    teacher: TeacherSettings | None = None
    """A model that writes the traces, knowing the golden responses."""

    @model_validator(mode="after")
    def _one_source(self) -> "ThinkingSFTSettings":
        if self.reasoning is not None and self.teacher is not None:
            raise ValueError("the thinking comes from `reasoning` or from `teacher`, not from both; leave one out")
        return self


class ThinkingSupervisedFineTuning:
    """Trains a LoRA adapter on the base model to write the features of the ideal response, then the response."""

    spec = MethodSpec(
        name="thinking_sft",
        label="ThinkingSFT",
        family="thinking",
        order=70,
        starts_from="base",
        produces_reasoning=True,
        trains=True,
    )
    config_type = ThinkingSFTSettings

    def models_needed(self, config: ThinkingSFTSettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: ThinkingSFTSettings, context: TrainContext) -> PolicyArtifact:
        """Collect the thinking, then train; both go on from what an interrupted run left.

        Raises:
            UserMistakes: traces that are missing or faulty, all of them.
            RunFailure: the teacher gave none for some samples, all of which are listed.
        """
        form = thinking_format(context.renderer, TEMPLATE)
        thinking = all_features(_traces(config, context), context.renderer)
        answers = [form.write(thinking[sample.sample_id], sample.golden_response) for sample in context.samples]
        rows = training_rows(context.samples, context.renderer, TEMPLATE, load_chat(context.base), answers=answers)
        tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)


def _traces(config: ThinkingSFTSettings, context: TrainContext) -> dict[str, str]:
    """Return sample ID -> the teacher's whole reasoning, of which the features part is what the policy learns."""
    if config.teacher is None:
        return recorded_reasoning(config.reasoning or MINI, context.samples)
    teacher = Teacher(config.teacher, context.renderer, context.folder, context.seed, context.progress)
    return teacher_reasoning(teacher, context.samples)
