"""Lines of JSON elements, turns of many-voiced conversations, and where converted samples go."""

import json
from pathlib import Path

import pytest

from benchmark.conversion.dialogue import Utterance, split_dialogue
from benchmark.conversion.json_source import read_json_source
from benchmark.conversion.target import parse_target
from benchmark.errors import UserMistakes


def written(folder: Path, text: str) -> Path:
    path = folder / "file.json"
    path.write_text(text, encoding="utf-8")
    return path


def said(*lines: tuple[str | None, str]) -> list[Utterance]:
    return [Utterance(speaker, text) for speaker, text in lines]


# Lines


def test_elements_of_nested_lists_have_the_lines_on_which_they_begin(tmp_path: Path) -> None:
    text = '{"a": {"plots": 1},\n "plots": [ {"x": [1],\n  "talk": [{},\n   {"y": "]\\n"}]}\n ,\n\n 3, {"talk": 4}]}'
    source = read_json_source(written(tmp_path, text), ("plots", None, "talk", None))
    assert source.lines == {(0,): 2, (0, 0): 3, (0, 1): 4, (1,): 7, (2,): 7}
    assert source.where(0, 1) == f"{source.path}:4"
    assert source.where(2, 5) == f"{source.path}:7"
    assert source.where(9) == str(source.path)


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_every_element_of_a_file_of_any_spacing_is_found_on_its_line(tmp_path: Path, indent: int | None) -> None:
    rows = [{"mark": f"m{number}", "of": ["]", {"}": '"'}]} for number in range(20)]
    path = written(tmp_path, json.dumps(rows, indent=indent))
    source = read_json_source(path, (None,))
    text = path.read_text()
    for number in range(20):
        line_of_mark = text[: text.index(f'"m{number}"')].count("\n") + 1
        assert source.lines[(number,)] == line_of_mark - (indent is not None)


@pytest.mark.parametrize("text", ['{"plots": 3}', "[]", "{}", "7", '"text"', ' {"plots": {"a": []}}'])
def test_a_way_that_a_file_does_not_have_gives_no_lines(tmp_path: Path, text: str) -> None:
    source = read_json_source(written(tmp_path, text), ("plots", None), (None,))
    assert (source.content, source.lines) == (json.loads(text), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1,\n 2,\n x]", r"file.json:3: is not valid JSON"),
        (b"\xff", r"cannot be read"),
        (b"[" * 200_000, r"nested too deeply"),
    ],
)
def test_files_that_cannot_be_read_are_mistakes(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(UserMistakes, match=message):
        read_json_source(tmp_path / "file.json")


# Turns


def test_what_others_say_between_two_responses_is_one_query_with_their_names() -> None:
    talk = said(("Bo", "Well?"), ("Cal", "Yes?"), ("Ada", "One."), ("Ada", "Two."), ("Bo", "Go on."), ("Ada", "Three."))
    found = split_dialogue(talk, "Ada")
    assert found is not None
    assert found.turns == (("Bo: Well?\nCal: Yes?", "One.\nTwo."), ("Bo: Go on.", "Three."))
    assert (found.persons, found.n_behind) == (("Bo", "Cal"), 0)


def test_the_scene_opens_the_first_query() -> None:
    found = split_dialogue(said(("Ada", "Hm."), ("Bo", "What?"), ("Ada", "No.")), "Ada", opening="A quay.")
    assert found is not None
    assert found.turns == (("A quay.", "Hm."), ("Bo: What?", "No."))


def test_without_a_scene_what_the_agent_opens_with_stands_in_the_first_query() -> None:
    talk = said(("Ada", "Hm."), ("Ada", "So."), ("Bo", "What?"), ("Ada", "No."))
    found = split_dialogue(talk, "Ada", separator="：")
    assert found is not None
    assert found.turns == (("Ada：Hm.\nAda：So.\nBo：What?", "No."),)


def test_what_is_behind_the_golden_response_is_left_out_with_who_says_it() -> None:
    talk = said(("Bo", "Well?"), ("Ada", "One."), ("Bo", "Oh."), ("Cal", "Ah."))
    found = split_dialogue(talk, "Ada")
    assert found is not None
    assert (found.turns, found.persons, found.n_behind) == ((("Bo: Well?", "One."),), ("Bo",), 2)


def test_a_user_without_a_name_and_a_narrator_are_no_persons() -> None:
    talk = [Utterance(None, "Well?"), Utterance("Wind", "It blows.", is_person=False), Utterance("Ada", "Yes.")]
    found = split_dialogue(talk, "Ada")
    assert found is not None
    assert (found.turns, found.persons) == ((("Well?\nWind: It blows.", "Yes."),), ())


@pytest.mark.parametrize("talk", [said(("Bo", "Well?")), said(("Ada", "Hm."), ("Ada", "So.")), []])
def test_an_agent_who_answers_nobody_makes_no_dialogue(talk: list[Utterance]) -> None:
    assert split_dialogue(talk, "Ada") is None


def test_an_empty_utterance_is_an_error() -> None:
    with pytest.raises(ValueError, match="utterance 2 is empty"):
        split_dialogue(said(("Bo", "Well?"), ("Ada", " ")), "Ada")


# Targets


@pytest.mark.parametrize(
    ("text", "split", "key", "tag"),
    [
        ("IDTrain", "IDTrain", "train", None),
        ("IDTest", "IDTest", "id", None),
        ("OOD1Test:german", "OOD1Test", "german", "german"),
        ("OOD2Test:film", "OOD2Test", "film", "Film & Television"),
        ("OOD2Test:Film & Television", "OOD2Test", "film", "Film & Television"),
        ("OOD3Test:turn_level", "OOD3Test", "turn_level", "TurnLevelComposition"),
    ],
)
def test_a_target_is_named_by_split_and_subset(text: str, split: str, key: str, tag: str | None) -> None:
    found = parse_target(text)
    assert (found.split, found.key, found.tag) == (split, key, tag)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("IDTest:german", "IDTest has no subsets, but 'german' is named; write IDTest"),
        ("IDTset", "'IDTset' is no split of the benchmark; did you mean 'IDTest'?"),
        ("OOD2Test", "OOD2Test needs a subset; write OOD2Test: and one of literature, film, theater, gaming"),
        ("OOD2Test:german", "'german' is no subset of OOD2Test; "),
        ("OOD1Test:germn", "'germn' is no subset of OOD1Test; did you mean 'german'?"),
    ],
)
def test_a_target_that_there_is_not_is_a_mistake(text: str, message: str) -> None:
    with pytest.raises(UserMistakes) as caught:
        parse_target(text)
    assert message in str(caught.value)
