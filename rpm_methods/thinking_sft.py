"""ThinkingSFT (Appendix E.1): supervised fine-tuning on a teacher's thinking followed by the golden response."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, ValidationInfo, field_validator

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from benchmark.thinking import thinking_format
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.sft_training import train_on_rows
from rpm_methods.teacher import MINI, TeacherSettings, recorded_file, recorded_identity, teacher_of
from rpm_methods.teacher_reasoning import MINI_REASONING, all_features, recorded_reasoning, teacher_reasoning
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response_thinking"


class ThinkingSFTSettings(AdapterSettings):
    """Settings of supervised fine-tuning with thinking: traces that are there, or a teacher that writes them."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a key given by mistake

    reasoning: str | None = None
    """Recorded traces: "mini" for those of the mini benchmark, or a JSON-lines file with `sample_ID` and `reasoning`.
    Null, or left out, with a `teacher`; without one it is "mini"."""
    teacher: TeacherSettings | None = None
    """A model that writes the traces, knowing the golden responses."""

    @field_validator("reasoning")
    @classmethod
    def _is_there(cls, value: str | None) -> str | None:
        if value is not None:
            recorded_file(value, MINI_REASONING)
        return value

    @field_validator("teacher")
    @classmethod
    def _one_source(cls, value: TeacherSettings | None, info: ValidationInfo) -> TeacherSettings | None:
        if value is not None and info.data.get("reasoning") is not None:
            raise ValueError("teacher and reasoning are both given; with a teacher, set reasoning to null")
        return value

    @property
    def recorded(self) -> str | None:
        """The source of recorded traces; None with a teacher."""
        return None if self.teacher is not None else self.reasoning or MINI

    def identity(self) -> dict[str, Any]:
        """Return the settings with the recorded traces by content and the teacher by what its answers depend on."""
        teacher = None if self.teacher is None else self.teacher.identity()
        recorded = recorded_identity(self.recorded, MINI_REASONING)
        return {**super().identity(), "reasoning": recorded, "teacher": teacher}

    def faults(self, samples: Sequence[Sample], renderer: PromptRenderer) -> list[Mistake]:
        """Return what is wrong with the recorded traces for these samples."""
        try:
            if self.recorded is not None:
                thinking_answers(recorded_reasoning(self.recorded, samples), samples, renderer)
        except UserMistakes as error:
            return list(error.mistakes)
        return []


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
        answers = thinking_answers(_traces(config, context), context.samples, context.renderer)
        rows = training_rows(context.samples, context.renderer, TEMPLATE, load_chat(context.base), answers=answers)
        tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)


def thinking_answers(traces: Mapping[str, str], samples: Sequence[Sample], renderer: PromptRenderer) -> list[str]:
    """Return what the policy learns to write for each sample: the features of the ideal response, then the golden one.

    Raises:
        UserMistakes: all traces without features, and all answers that would themselves be malformed, since a tag
            stands in the features or in the golden response.
    """
    form, stop = thinking_format(renderer, TEMPLATE), renderer.templates[TEMPLATE].stop
    thinking = all_features(traces, renderer)
    answers = {s.sample_id: form.write(thinking[s.sample_id], s.golden_response) for s in samples}
    broken = [name for name, text in answers.items() if stop in text or form.read(text) is None]
    if broken:
        problem = "a tag of the answer's form stands in its features or golden response"
        raise UserMistakes([Mistake(f"training sample {name}", problem, "take it out") for name in broken])
    return list(answers.values())


def _traces(config: ThinkingSFTSettings, context: TrainContext) -> dict[str, str]:
    """Return sample ID -> the teacher's whole reasoning, of which the features part is what the policy learns."""
    if config.teacher is None:
        return recorded_reasoning(config.recorded or MINI, context.samples)
    return teacher_reasoning(teacher_of(config.teacher, context, context.seed), context.samples)
