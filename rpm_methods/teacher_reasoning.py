"""Reasoning traces for training samples, recorded or written by a teacher that sees the golden response (Table 15)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.run_store import write_jsonl
from benchmark.sample import Sample
from benchmark.user_lines import read_user_lines
from rpm_methods.teacher import FaultyAnswer, Teacher, recorded_file, require_all
from scoring.text_rewards import ReasoningFormat, features_part, reasoning_format

TEMPLATE = "reasoning_with_reference"
REASONING = "teacher_reasoning.jsonl"
MINI_REASONING = "reasoning.jsonl"
FIELDS = ("sample_ID", "reasoning")


def recorded_reasoning(source: str, samples: Sequence[Sample]) -> dict[str, str]:
    """Return sample ID -> trace for all the samples, from a file with `sample_ID` and `reasoning` a line.

    Args:
        source: "mini" for the traces of the mini benchmark, else a JSON-lines file.
        samples: those that need a trace; lines of other samples are passed over.

    Raises:
        UserMistakes: there is no such file; else all faulty lines, second traces and samples without one.
    """
    try:
        path = recorded_file(source, MINI_REASONING)
    except ValueError as error:
        raise UserMistakes([Mistake("reasoning", str(error))]) from error
    mistakes: list[Mistake] = []
    traces: dict[str, str] = {}
    for number, row in read_user_lines(path, mistakes):
        where = f"{path}:{number}"
        faults = [
            Mistake(f"{where}: {key}", "is missing, empty or no text") for key in FIELDS if not _is_text(row, key)
        ]
        mistakes += faults
        if not faults and row["sample_ID"] in traces:
            mistakes.append(Mistake(where, f"a second trace for {row['sample_ID']}", "keep one"))
        elif not faults:
            traces[row["sample_ID"]] = row["reasoning"].strip()
    mistakes += [_absent(path, sample) for sample in samples if sample.sample_id not in traces]
    if mistakes:
        raise UserMistakes(mistakes)
    return {sample.sample_id: traces[sample.sample_id] for sample in samples}


def _is_text(row: Mapping[str, object], key: str) -> bool:
    value = row.get(key)
    return isinstance(value, str) and bool(value.strip())


def _absent(path: Path, sample: Sample) -> Mistake:
    remedy = "add one, or train on fewer samples"
    return Mistake(str(path), f"holds no trace for the training sample {sample.sample_id}", remedy)


def teacher_reasoning(teacher: Teacher, samples: Sequence[Sample]) -> dict[str, str]:
    """Let the teacher write a trace for each sample and return sample ID -> trace.

    They also lie in the teacher's folder as `teacher_reasoning.jsonl`, which `recorded_reasoning` reads. The heading
    that opens an answer in the template is taken off where the teacher repeats it.

    Raises:
        RunFailure: some could not be had (all are listed with the reason; the file holds the others), or the
            endpoint refuses all requests or is down.
    """
    form = reasoning_format(teacher.renderer)
    opening = teacher.renderer.templates[TEMPLATE].answer_prefix.strip()
    prompts = {sample.sample_id: teacher.renderer.render(TEMPLATE, sample) for sample in samples}
    answers = teacher.ask("teacher's reasoning", prompts, lambda text: _read_trace(text, form, opening))
    path = teacher.folder / REASONING
    write_jsonl(path, [dict(zip(FIELDS, item, strict=True)) for item in answers.given.items()])
    note = f"the {len(answers.given)} traces that came are in {path}, and the same command asks for the rest"
    require_all(answers.failures, note)
    return answers.given


def _read_trace(text: str, form: ReasoningFormat, opening: str) -> str:
    if not features_part(text, form):
        raise FaultyAnswer(f"the answer has no closed fenced block with features behind {form.marker}")
    return text.removeprefix(f"{opening}\n").strip()


def features(trace: str, renderer: PromptRenderer) -> str | None:
    """Return the features part of a trace; None where it has none or an empty one."""
    return features_part(trace, reasoning_format(renderer)) or None


def all_features(traces: Mapping[str, str], renderer: PromptRenderer) -> dict[str, str]:
    """Return sample ID -> features part of each trace.

    Raises:
        UserMistakes: all traces without one.
    """
    parts = {sample_id: features(trace, renderer) for sample_id, trace in traces.items()}
    marker = reasoning_format(renderer).marker
    problem = f"the reasoning has no closed fenced block with features behind {marker}"
    lacking = [Mistake(f"training sample {sample_id}", problem) for sample_id, part in parts.items() if part is None]
    if lacking:
        raise UserMistakes(lacking)
    return {sample_id: part for sample_id, part in parts.items() if part is not None}
