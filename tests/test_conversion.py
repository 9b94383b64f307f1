"""Other data sets become samples by the stated rules, and whatever does not is listed with file, line and reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmark import Sample, UserMistakes, load_benchmark
from benchmark.conversion import ADAPTERS, NOT_GIVEN, Conversion, convert_benchmark
from recipes.cli.convert_command import convert

DATA = Path(__file__).parent / "fixtures" / "conversion"
COSER_TEST = DATA / "coser" / "test_set.json"
COSER_BOOKS = DATA / "coser" / "full"
CHARACTER_EVAL = DATA / "charactereval"
ROLEBENCH = DATA / "rolebench" / "rolebench-eng" / "instruction-generalization" / "role_specific" / "test.jsonl"
ROLEBENCH_ZH = DATA / "rolebench" / "rolebench-zh" / "general" / "test.jsonl"
Change = Callable[[Any], None]


def converted(name: str, path: Path, folder: Path, **given: Any) -> tuple[list[Sample], Conversion]:  # noqa: ANN401 - as the function takes them
    out = folder / "out.json"
    personas = {} if "persona" in given else {"persona_from_speakers": True}
    found = convert_benchmark(name, path, out, **{"split": "IDTest", **personas, **given})
    return list(load_benchmark(out)), found


def refused(found: Conversion, base: Path) -> list[str]:
    return [str(mistake).removeprefix(str(base)) for mistake in found.tally.not_converted]


def mistakes_of(name: str, path: Path, out: Path, **given: Any) -> list[str]:  # noqa: ANN401 - as the function takes them
    with pytest.raises(UserMistakes) as caught:
        convert_benchmark(name, path, out, **{"split": "IDTest", **given})
    return [str(mistake) for mistake in caught.value.mistakes]


def changed_copy(file: Path, folder: Path, change: Change) -> Path:
    content = json.loads(file.read_text("utf-8"))
    change(content)
    copy = folder / file.name
    copy.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return copy


# CoSER


def test_a_conversation_of_the_test_set_becomes_a_sample(tmp_path: Path) -> None:
    (sample,), _ = converted("coser", COSER_TEST, tmp_path)
    assert sample.sample_id == "id-coser-The Lamp-7-0-Ada Reef"
    asks, first = "Did the lamp burn all night?", "A lighthouse kitchen after a storm."
    bo, cal = "Bo inspects the coast's lights.", "A boy from the village."
    assert sample.turns[0].user_query == f"{first}\nEnvironment: Rain drums on the roof.\nBo Tern: {asks}"
    assert sample.turns[0].agent_response == "(pours tea) It burned.\nMost of it."
    assert sample.last_query == "Cal: I saw it go dark.\nBo Tern: So did I."
    assert sample.golden_response == "Then you saw me climb up and mend it."
    assert sample.user_persona == f"Bo Tern: {bo}\n\nCal: {cal}"
    character = sample.agent_character
    assert (character.character_name, character.character_source) == ("Ada Reef", "The Lamp")
    assert character.basic_character_information == "The keeper of the lamp."
    assert character.character_background == "Ada has kept the light for twenty years."
    assert (character.character_domain, character.character_personality) == ("Literature", NOT_GIVEN)


def test_what_coser_has_and_the_benchmark_has_not_is_counted_and_listed(tmp_path: Path) -> None:
    _, found = converted("coser", COSER_TEST, tmp_path)
    assert refused(found, COSER_TEST) == [
        ":39: nobody with a profile answers another person",
        ":48: dialogues[0] has no speaker or no message",
    ]
    expected = {"topic": 1, "key_characters": 1, "weight": 1, "tag": 1, "plot.summary": 1, "plot.chapter": 1}
    assert found.tally.unread == expected
    assert found.tally.filled == {"agent_character.character_personality": 1}
    assert found.tally.changes == {
        "utterances with thoughts taken out": 3,
        "silent utterances left out": 1,
        "utterances behind the golden response left out": 1,
    }


def test_no_thought_is_left_anywhere_in_a_sample(tmp_path: Path) -> None:
    (sample,), _ = converted("coser", COSER_TEST, tmp_path)
    texts = [sample.last_query, sample.golden_response, *(part for t in sample.turns for part in vars(t).values())]
    assert not any("[" in text or "guilty" in text for text in texts)


def test_training_takes_the_plots_before_the_border_of_a_book_and_tests_those_behind_it(tmp_path: Path) -> None:
    (trained,), found = converted("coser", COSER_BOOKS, tmp_path, split="IDTrain")
    assert (trained.split, trained.golden_response) == ("IDTrain", "The inspector.\nMay I come in?")
    assert found.tally.changes["conversations in the other part of a book left out"] == 2
    (tmp_path / "out.json").unlink()
    (tested,), found = converted("coser", COSER_BOOKS, tmp_path, split="OOD2Test:literature")
    assert (tested.subset, tested.golden_response) == ("literature", "I always do.")
    assert tested.user_persona == "Bo Tern: Bo inspects the coast's lights."
    book = COSER_BOOKS / "The Lamp.json"
    assert refused(found, book) == [":33: is not an object", ":36: plots[2] has no list of conversations"]


def test_without_a_border_nine_tenths_of_a_book_are_for_training(tmp_path: Path) -> None:
    def ten_plots(content: dict[str, Any]) -> None:
        del content["split_plot_index"]
        content["plots"] = [content["plots"][0] for _ in range(10)]

    book = changed_copy(COSER_BOOKS / "The Lamp.json", tmp_path, ten_plots)
    (tmp_path / "to").mkdir()
    trained, _ = converted("coser", book, tmp_path / "to", split="IDTrain")
    assert [s.sample_id for s in trained] == [f"train-coser-The Lamp-{i}-0-Bo Tern" for i in range(9)]


def test_a_speaker_without_a_profile_gives_a_persona_of_the_name_alone_and_is_counted(tmp_path: Path) -> None:
    def nobody_knows_cal(content: list[Any]) -> None:
        content[0]["plot"]["key_characters"].pop()

    (sample,), found = converted("coser", changed_copy(COSER_TEST, tmp_path, nobody_knows_cal), tmp_path)
    assert sample.user_persona == "Bo Tern: Bo inspects the coast's lights.\n\nCal"
    assert found.tally.changes["personas with a speaker's name alone, since there is no profile"] == 1


def test_half_a_character_is_not_converted(tmp_path: Path) -> None:
    (row, *_) = json.loads(COSER_TEST.read_text("utf-8"))
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{**row, "scenario": "\ud83d"}, {**row, "i_p": 11}]), encoding="utf-8")
    samples, found = converted("coser", path, tmp_path)
    assert [s.sample_id for s in samples] == ["id-coser-The Lamp-11-0-Ada Reef"]
    assert refused(found, path) == [":1: holds half of a character (a lone surrogate)"]


@pytest.mark.parametrize("content", [[{"conversations": []}], {"plots": 3}, {}, "text"])
def test_other_layouts_are_mistakes(tmp_path: Path, content: object) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    found = mistakes_of("coser", path, tmp_path / "out.json", persona="I bake.")
    assert found == [
        f"{path}: is neither CoSER's test set nor one of its books; name test/test_set.json, full/ or a book of it"
    ]


# CharacterEval


def test_the_last_response_within_a_context_is_the_golden_one(tmp_path: Path) -> None:
    (sample, other), found = converted("charactereval", CHARACTER_EVAL, tmp_path, split="OOD1Test:chinese")
    assert (sample.sample_id, sample.subset) == ("chinese-charactereval-3", "chinese")
    assert [vars(turn) for turn in sample.turns] == [
        {"user_query": "阿福：船还开吗？", "agent_response": "风停了就开。"}
    ]
    assert (sample.last_query, sample.golden_response) == ("阿福：要等多久？", "（看天）半个时辰：不多不少。")
    assert sample.user_persona == "阿福：镇上的学徒。"
    assert other.last_query == "林砚：上船。\n坐稳了。\n阿福：慢些！"
    assert found.tally.changes == {"utterances behind the golden response left out": 1}


def test_a_profile_goes_into_the_fields_that_the_benchmark_has(tmp_path: Path) -> None:
    (sample, _), found = converted("charactereval", CHARACTER_EVAL, tmp_path)
    assert vars(sample.agent_character) == {
        "character_name": "林砚",
        "character_domain": NOT_GIVEN,
        "character_source": "渡口",
        "basic_character_information": "姓名：林砚\n职业：船夫\n年龄：40",
        "character_background": "自幼在渡口长大。",
        "character_personality": "寡言、守信",
    }
    assert found.tally.filled == {"agent_character.character_domain": 2}


def test_dialogues_that_cannot_be_converted_are_listed(tmp_path: Path) -> None:
    _, found = converted("charactereval", CHARACTER_EVAL, tmp_path)
    file = CHARACTER_EVAL / "test_data.jsonl"
    assert refused(found, file) == [
        ":4: the profiles have none of 无名",
        ":5: 林砚 answers nobody",
        ":6: role or context is missing or no text",
        ":7: the context does not begin with a name and '：'",
        f":8: its sample_ID id-charactereval-3 is used in {file}:2",
    ]
    assert found.tally.unread == {"extra": 1}


def test_profiles_may_lie_elsewhere(tmp_path: Path) -> None:
    shutil.copy(CHARACTER_EVAL / "test_data.jsonl", tmp_path)
    assert (
        "character_profiles.json: cannot be read" in mistakes_of("charactereval", tmp_path, Path("o"), persona="I")[0]
    )
    profiles = CHARACTER_EVAL / "character_profiles.json"
    samples, _ = converted("charactereval", tmp_path, tmp_path, profiles=profiles)
    assert len(samples) == 2


# RoleBench


def test_a_question_and_its_first_candidate_become_a_sample(tmp_path: Path) -> None:
    (sample, ports), found = converted("rolebench", ROLEBENCH, tmp_path, persona="I am curious.", domain="Fiction")
    assert sample.sample_id == "id-rolebench-eng-instruction-generalization-role_specific-test-1"
    assert (sample.turns, sample.last_query) == ((), "Captain Moss, why do you sail at night?")
    assert (sample.golden_response, sample.user_persona) == ("Stars keep better time than clocks.", "I am curious.")
    character = sample.agent_character
    assert (character.character_name, character.character_source) == ("Captain Moss", "Night Tide")
    assert character.character_background.startswith("A smuggler")
    assert character.character_domain == "Fiction"
    assert ports.golden_response == "Ash, Brine and Coil."
    assert found.tally.changes == {"further candidate responses left out": 2}
    assert found.tally.unread == {"type": 2}


def test_lines_that_hold_no_response_of_a_known_role_are_listed(tmp_path: Path) -> None:
    _, found = converted("rolebench", ROLEBENCH, tmp_path, persona="I am curious.")
    listed = refused(found, ROLEBENCH)
    assert listed[:3] == [
        ":2: the response only says that there is none:  (No response provided)",
        ":3: the descriptions have none of Nobody",
        ":5: generated is missing or holds no text",
    ]
    assert listed[3].startswith(":6: is not valid JSON")
    assert len(listed) == 4


def test_descriptions_are_those_of_the_files_language(tmp_path: Path) -> None:
    (sample,), found = converted("rolebench", ROLEBENCH_ZH, tmp_path, persona="我很好奇。")
    assert sample.agent_character.character_background == "渡口的船夫。"
    assert sample.agent_character.character_source == NOT_GIVEN
    assert found.notes == ()


def test_a_file_outside_a_download_needs_the_descriptions_named(tmp_path: Path) -> None:
    shutil.copy(ROLEBENCH, tmp_path / "mine.jsonl")
    (mistake,) = mistakes_of("rolebench", tmp_path / "mine.jsonl", tmp_path / "out.json", persona="I")
    assert "name RoleBench's desc.json as the profiles" in mistake
    named = DATA / "rolebench" / "profiles-eng" / "desc.json"
    (sample, _), _ = converted("rolebench", tmp_path / "mine.jsonl", tmp_path, persona="I", profiles=named)
    assert sample.sample_id == "id-rolebench-mine-1"


def test_folders_and_a_models_answers_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in mistakes_of("rolebench", ROLEBENCH.parent, tmp_path / "o", persona="I")[0]
    baseline = tmp_path / "rolegpt_baseline.jsonl"
    shutil.copy(ROLEBENCH, baseline)
    assert "not golden ones" in mistakes_of("rolebench", baseline, tmp_path / "o", persona="I")[0]


# All of them


def test_several_data_sets_go_into_one_file(tmp_path: Path) -> None:
    converted("coser", COSER_TEST, tmp_path)
    before = json.loads((tmp_path / "out.json").read_text("utf-8"))
    samples, _ = converted("rolebench", ROLEBENCH, tmp_path, persona="I", split="OOD2Test:film", append=True)
    assert [s.subset for s in samples] == ["id", "film", "film"]
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["IDTest"] == before["IDTest"]


def test_converting_the_same_again_adds_nothing(tmp_path: Path) -> None:
    converted("coser", COSER_TEST, tmp_path)
    content = (tmp_path / "out.json").read_bytes()
    given: dict[str, Any] = {"append": True, "persona_from_speakers": True}
    found = mistakes_of("coser", COSER_TEST, tmp_path / "out.json", **given)
    assert found[0] == f"{COSER_TEST}: holds nothing that can be converted"
    assert "its sample_ID id-coser-The Lamp-7-0-Ada Reef is used in" in found[1]
    assert (tmp_path / "out.json").read_bytes() == content


def test_all_mistakes_in_what_is_asked_for_come_together(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("{}")
    found = mistakes_of("cosre", tmp_path / "none", tmp_path / "out.json", split="IDTset", profiles=tmp_path / "no")
    assert [mistake.partition(": ")[2] for mistake in found] == [
        "is no known data set; did you mean 'coser'?",
        "does not exist",
        "does not exist",
        "cosre has no user personas; give the persona's text, or have it made from the other speakers where there "
        "are some",
        "'IDTset' is no split of the benchmark; did you mean 'IDTest'?",
        "is there already; append to it or name another file",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"persona": "I", "persona_from_speakers": True}, "choose one"),
        ({"persona": " "}, "persona: is empty"),
        ({"persona_from_speakers": True}, "cannot be made: rolebench has no other speakers"),
        ({}, "rolebench has no user personas"),
    ],
)
def test_a_persona_is_never_made_up(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    assert message in mistakes_of("rolebench", ROLEBENCH, tmp_path / "out.json", **given)[0]
    assert not (tmp_path / "out.json").exists()


def test_a_benchmark_with_faults_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"IDTest": [3]}')
    found = mistakes_of("coser", COSER_TEST, tmp_path / "out.json", append=True, persona="I")
    assert found == [f"{tmp_path}/out.json: IDTest[0]: the row: is a number, not an object"]


def test_alike_samples_are_noted(tmp_path: Path) -> None:
    def twice(content: list[Any]) -> None:
        content.append({**content[0], "i_p": 11})

    _, found = converted("coser", changed_copy(COSER_TEST, tmp_path, twice), tmp_path, persona="I bake.")
    assert [note.partition(":")[0] for note in found.notes] == [
        "1 samples are copies of others in all but their ID; copies are never compared with each other",
        "all samples have one user_persona",
        "all samples have one agent_character",
    ]


def test_the_command_says_what_was_left_out_and_where_the_samples_are(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(convert)
    out = tmp_path / "out.json"
    words = ["coser", str(COSER_TEST), "--split", "IDTest", "--out", str(out), "--persona-from-speakers"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert f"not converted: {COSER_TEST}:39: nobody with a profile answers another person" in lines
    assert "note: left out, since the benchmark has nothing like it: plot.summary (in 1)" in lines
    assert (
        "note: 'Not given.' where the data set has nothing like it: agent_character.character_personality (in 1)"
        in (lines)
    )
    assert lines[-1] == f"{out}: samples written to IDTest: 1; rows not converted: 2"


def test_the_help_names_every_data_set() -> None:
    assert len(ADAPTERS) >= 3
    app = typer.Typer()
    app.command()(convert)
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(name in shown for name in ADAPTERS)
