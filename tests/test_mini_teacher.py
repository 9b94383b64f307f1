"""The mini benchmark's recorded teacher outputs: traces in the asked format, augmented rows like their sources."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from mini_helpers import (
    GOLDEN_WORDS,
    augmented,
    augmented_readers,
    augmented_rows,
    by_id,
    json_lines,
    mini,
    outside,
    queries,
    runs,
    same_people,
    sources_of,
    words,
)

BULLET_WORDS = (60, 120)
FEATURES_MARKER = "[Features of the Ideal Response]"
TRACE_PARTS = ["### Part 1", "#### Trial 1", "#### Trial 2", "#### Trial 3", FEATURES_MARKER]
DRAFT = "**Draft:**"


# ---- recorded reasoning ----


@cache
def reasoning_rows() -> list[dict[str, Any]]:
    return json_lines("reasoning.jsonl")


def trace_parts(row: Mapping[str, Any]) -> list[str]:
    """Return the parts that a trace has, in its own order."""
    lines = str(row["reasoning"]).splitlines()
    return [part for line in lines for part in TRACE_PARTS if line.startswith(part)]


def features(row: Mapping[str, Any]) -> list[str]:
    """Return the lines after the marker."""
    return str(row["reasoning"]).partition(FEATURES_MARKER)[2].splitlines()


def drafts(row: Mapping[str, Any]) -> list[str]:
    lines = str(row["reasoning"]).splitlines()
    return [line.removeprefix(DRAFT).strip() for line in lines if line.startswith(DRAFT)]


def feature_headings() -> list[str]:
    """Return the headings of the format that the project asks for."""
    template = files("benchmark").joinpath("templates/features_format.yaml").read_text("utf-8")
    return str(yaml.safe_load(template)["fragment"]).splitlines()


def test_there_is_one_trace_per_training_sample_in_order() -> None:
    assert [row["sample_ID"] for row in reasoning_rows()] == [sample.sample_id for sample in mini().train]


def test_traces_have_part_one_three_trials_and_the_marker_once_each_in_order() -> None:
    found = {row["sample_ID"]: trace_parts(row) for row in reasoning_rows()}
    assert {name: starts for name, starts in found.items() if starts != TRACE_PARTS} == {}


def test_features_have_the_eight_headings_of_the_format_in_order() -> None:
    expected = feature_headings()
    found = {row["sample_ID"]: [line for line in features(row) if line.startswith("#")] for row in reasoning_rows()}
    assert len(expected) == 8
    assert {name: headings for name, headings in found.items() if headings != expected} == {}


def test_features_have_60_to_120_words_of_bullets() -> None:
    lengths = [
        (row["sample_ID"], sum(words(line[2:]) for line in features(row) if line.startswith("- ")))
        for row in reasoning_rows()
    ]
    assert outside(lengths, BULLET_WORDS) == []


def test_each_trial_has_a_draft() -> None:
    assert [row["sample_ID"] for row in reasoning_rows() if len(list(filter(None, drafts(row)))) != 3] == []


def test_no_draft_shares_eight_words_in_a_row_with_the_golden_response() -> None:
    copied = [
        (row["sample_ID"], run)
        for row in reasoning_rows()
        for draft in drafts(row)
        for run in runs(draft) & runs(by_id()[row["sample_ID"]].golden_response)
    ]
    assert copied == []


# ---- recorded augmentation ----


def test_augmented_rows_are_24_training_rows_without_faults() -> None:
    assert len(augmented_rows()) == 24
    assert [str(fault) for reader in augmented_readers() if reader.sample() is None for fault in reader.faults] == []


def test_augmented_ids_are_unique_and_none_is_in_the_benchmark() -> None:
    ids = Counter([sample.sample_id for sample in augmented()] + list(by_id()))
    assert [sample_id for sample_id, count in ids.items() if count > 1] == []


def test_augmented_rows_name_one_training_source_of_equal_persona_and_character() -> None:
    wrong = [
        sample.sample_id
        for sample in augmented()
        if len(sample.source_sample_ids) != 1
        or not all(source in mini().train and same_people(source, sample) for source in sources_of(sample))
    ]
    assert wrong == []


def test_eight_training_samples_have_three_augmented_rows_each() -> None:
    counts = Counter(source for sample in augmented() for source in sample.source_sample_ids)
    assert sorted(counts.values()) == [3] * 8


def test_augmented_rows_have_a_context_seed() -> None:
    assert [row["sample_ID"] for row in augmented_rows() if not str(row.get("context_seed") or "").strip()] == []


def test_augmented_dialogues_have_four_user_queries() -> None:
    assert [sample.sample_id for sample in augmented() if len(queries(sample)) != 4] == []


def test_augmented_golden_responses_have_25_to_60_words() -> None:
    assert outside([(s.sample_id, words(s.golden_response)) for s in augmented()], GOLDEN_WORDS) == []


def test_last_queries_of_augmented_rows_are_in_no_other_sample() -> None:
    counts = Counter(query for sample in [*mini(), *augmented()] for query in queries(sample))
    assert [sample.sample_id for sample in augmented() if counts[sample.last_query] != 1] == []
