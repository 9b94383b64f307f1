"""The stage in which a policy answers every test sample; a finished batch is never generated again."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.progress import Progress
from benchmark.prompts import PromptRenderer
from benchmark.run_store import append_jsonl, read_appended_jsonl, write_jsonl
from benchmark.sample import Sample
from benchmark.thinking import ThinkingFormat, thinking_format
from recipes.environment import Compute
from recipes.stage import StageReport
from rpm_methods.artifact import read_artifact
from rpm_methods.policy import served_policy
from scoring.models.backend_settings import BackendSettings
from scoring.models.backends import MERGED
from scoring.models.backends_server import UnansweredPrompts, said_of_unanswered
from scoring.models.generation import Generation, Sampling

RESPONSES = "responses.jsonl"
BATCHES = "batches.jsonl"
"""Finished batches, a line each; the file of a finished stage holds their rows in sample order."""


def generate_responses(
    policy_folder: Path,
    samples: Sequence[Sample],
    sampling: Sampling,
    backend: BackendSettings,
    renderer: PromptRenderer,
    compute: Compute,
    progress: Progress,
    folder: Path,
) -> StageReport:
    """Answer all samples by the backend and write `responses.jsonl` in their order.

    Raises:
        RunFailure: some prompts got no answer, or the backend failed; the answers that came stay.
    """
    artifact = read_artifact(policy_folder)
    form = thinking_format(renderer, artifact.template) if artifact.thinking else None
    rows = _finished_rows(folder / BATCHES)
    before = set(rows)
    with progress.task(f"answers of {artifact.method}", len(samples)) as advance:
        advance(len(rows))
        if len(rows) < len(samples):
            with (
                served_policy(
                    artifact, backend, sampling, folder, renderer=renderer, dtype=compute.dtype, device=compute.device
                ) as policy,
                _samples_named(samples),
            ):
                for batch in policy.generate(policy.prompts(samples), sampling, finished=set(rows)):
                    made = {index: _row(samples[index], artifact.method, answer, form) for index, answer in batch}
                    append_jsonl(folder / BATCHES, made)
                    rows |= made
                    advance(len(made))
    shutil.rmtree(folder / MERGED, ignore_errors=True)
    ordered = [rows[index] for index in range(len(samples))]
    write_jsonl(folder / RESPONSES, [{k: v for k, v in row.items() if k != "tokens"} for row in ordered])
    reasons = [row["finish_reason"] for row in ordered]
    thinking = {} if form is None else {"malformed": sum(_malformed(row) for row in ordered)}
    return StageReport(
        tokens=sum(row["tokens"] for index, row in rows.items() if index not in before),
        counts={
            "samples": len(ordered),
            "cut_by_length": reasons.count("length"),
            "prompt_too_long": reasons.count("prompt_too_long"),
            "empty": sum(row["response"] == "" for row in ordered),
            **thinking,
        },
    )


@contextmanager
def _samples_named(samples: Sequence[Sample]) -> Iterator[None]:
    """Name samples in the place of prompts that got no answer."""
    try:
        yield
    except UnansweredPrompts as error:
        problems = {samples[index].sample_id: problem for index, problem in error.problems.items()}
        raise RunFailure(said_of_unanswered(problems)) from error


def _row(sample: Sample, method: str, answer: Generation, form: ThinkingFormat | None) -> dict[str, Any]:
    """Return an answer as a row; of a malformed one with thinking the whole text is the response."""
    thought = None if form is None or answer.text is None else form.read(answer.text)
    return {
        "sample_id": sample.sample_id,
        "method": method,
        "response": answer.text if thought is None else thought.response,
        "reasoning": None if thought is None else thought.reasoning,
        "finish_reason": answer.finish_reason,
        "tokens": answer.prompt_tokens + answer.new_tokens,
    }


def _malformed(row: Mapping[str, Any]) -> bool:
    return row["response"] is not None and row["reasoning"] is None


def _finished_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Return the rows of finished batches by index."""
    return {int(index): row for batch in read_appended_jsonl(path) for index, row in batch.items()}
