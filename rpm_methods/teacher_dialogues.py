"""Dialogues that a teacher writes for the training samples' personas and characters, in two steps (Table 22).

First three possible courses of a conversation for each sample, then a dialogue of four rounds for each of them. The
finished ones lie in the run's folder as `teacher_dialogues.jsonl`, in the schema of the recorded ones, so that later
runs can train on them without the teacher.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmark.prompts import Prompt
from benchmark.run_store import write_jsonl
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from benchmark.user_lines import has_half_character
from rpm_methods.teacher import FaultyAnswer, Teacher, TeacherSettings, require_all

DIALOGUES = "teacher_dialogues.jsonl"
ROUNDS = 4
POSSIBILITIES = tuple(f"possibility_{k}" for k in (1, 2, 3))
UTTERANCES = tuple(f"{kind}_{k}" for k in range(1, ROUNDS + 1) for kind in ("user_query", "agent_response"))

_DECODER = json.JSONDecoder(strict=False)


class DialogueTeacherSettings(TeacherSettings):
    """A teacher that writes dialogues."""

    samples: int | None = Field(default=None, ge=1)
    """Size of a seeded draw of the training samples that get three dialogues each; null takes all. The paper adds
    about 3,000 dialogues to 5,000 samples, which is a draw of 1,000."""


def teacher_dialogues(teacher: Teacher, samples: Sequence[Sample]) -> Path:
    """Let the teacher write three dialogues for each sample and return the file that holds them.

    Raises:
        RunFailure: some could not be had (all are listed with the reason; the file holds the others), or the
            endpoint refuses all requests or is down.
    """
    render = teacher.renderer.render
    topics = teacher.ask(
        "teacher's topics",
        {f"{s.sample_id} topics": render("augmentation_topics", s) for s in samples},
        lambda text: read_object(text, POSSIBILITIES),
    )
    prompts: dict[str, Prompt] = {}
    origins: dict[str, tuple[Sample, str]] = {}
    for sample in samples:
        for k, seed in enumerate(topics.given.get(f"{sample.sample_id} topics", {}).values(), start=1):
            name = f"{sample.sample_id}-augmented-{k}"
            prompts[name] = render("augmentation_dialogue", sample, context_seed=seed)
            origins[name] = sample, seed
    dialogues = teacher.ask("teacher's dialogues", prompts, lambda text: read_object(text, UTTERANCES))
    path = teacher.folder / DIALOGUES
    write_jsonl(path, [_row(name, *origins[name], rounds) for name, rounds in dialogues.given.items()])
    note = f"the {len(dialogues.given)} dialogues that came are in {path}, and the same command asks for the rest"
    require_all({**topics.failures, **dialogues.failures}, note)
    return path


def drawn_samples(samples: Sequence[Sample], size: int | None, seed: int) -> list[Sample]:
    """Return `size` of the samples (all for None or if there are no more), in their order."""
    if size is None or size >= len(samples):
        return list(samples)
    chosen = random.Random(derive_seed(seed, "draw", "teacher")).sample(range(len(samples)), size)
    return [samples[index] for index in sorted(chosen)]


def read_object(text: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the texts of the one JSON object in an answer, in the order of `keys`.

    Other text around the object, or a fenced block, does no harm.

    Raises:
        FaultyAnswer: there is not exactly one object with any of the keys, or a key is missing, empty, no text, or
            was not asked for.
    """
    found = [candidate for candidate in _objects(text) if set(keys) & set(candidate)]
    if len(found) != 1:
        raise FaultyAnswer(f"the answer holds {len(found) or 'no'} JSON objects with {keys[0]} and so on")
    row = found[0]
    faults = [f"{key} is missing" for key in keys if key not in row]
    faults += [f"{key} is empty or no text" for key in keys if key in row and not _is_text(row[key])]
    faults += [f"{key} was not asked for" for key in row if key not in keys]
    if faults:
        raise FaultyAnswer("; ".join(faults))
    return {key: row[key].strip() for key in keys}


def _objects(text: str) -> list[dict[str, Any]]:
    """Return the outermost JSON objects in a text."""
    found = []
    start = text.find("{")
    while start >= 0:
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            found.append(value)
        start = text.find("{", end)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not has_half_character(value)


def _row(name: str, sample: Sample, seed: str, rounds: dict[str, str]) -> dict[str, object]:
    """Return a dialogue in the schema of a training row; the last response is the golden one."""
    texts = list(rounds.items())
    return {
        "sample_ID": name,
        "user_persona": sample.user_persona,
        "agent_character": asdict(sample.agent_character),
        "dialogue_context": [{key.rpartition("_")[0]: text} for key, text in texts[:-1]],
        "agent_golden_response": texts[-1][1],
        "context_seed": seed,
        "source_sample_IDs": [sample.sample_id],
    }
