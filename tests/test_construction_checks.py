"""What a sample has to meet: measures worked out by hand, languages, repetition, leakage, composed dialogues."""

from dataclasses import replace

import pytest
from conftest import make_sample

from benchmark.construction.audit import audit
from benchmark.construction.checks import Checks
from benchmark.construction.composed_checks import (
    changed_words,
    fault_of_composition,
    fault_of_mixture,
    fault_of_query,
    fault_of_response,
    returning,
)
from benchmark.construction.languages import LanguageCheck, identifier, language_of
from benchmark.construction.leakage import Leakage
from benchmark.construction.settings import CheckSettings
from benchmark.construction.splits import draw_test, turn_level_sources
from benchmark.construction.text_measures import SeenTexts, edit_distance, runs, share_changed, words
from benchmark.sample import Sample, Turn

SETTINGS = CheckSettings()
NO_LANGUAGES = LanguageCheck(None)
SAID = "I walked the whole way home beside the river last night"


def dialogue(name: str, *texts: str, people: str = "", **changes: object) -> Sample:
    """Return a dialogue of these utterances, in-distribution and for test unless told otherwise."""
    turns = tuple(Turn(*texts[place : place + 2]) for place in range(0, len(texts) - 2, 2))
    values = {"split": "IDTest", "subset": "id", "user_persona": f"I am {people or name}."}
    sample = make_sample(name, turns=turns, last_query=texts[-2], golden_response=texts[-1])
    return replace(sample, **{**values, **changes})  # type: ignore[arg-type]


def numbered(name: str, rounds: int = 4, **changes: object) -> Sample:
    """Return a dialogue in which nothing is said twice, nor in any of another name."""
    texts = [f"{kind} {name} {number}" for number in range(rounds) for kind in ("query", "response")]
    return dialogue(name, *texts, **changes)  # type: ignore[arg-type]


# ---- measures ----


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "b c", 1),
        ("a b c", "a x y c", 2),
        ("", "a b", 2),
        ("a b c d", "d c b a", 4),
        ("k i t t e n", "s i t t i n g", 3),
    ],
)
def test_edit_distance_over_words(one: str, other: str, distance: int) -> None:
    assert edit_distance(one.split(), other.split()) == distance == edit_distance(other.split(), one.split())


def test_words_are_without_case_and_punctuation_and_characters_where_there_are_no_spaces() -> None:
    assert words("Well, WELL: it’s me!") == ["well", "well", "it", "s", "me"]
    assert words("你好，世界。") == ["你", "好", "世", "界"]
    assert share_changed("a b c d", "a x c") == 0.5
    assert share_changed("A b!", "a, B") == 0.0


def test_runs_of_five_words_and_the_nearest_text() -> None:
    assert runs("a b c d e f") == {tuple("abcde"), tuple("bcdef")}
    assert runs("a b") == {("a", "b")}
    seen = SeenTexts()
    seen.add("first", "a b c d e f g")
    seen.add("second", "a b c d e x y")
    assert seen.nearest("a b c d e f") == (1.0, "first")
    assert seen.nearest("a b c d e f", apart_from=("first",)) == (0.5, "second")
    assert seen.nearest("q r s t u v") == (0.0, "")


# ---- languages ----

TEXTS = {
    "English": "I still keep the letter that my grandmother wrote before the flood.",
    "German": "Ich bewahre den Brief noch auf, den meine Großmutter vor dem Hochwasser schrieb.",
    "Spanish": "Todavía guardo la carta que mi abuela escribió antes de la inundación.",
    "Chinese": "我还留着奶奶在洪水之前写给我的那封信。",
    "Japanese": "洪水の前に祖母が書いてくれた手紙を、今も大切に持っています。",
    "Korean": "홍수가 나기 전에 할머니가 써 주신 편지를 아직도 간직하고 있어요.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_in_its_own_language_and_in_no_other(language: str) -> None:
    pytest.importorskip("py3langid")
    check = LanguageCheck(identifier())
    for other, text in TEXTS.items():
        fault = check.fault([("it", text)], language)
        assert (fault is None) == (other == language), fault


def test_short_texts_are_not_judged_and_without_an_identifier_nothing_is() -> None:
    check = LanguageCheck(lambda text: "fr")
    assert check.fault([("a", "Ach so!"), ("b", "もしもし")], "English") is None
    assert check.judged == 0
    assert check.fault([("a", TEXTS["German"])], "German") == "a is not in German but looks like 'fr'"
    assert NO_LANGUAGES.fault([("a", TEXTS["German"])], "English") is None
    assert [language_of(key) for key in ("id", "korean", "film")] == ["English", "Korean", "English"]


def test_persona_character_and_every_utterance_are_judged() -> None:
    judged: list[str] = []
    check = LanguageCheck(lambda text: judged.append(text) or "en")  # type: ignore[func-returns-value]
    long = [f"{SAID} {place}" for place in "abcd"]
    assert Checks(SETTINGS, check).take(dialogue("x", *long, people=SAID)) is None
    assert judged == [f"I am {SAID}.", *long]


# ---- repetition ----


def test_a_golden_response_may_not_be_nearly_that_of_another_sample() -> None:
    checks = Checks(SETTINGS, NO_LANGUAGES)
    assert checks.take(dialogue("one", "q", "a b c d e f g h i j")) is None
    assert checks.take(dialogue("two", "q", "a b c d e f g h x y")) == (
        "its golden response shares 67% of its runs of words with that of one"
    )
    assert checks.take(dialogue("three", "q", "a b c d e f g x y z")) is None
    assert checks.largest_share == 0.5


def test_long_utterances_belong_to_one_dialogue_and_short_ones_to_all() -> None:
    checks = Checks(SETTINGS, NO_LANGUAGES)
    assert checks.take(dialogue("one", SAID, "Did you?", "Yes.", "first answer")) is None
    assert checks.take(dialogue("two", "Well?", SAID.upper(), "Yes.", "second reply")) == (
        "an utterance of it stands in one"
    )
    assert checks.take(dialogue("three", "Did you?", "Yes.", "Did you?", "third words")) is None


def test_users_of_other_languages_are_all_different_and_english_ones_need_not_be() -> None:
    checks = Checks(SETTINGS, NO_LANGUAGES)
    german = {"split": "OOD1Test", "subset": "german", "people": "Kim"}
    assert checks.take(numbered("one", **german)) is None
    assert checks.take(numbered("two", **german)) == "its user is the one of one"
    assert checks.take(numbered("three", people="Kim")) is None
    assert checks.take(numbered("four", people="Kim")) is None


# ---- leakage ----


def leak(sample: Sample) -> str | None:
    train = numbered("t", people="Kim", split="IDTrain")
    return Leakage([train, dialogue("u", SAID, "r", "q", "golden u", split="IDTrain")]).fault(sample)


def test_what_a_test_may_not_share_with_the_training_split() -> None:
    user = {"split": "OOD1Test", "subset": "german"}
    figure = {"split": "OOD2Test", "subset": "film"}
    named = make_sample().agent_character
    other = replace(named, character_name="Somebody Else")
    assert leak(numbered("x")) is None
    assert leak(numbered("x", people="Kim")) is None
    assert leak(numbered("x", people="Kim", **user)) == "its persona is in the training split"
    assert leak(numbered("x", people="Lou", **user)) is None
    assert leak(numbered("x", **figure)) == "its character is in the training split"
    assert leak(numbered("x", agent_character=other, **figure)) is None
    assert leak(dialogue("x", "new", "Response t 2!")) == "its golden response is in the training split"
    assert leak(dialogue("x", "QUERY t 3", "new")) == "its last query is in the training split"
    assert leak(dialogue("x", SAID, "r", "new", "newer")) == "an utterance of it is in the training split"


def test_composed_samples_may_hold_turns_of_the_training_split_but_rest_on_the_test() -> None:
    turns = {"split": "OOD3Test", "subset": "turn_level"}
    made = dialogue("x", SAID, "r", "new", "newer", **turns)  # type: ignore[arg-type]
    assert leak(replace(made, source_sample_ids=("t", "test"))) is None
    assert leak(replace(made, source_sample_ids=("t", "u"))) == "it is composed of training dialogues alone"


# ---- composed dialogues ----


def test_word_edits_are_counted_over_words() -> None:
    old = "I want to start my own travel blog, you know?"
    assert changed_words(old, "I want to start my own poetry blog, you know?") == 1
    assert fault_of_query(old, old.upper(), SETTINGS) == "no word of the query is changed"
    assert fault_of_query(old, "I want to start my own poetry and painting club, you know?", SETTINGS) == (
        "4 words of the query are changed, and at most 3 may be"
    )
    assert fault_of_query(old, "I want to start my own poetry and painting blog, you know?", SETTINGS) is None


def test_the_response_to_a_changed_query_has_to_change() -> None:
    old = "a b c d e f g h i j"
    assert fault_of_response(old, "a b c d e f g h x y", SETTINGS) == (
        "20% of the answer is changed, and at least 30% has to be"
    )
    assert fault_of_response(old, "a b c d e f g x y z", SETTINGS) is None


def test_queries_of_both_dialogues_have_to_come_back() -> None:
    one, other = numbered("one"), numbered("other")
    both = ["query one 1", "query other 2", "query one 0 though", "query other 0", "new"]
    assert returning(["query one 1", "other words"], both) == 1
    assert fault_of_mixture(both, (one, other), SETTINGS) is None
    assert fault_of_mixture(["a b c", "x y z", "query other"], (one, other), SETTINGS) == (
        "0 queries of dialogue 1 come back, and at least 2 have to"
    )


def composed() -> list[Sample]:
    """Return a training and a test dialogue of the same people, and one of each kind composed of them."""
    people = {"people": "Kim"}
    train = numbered("train", split="IDTrain", **people)
    source = dialogue("source", *(f"u{n} v{n}" for n in range(6)), "Where is my hat now", "old golden words", **people)  # type: ignore[arg-type]
    word = replace(
        source,
        sample_id="word",
        split="OOD3Test",
        subset="word_level",
        last_query="Where is my dog now",
        golden_response="quite another answer",
        source_sample_ids=("source",),
    )
    queries = [*(f"query train {n}" for n in range(3)), "u0 v0", "u2 v2", "u4 v4", "w x y", "an end of its own"]
    texts = [text for number, query in enumerate(queries) for text in (query, f"said {number} in turn")]
    turn = dialogue("turn", *texts, split="OOD3Test", subset="turn_level", **people)  # type: ignore[arg-type]
    return [train, source, replace(turn, source_sample_ids=("source", "train")), word]


def test_good_composed_samples_pass_and_the_audit_measures_them() -> None:
    found = audit(composed(), SETTINGS, NO_LANGUAGES)
    assert found.faults == {}
    assert found.findings["word_level_changed_words"] == {"1": 1}
    assert found.findings["word_level_response_change"] == {"smallest": 1.0, "median": 1.0, "largest": 1.0}
    # three of the source; of the training dialogue the fourth too: one word in three makes it another of its queries
    assert found.findings["turn_level_queries_from_a_source"] == {"smallest": 3.0, "median": 3.5, "largest": 4.0}
    assert audit([], SETTINGS, NO_LANGUAGES).findings["word_level_response_change"] is None


@pytest.mark.parametrize(
    ("place", "changes", "fault"),
    [
        (3, {"last_query": "Where are all of her cats"}, "5 words of the query are changed, and at most 3 may be"),
        (3, {"golden_response": "old golden word"}, None),
        (3, {"golden_response": "old golden words"}, "0% of the answer is changed, and at least 30% has to be"),
        (3, {"turns": ()}, "it has 1 rounds, not 4"),
        (3, {"source_sample_ids": ("train",)}, "its rounds before the last are not those of its one source"),
        (3, {"source_sample_ids": ("lost",)}, "its source lost is not in the benchmark"),
        (3, {"user_persona": "I am Lou."}, "its sources have another persona or character"),
        (2, {"source_sample_ids": ("source",)}, "it is not eight rounds made from two dialogues"),
        (2, {"golden_response": "response train 1"}, "its golden response is in the training split"),
        (1, {"turns": ()}, "it has 1 rounds, not 4"),
    ],
)
def test_the_audit_finds_what_is_wrong(place: int, changes: dict[str, object], fault: str | None) -> None:
    samples = composed()
    samples[place] = replace(samples[place], **changes)  # type: ignore[arg-type]
    assert audit(samples, SETTINGS, NO_LANGUAGES).faults.get(samples[place].sample_id) == fault


def test_a_sample_whose_source_falls_falls_with_it() -> None:
    train, source, turn, word = composed()
    faults = audit([train, replace(source, turns=()), turn, word], SETTINGS, NO_LANGUAGES).faults
    assert faults["turn"] == faults["word"] == "its source source is not in the benchmark"


def test_a_composition_of_strangers_is_found() -> None:
    train, source, turn, _ = composed()
    stranger = replace(train, user_persona="I am Lou.")
    assert fault_of_composition(turn, [source, stranger], SETTINGS) == "its sources have another persona or character"


# ---- the draw ----


def pool(groups: int, each: int) -> list[Sample]:
    return [numbered(f"{group}-{place}", people=str(group)) for group in range(groups) for place in range(each)]


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_drawn_so_that_enough_people_have_a_dialogue_in_it_and_another_one(seed: int) -> None:
    samples = pool(groups=10, each=2)
    drawn = draw_test(samples, size=6, turn_level=2, seed=seed)
    assert len(drawn) == 6
    pairs = turn_level_sources(samples, drawn)
    assert len({one // 2 for one, _ in pairs}) >= 4
    assert all({one, other} & drawn and one // 2 == other // 2 for one, other in pairs)


def test_the_draw_follows_the_seed_and_takes_what_there_is() -> None:
    samples = pool(groups=6, each=3)
    assert draw_test(samples, 5, 1, seed=1) == draw_test(samples, 5, 1, seed=1) != draw_test(samples, 5, 1, seed=2)
    assert draw_test(samples, 18, 0, seed=1) == set(range(18))
    assert draw_test([], 0, 0, seed=1) == set()


def test_sources_of_other_people_come_before_more_of_the_same() -> None:
    samples = pool(groups=2, each=3)
    assert turn_level_sources(samples, {0, 4}) == [(0, 1), (3, 4), (0, 2), (4, 5)]
    assert turn_level_sources(samples, set()) == []
