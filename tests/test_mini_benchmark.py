"""The bundled mini benchmark keeps its promises: sizes, languages, lengths, composition, copying, teacher outputs."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from functools import cache
from importlib.resources import files
from itertools import combinations, pairwise
from typing import Any

import pytest
import yaml

from benchmark import AgentCharacter, Benchmark, Sample, Turn, load_benchmark
from benchmark.loading import BUNDLED
from benchmark.rows import RowReader
from benchmark.statistics import SplitStatistics, is_spaceless, split_statistics, subset_statistics, text_length
from benchmark.subsets import SUBSET_KEYS, SUBSETS, TRAIN_SPLIT

FOLDER = BUNDLED["mini"]
SIZES = {TRAIN_SPLIT: 48, "id": 24} | {key: 12 for key in SUBSET_KEYS if key != "id"}
USER_SHIFTS = [subset.key for subset in SUBSETS if subset.shift == "user"]
CHARACTER_SHIFTS = [subset.key for subset in SUBSETS if subset.shift == "character"]
HISTORICAL = "Historical figure"
QUERIES = {"turn_level": 8}
"""User queries of a dialogue, the last one included; four in every subset that is not named."""

LANGUAGES = {key: key.capitalize() for key in USER_SHIFTS}
CHARACTERS_PER_WORD = {"Chinese": 1.7, "Japanese": 2.0}
PERSONA_WORDS = (25, 50)
CHARACTER_WORDS = (60, 110)
GOLDEN_WORDS = (25, 60)
BULLET_WORDS = (60, 120)

HAN = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"))
KANA = (("\u3040", "\u30ff"),)
HANGUL = (("\u1100", "\u11ff"), ("\u3130", "\u318f"), ("\uac00", "\ud7a3"))
FUNCTION_WORDS = {
    "English": "the and of to is you that it with for my your what at from on are were have how but not they i",
    "German": "der das und ich ist nicht ein eine den dem mit sie mir mein meine von zu auf auch wie wenn aber im",
    "Spanish": "el la los las que de y en un una se con por para lo su mi del al como más pero yo le usted te",
}
"""Frequent words of each language that are none, or rare, in the other two."""

RUN_WORDS = 8
RUN_LETTERS = 16
FEATURES_MARKER = "[Features of the Ideal Response]"
TRACE_PARTS = ["### Part 1", "#### Trial 1", "#### Trial 2", "#### Trial 3", FEATURES_MARKER]
DRAFT = "**Draft:**"
TABLE_HEAD = ["subset", "samples", "personas", "characters", "language", "turns", "mean golden length"]


# ---- the data ----


@cache
def mini() -> Benchmark:
    return load_benchmark("mini")


@cache
def raw_splits() -> dict[str, list[dict[str, Any]]]:
    return json.loads((FOLDER / "benchmark.json").read_text("utf-8"))  # type: ignore[no-any-return]


def json_lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


@cache
def reasoning_rows() -> list[dict[str, Any]]:
    return json_lines("reasoning.jsonl")


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


@cache
def by_id() -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in mini()}


@cache
def groups() -> dict[str, tuple[Sample, ...]]:
    """Return the training samples and the samples of each subset."""
    return {TRAIN_SPLIT: mini().train, **mini().test}


def id_dialogues() -> list[Sample]:
    return [*mini().train, *mini().test["id"]]


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


# ---- measures ----


def language_of(sample: Sample) -> str:
    return LANGUAGES.get(sample.subset, "English")


def words(text: str, language: str = "English") -> float:
    """Return the number of words; in scripts without spaces, as many as the characters make."""
    return text_length(text) / CHARACTERS_PER_WORD.get(language, 1.0)


def character_words(character: AgentCharacter) -> float:
    return sum(words(text) for text in astuple(character))


def outside(lengths: Iterable[tuple[str, float]], bounds: tuple[int, int]) -> list[tuple[str, float]]:
    """Return the named lengths that are not within the bounds."""
    return [(name, round(length, 1)) for name, length in lengths if not bounds[0] <= length <= bounds[1]]


def share(text: str, script: tuple[tuple[str, str], ...]) -> float:
    """Return which part of a text's letters belongs to a script."""
    letters = [char for char in text if char.isalpha()]
    return sum(any(first <= char <= last for first, last in script) for char in letters) / max(len(letters), 1)


def language_by_words(text: str) -> str:
    """Return which of English, German and Spanish has the most function words in a text; "" when that is a tie."""
    counts = Counter(re.findall(r"\w+", text.lower()))
    hits = {name: sum(counts[word] for word in listed.split()) for name, listed in FUNCTION_WORDS.items()}
    best = [name for name, count in hits.items() if count == max(hits.values())]
    return best[0] if len(best) == 1 else ""


def is_in(text: str, language: str) -> bool:
    """Tell whether a text is in a language, by its script or by its function words."""
    if language == "Korean":
        return share(text, HANGUL) >= 0.9
    if language == "Japanese":
        return share(text, KANA) >= 0.3 and share(text, KANA + HAN) >= 0.9
    if language == "Chinese":
        return share(text, HAN) >= 0.9 and share(text, KANA) == 0
    return language_by_words(text) == language


def parts(sample: Sample) -> dict[str, str]:
    """Return the texts that have to be in the subset's language."""
    context = " ".join([*utterances(sample)[:-2], sample.last_query])
    return {"persona": sample.user_persona, "dialogue": context, "golden response": sample.golden_response}


def runs(text: str) -> set[str]:
    """Return all runs of eight words of a text; of sixteen letters where the script has no spaces."""
    if is_spaceless(text):
        letters = re.sub(r"\W", "", text.lower())
        return {letters[start : start + RUN_LETTERS] for start in range(len(letters) - RUN_LETTERS + 1)}
    found = re.findall(r"\w+", text.lower())
    return {" ".join(found[start : start + RUN_WORDS]) for start in range(len(found) - RUN_WORDS + 1)}


def pairs_with_a_common_run(texts: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the pairs of names whose texts share a run, each with one such run."""
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in texts.items():
        for run in sorted(runs(text)):
            holders[run].append(name)
    return {pair: run for run, names in holders.items() for pair in combinations(names, 2)}


def changed_words(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return what is left of both word lists without their common beginning and their common end."""
    one, other = old.split(), new.split()
    shorter = min(len(one), len(other))
    head = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    tail = next((i for i in range(shorter - head) if one[-1 - i] != other[-1 - i]), shorter - head)
    return one[head : len(one) - tail], other[head : len(other) - tail]


def source_order(sample: Sample) -> list[int | None]:
    """Return for each turn of the context the number of the source it is a turn of; None where it is of neither."""
    sources = [whole_turns(source) for source in sources_of(sample)]
    return [next((i for i, turns in enumerate(sources) if turn in turns), None) for turn in sample.turns]


# ---- sizes ----


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


# ---- languages ----


@pytest.mark.parametrize("name", [TRAIN_SPLIT, "id"])
def test_in_distribution_samples_are_english(name: str) -> None:
    assert [s.sample_id for s in groups()[name] if not is_in(" ".join(parts(s).values()), "English")] == []


@pytest.mark.parametrize("name", SIZES)
def test_persona_dialogue_and_golden_response_are_in_the_language_of(name: str) -> None:
    wrong = [
        (sample.sample_id, part)
        for sample in groups()[name]
        for part, text in parts(sample).items()
        if not is_in(text, language_of(sample))
    ]
    assert wrong == []


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


# ---- composed dialogues ----


def test_turn_level_samples_name_two_dialogues_of_their_persona_and_character() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["turn_level"]
        if len(set(sample.source_sample_ids)) != 2
        or len(sample.source_sample_ids) != 2
        or not all(source in id_dialogues() and same_people(source, sample) for source in sources_of(sample))
    ]
    assert wrong == []


def test_turn_level_samples_have_a_source_in_the_id_test() -> None:
    id_test = mini().test["id"]
    turn_level = mini().test["turn_level"]
    assert [s.sample_id for s in turn_level if not any(source in id_test for source in sources_of(s))] == []


def test_turns_of_turn_level_samples_are_turns_of_their_sources() -> None:
    assert [s.sample_id for s in mini().test["turn_level"] if None in source_order(s)] == []


def test_both_sources_give_a_turn_level_sample_two_turns_or_more() -> None:
    orders = {sample.sample_id: source_order(sample) for sample in mini().test["turn_level"]}
    assert [name for name, order in orders.items() if min(order.count(0), order.count(1)) < 2] == []


def test_turn_level_samples_switch_between_their_sources_three_times_or_more() -> None:
    orders = {sample.sample_id: source_order(sample) for sample in mini().test["turn_level"]}
    switches = {name: sum(one != other for one, other in pairwise(order)) for name, order in orders.items()}
    assert [name for name, count in switches.items() if count < 3] == []


def test_no_training_sample_holds_the_end_of_a_turn_level_sample() -> None:
    known = [text for sample in mini().train for text in utterances(sample)]
    found = [
        (sample.sample_id, text)
        for sample in mini().test["turn_level"]
        for text in (sample.last_query, sample.golden_response)
        if any(text in other for other in known)
    ]
    assert found == []


def test_word_level_samples_have_one_source_in_the_id_test_with_the_same_people_and_turns() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["word_level"]
        if len(sample.source_sample_ids) != 1
        or not all(
            source in mini().test["id"] and same_people(source, sample) and source.turns == sample.turns
            for source in sources_of(sample)
        )
    ]
    assert wrong == []


def test_word_level_last_queries_differ_from_their_source_in_one_run_of_three_words_at_most() -> None:
    changes = {
        sample.sample_id: changed_words(source.last_query, sample.last_query)
        for sample in mini().test["word_level"]
        for source in sources_of(sample)
    }
    assert {name: both for name, both in changes.items() if not 1 <= max(map(len, both)) <= 3} == {}


def test_word_level_golden_responses_differ_from_their_source() -> None:
    wrong = [
        sample.sample_id
        for sample in mini().test["word_level"]
        for source in sources_of(sample)
        if sample.golden_response == source.golden_response
    ]
    assert wrong == []


# ---- copying ----


def test_no_two_golden_responses_share_eight_words_in_a_row() -> None:
    goldens = {sample.sample_id: sample.golden_response for sample in [*mini(), *augmented()]}
    word_level = mini().test["word_level"]
    allowed = {frozenset((s.sample_id, source)) for s in word_level for source in s.source_sample_ids}
    common = pairs_with_a_common_run(goldens)
    assert {pair: run for pair, run in common.items() if frozenset(pair) not in allowed} == {}


# ---- recorded reasoning ----


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
