"""What the tests of the mini benchmark share: its data, dialogues taken apart, texts measured."""

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from benchmark import Benchmark, Sample, Turn, load_benchmark
from benchmark.loading import BUNDLED
from benchmark.rows import RowReader
from benchmark.statistics import is_spaceless, text_length
from benchmark.subsets import SUBSET_KEYS, SUBSETS, TRAIN_SPLIT

FOLDER = BUNDLED["mini"]
SIZES = {TRAIN_SPLIT: 48, "id": 24} | {key: 12 for key in SUBSET_KEYS if key != "id"}
USER_SHIFTS = [subset.key for subset in SUBSETS if subset.shift == "user"]
LANGUAGES = {key: key.capitalize() for key in USER_SHIFTS}
CHARACTERS_PER_WORD = {"Chinese": 1.7, "Japanese": 2.0}
GOLDEN_WORDS = (25, 60)
RUN_WORDS = 8
RUN_LETTERS = 16


# ---- the data ----


@cache
def mini() -> Benchmark:
    return load_benchmark("mini")


@cache
def groups() -> dict[str, tuple[Sample, ...]]:
    """Return the training samples and the samples of each subset."""
    return {TRAIN_SPLIT: mini().train, **mini().test}


@cache
def by_id() -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in mini()}


def json_lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


@cache
def augmented_rows() -> list[dict[str, Any]]:
    return json_lines("augmented.jsonl")


@cache
def augmented_readers() -> list[RowReader]:
    return [RowReader(row, TRAIN_SPLIT, f"augmented[{index}]") for index, row in enumerate(augmented_rows())]


@cache
def augmented() -> list[Sample]:
    """Return the augmented dialogues that can be read."""
    return [sample for reader in augmented_readers() if (sample := reader.sample()) is not None]


# ---- dialogues ----


def sources_of(sample: Sample) -> list[Sample]:
    return [by_id()[sample_id] for sample_id in sample.source_sample_ids]


def same_people(one: Sample, other: Sample) -> bool:
    return (one.user_persona, one.agent_character) == (other.user_persona, other.agent_character)


def whole_turns(sample: Sample) -> tuple[Turn, ...]:
    """Return the turns with the last query and its golden response as one more."""
    return (*sample.turns, Turn(sample.last_query, sample.golden_response))


def queries(sample: Sample) -> list[str]:
    return [turn.user_query for turn in whole_turns(sample)]


def utterances(sample: Sample) -> list[str]:
    return [text for turn in whole_turns(sample) for text in (turn.user_query, turn.agent_response)]


def language_of(sample: Sample) -> str:
    return LANGUAGES.get(sample.subset, "English")


# ---- measures ----


def words(text: str, language: str = "English") -> float:
    """Return the number of words; in scripts without spaces, as many as the characters make."""
    return text_length(text) / CHARACTERS_PER_WORD.get(language, 1.0)


def outside(lengths: Iterable[tuple[str, float]], bounds: tuple[int, int]) -> list[tuple[str, float]]:
    """Return the named lengths that are not within the bounds."""
    return [(name, round(length, 1)) for name, length in lengths if not bounds[0] <= length <= bounds[1]]


def runs(text: str) -> set[str]:
    """Return all runs of eight words of a text; of sixteen letters where the script has no spaces."""
    if is_spaceless(text):
        letters = re.sub(r"\W", "", text.lower())
        return {letters[start : start + RUN_LETTERS] for start in range(len(letters) - RUN_LETTERS + 1)}
    found = re.findall(r"\w+", text.lower())
    return {" ".join(found[start : start + RUN_WORDS]) for start in range(len(found) - RUN_WORDS + 1)}
