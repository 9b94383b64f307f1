"""Where reasoning to learn from comes from: traces that were recorded, or a teacher that writes them."""

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, ValidationInfo, field_validator

from benchmark.sample import Sample
from rpm_methods.method import MethodConfig, TrainContext
from rpm_methods.processes import by_first
from rpm_methods.teacher import MINI, TeacherSettings, recorded_file, recorded_identity, teacher_of
from rpm_methods.teacher_reasoning import MINI_REASONING, recorded_reasoning, teacher_reasoning


class ReasoningSource(MethodConfig):
    """Settings of everything that learns from a teacher's reasoning."""

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


def collect_traces(source: ReasoningSource, samples: Sequence[Sample], context: TrainContext) -> dict[str, str]:
    """Return sample ID -> the teacher's whole reasoning; what a live teacher wrote is kept and never asked for again.

    Args:
        source: where from.
        samples: those that need a trace.
        context: the teacher's seed, folder and renderer.

    Raises:
        UserMistakes: recorded traces that are missing or faulty, all of them.
        RunFailure: the teacher gave none for some samples, all of which are listed.
    """
    settings = source.teacher
    if settings is None:
        return recorded_reasoning(source.recorded or MINI, samples)
    return by_first(lambda: teacher_reasoning(teacher_of(settings, context, context.seed), samples))
