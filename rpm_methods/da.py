"""Data augmentation (Appendix E.1): supervised fine-tuning on the golden dialogues and on a teacher's new ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.rows import RowReader
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from benchmark.subsets import TRAIN_SPLIT
from benchmark.user_lines import read_user_lines
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.lineage import trained_artifact
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.processes import by_first
from rpm_methods.sft_training import train_on_rows
from rpm_methods.teacher import recorded_file, recorded_identity, teacher_of
from rpm_methods.teacher_dialogues import DialogueTeacherSettings, drawn_samples, teacher_dialogues
from rpm_methods.training_rows import training_rows
from scoring.models.causal_lm import load_chat

TEMPLATE = "response"
MINI_DIALOGUES = "augmented.jsonl"


class DASettings(AdapterSettings):
    """Settings of data augmentation: dialogues that are there, or a teacher that writes them."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a key given by mistake

    dialogues: str | None = "mini"
    """What a teacher wrote: "mini" for the recorded dialogues of the mini benchmark, or a JSON-lines file of samples
    in the benchmark's schema with `source_sample_IDs`. Null, or left out, with a `teacher`."""
    teacher: DialogueTeacherSettings | None = Field(default=None, validate_default=True)
    """The model that writes the dialogues now; null for those of `dialogues`."""

    @model_validator(mode="before")
    @classmethod
    def _teacher_alone(cls, data: Any) -> Any:  # noqa: ANN401 - whatever is to be validated
        has_teacher = isinstance(data, dict) and data.get("teacher") is not None
        return {"dialogues": None, **data} if has_teacher else data

    @field_validator("dialogues")
    @classmethod
    def _is_there(cls, value: str | None) -> str | None:
        if value is not None:
            recorded_file(value, MINI_DIALOGUES)
        return value

    @field_validator("teacher")
    @classmethod
    def _one_source(cls, value: DialogueTeacherSettings | None, info: ValidationInfo) -> DialogueTeacherSettings | None:
        given = info.data.get("dialogues", "faulty") is not None
        if value is not None and given:
            raise ValueError("teacher and dialogues are both given; with a teacher, set dialogues to null")
        if value is None and not given:
            raise ValueError("neither teacher nor dialogues is given; name a file or 'mini' as dialogues, or a teacher")
        return value

    def identity(self) -> dict[str, Any]:
        """Return the settings with the recorded dialogues by content and the teacher by what its answers depend on."""
        teacher = None if self.teacher is None else self.teacher.identity()
        recorded = recorded_identity(self.dialogues, MINI_DIALOGUES)
        return {**super().identity(), "dialogues": recorded, "teacher": teacher}

    def faults(self, samples: Sequence[Sample], renderer: PromptRenderer) -> list[Mistake]:
        """Return what is wrong with the recorded dialogues for these samples."""
        try:
            if self.dialogues is not None:
                augmented_samples(self.dialogues, samples)
        except UserMistakes as error:
            return list(error.mistakes)
        return []


class DataAugmentation:
    """Trains a LoRA adapter on the training samples mixed with dialogues made from them."""

    spec = MethodSpec(
        name="da",
        label="DA",
        family="sft",
        order=30,
        starts_from="base",
        produces_reasoning=False,
        trains=True,
    )
    config_type = DASettings

    def models_needed(self, config: DASettings) -> Mapping[str, str]:
        """Return no model beside the base."""
        return {}

    def train(self, config: DASettings, context: TrainContext) -> PolicyArtifact:
        """Train on the golden responses of the training samples and of the dialogues made from them.

        Raises:
            UserMistakes: the teacher's file is faulty, or holds no dialogue made from a training sample.
            RunFailure: the teacher's endpoint refused or failed; what it gave is kept, and training has not begun.
        """
        with context.progress.task("data and training", 2, alike=False) as passed:
            made = augmented_samples(by_first(lambda: _source(config, context)), context.samples)
            passed()
            rows = training_rows([*context.samples, *made], context.renderer, TEMPLATE, load_chat(context.base))
            tokens = train_on_rows(rows, config, context)
        return trained_artifact(self.spec, context, template=TEMPLATE, training_tokens=tokens)


def _source(config: DASettings, context: TrainContext) -> str:
    """Return where the dialogues are, after the teacher has written them if there is one."""
    settings = config.teacher
    if settings is None:
        return str(config.dialogues)
    seed = derive_seed(context.seed, "da")
    teacher = teacher_of(settings, context, seed)
    return str(teacher_dialogues(teacher, drawn_samples(context.samples, settings.samples, seed)))


def augmented_samples(source: str, samples: Sequence[Sample]) -> list[Sample]:
    """Return the teacher's dialogues that were made from some of the samples, in the order of the file.

    Raises:
        UserMistakes: all faulty lines, or there is no such dialogue.
    """
    try:
        path = recorded_file(source, MINI_DIALOGUES)
    except ValueError as error:
        raise UserMistakes([Mistake("config.dialogues", str(error))]) from error
    known = {sample.sample_id for sample in samples}
    made: list[Sample] = []
    mistakes: list[Mistake] = []
    for number, row in read_user_lines(path, mistakes):
        reader = RowReader(row, TRAIN_SPLIT, f"{path}:{number}")
        sample = reader.sample()
        mistakes += reader.faults
        if sample is not None and known.intersection(sample.source_sample_ids):
            made.append(sample)
    if not made and not mistakes:
        problem = "holds no dialogue made from one of the training samples"
        mistakes.append(Mistake(str(path), problem, "let the teacher write some, or train on the samples it was given"))
    if mistakes:
        raise UserMistakes(mistakes)
    return made
