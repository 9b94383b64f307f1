"""The mini benchmark as a whole: sizes, IDs, personas, characters, lengths, no copied golden response, data card."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import astuple
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from mini_helpers import (
    CHARACTERS_PER_WORD,
    FOLDER,
    GOLDEN_WORDS,
    LANGUAGES,
    SIZES,
    USER_SHIFTS,
    augmented,
    groups,
    language_of,
    mini,
    outside,
    queries,
    runs,
    words,
)

from benchmark import AgentCharacter
from benchmark.statistics import SplitStatistics, split_statistics, subset_statistics
from benchmark.subsets import SUBSETS

CHARACTER_SHIFTS = [subset.key for subset in SUBSETS if subset.shift == "character"]
HISTORICAL = "Historical figure"
QUERIES = {"turn_level": 8}
"""User queries of a dialogue, the last one included; four in every subset that is not named."""
PERSONA_WORDS = (25, 50)
CHARACTER_WORDS = (60, 110)
TABLE_HEAD = ["subset", "samples", "personas", "characters", "language", "turns", "mean golden length"]


# ---- sizes and IDs ----


@cache
def raw_splits() -> dict[str, list[dict[str, Any]]]:
    return json.loads((FOLDER / "benchmark.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_every_subset_is_there_in_its_promised_size() -> None:
    assert {name: len(samples) for name, samples in groups().items()} == SIZES


def test_there_are_204_samples_one_for_each_raw_row() -> None:
    assert sum(len(rows) for rows in raw_splits().values()) == 204
    assert len(list(mini())) == 204


def test_raw_rows_have_exactly_the_fields_that_their_split_needs() -> None:
    common = {"sample_ID", "user_persona", "agent_character", "dialogue_context", "agent_golden_response"}
    tagged = common | {"subset_tag"}
    fields = {"IDTrain": common, "IDTest": common, "OOD1Test": tagged, "OOD2Test": tagged}
    fields["OOD3Test"] = tagged | {"source_sample_IDs"}
    wrong = [row["sample_ID"] for split, rows in raw_splits().items() for row in rows if set(row) != fields[split]]
    assert wrong == []


def test_sample_ids_are_unique() -> None:
    counts = Counter(row["sample_ID"] for rows in raw_splits().values() for row in rows)
    assert [sample_id for sample_id, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("key", USER_SHIFTS)
def test_each_user_shift_subset_has_twelve_different_personas(key: str) -> None:
    assert len({sample.user_persona for sample in mini().test[key]}) == 12


@pytest.mark.parametrize("name", SIZES)
def test_there_are_at_least_eight_characters_in(name: str) -> None:
    assert len({sample.agent_character.character_name for sample in groups()[name]}) >= 8


def test_there_are_at_least_thirty_english_personas() -> None:
    assert len({sample.user_persona for sample in mini() if language_of(sample) == "English"}) >= 30


@pytest.mark.parametrize("name", SIZES)
def test_dialogues_have_four_user_queries_or_eight_when_composed_of_turns(name: str) -> None:
    expected = QUERIES.get(name, 4)
    assert [sample.sample_id for sample in groups()[name] if len(queries(sample)) != expected] == []


# ---- characters ----


@pytest.mark.parametrize("name", [name for name in SIZES if name not in CHARACTER_SHIFTS])
def test_all_characters_are_historical_figures_in(name: str) -> None:
    assert [s.sample_id for s in groups()[name] if s.agent_character.character_source != HISTORICAL] == []


@pytest.mark.parametrize("key", CHARACTER_SHIFTS)
def test_no_character_is_a_historical_figure_in(key: str) -> None:
    assert [s.sample_id for s in mini().test[key] if s.agent_character.character_source == HISTORICAL] == []


@pytest.mark.parametrize("key", CHARACTER_SHIFTS)
def test_fictional_characters_appear_only_in_their_own_subset(key: str) -> None:
    own = {sample.agent_character.character_name for sample in mini().test[key]}
    elsewhere = {s.agent_character.character_name for name in SIZES if name != key for s in groups()[name]}
    assert own & elsewhere == set()


# ---- lengths ----


def character_words(character: AgentCharacter) -> float:
    return sum(words(text) for text in astuple(character))


def test_personas_have_25_to_50_words() -> None:
    lengths = [(sample.sample_id, words(sample.user_persona, language_of(sample))) for sample in mini()]
    assert outside(lengths, PERSONA_WORDS) == []


def test_characters_have_60_to_110_words_over_their_six_fields() -> None:
    characters = dict.fromkeys(sample.agent_character for sample in mini())
    lengths = [(character.character_name, character_words(character)) for character in characters]
    assert outside(lengths, CHARACTER_WORDS) == []


def test_golden_responses_have_25_to_60_words() -> None:
    lengths = [(sample.sample_id, words(sample.golden_response, language_of(sample))) for sample in mini()]
    assert outside(lengths, GOLDEN_WORDS) == []


# ---- copying ----


def pairs_with_a_common_run(texts: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the pairs of names whose texts share a run, each with one such run."""
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in texts.items():
        for run in sorted(runs(text)):
            holders[run].append(name)
    return {pair: run for run, names in holders.items() for pair in combinations(names, 2)}


def test_no_two_golden_responses_share_eight_words_in_a_row() -> None:
    goldens = {sample.sample_id: sample.golden_response for sample in [*mini(), *augmented()]}
    word_level = mini().test["word_level"]
    allowed = {frozenset((s.sample_id, source)) for s in word_level for source in s.source_sample_ids}
    common = pairs_with_a_common_run(goldens)
    assert {pair: run for pair, run in common.items() if frozenset(pair) not in allowed} == {}


# ---- the data card ----


def table_rows() -> list[list[str]]:
    """Return the cells of the README's table, without the line under its head."""
    lines = [line for line in readme().splitlines() if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def readme() -> str:
    return (FOLDER / "README.md").read_text("utf-8")


def expected_row(row: SplitStatistics) -> list[str]:
    language = LANGUAGES.get(row.name, "English")
    unit = "characters" if language in CHARACTERS_PER_WORD else "words"
    counts = [str(row.samples), str(row.user_personas), str(row.agent_characters)]
    return [row.name, *counts, language, f"{row.turns:g}", f"{row.response_words:.1f} {unit}"]


def test_readme_table_agrees_with_the_data() -> None:
    rows = [*split_statistics(mini())[:1], *subset_statistics(mini())]
    assert table_rows() == [TABLE_HEAD, *map(expected_row, rows)]


def test_readme_totals_agree_with_the_data() -> None:
    personas = len({sample.user_persona for sample in mini()})
    characters = len({sample.agent_character for sample in mini()})
    assert f"{len(list(mini()))} samples with {personas} personas and {characters} characters" in readme()
