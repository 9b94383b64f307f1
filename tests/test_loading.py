"""Benchmarks load through one code path, and every fault of every row is reported at once."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmark import UserMistakes, load_benchmark
from benchmark.loading import BUNDLED

ROW: dict[str, Any] = {
    "sample_ID": "OOD2Test-1",
    "user_persona": "I bake bread.",
    "agent_character": {
        "character_name": "Hero",
        "character_domain": "Literature",
        "character_source": "A book",
        "basic_character_information": "Young.",
        "character_background": "Lived.",
        "character_personality": "Kind.",
    },
    "dialogue_context": [{"user_query": "Well?"}, {"agent_response": "I am."}, {"user_query": "What now?"}],
    "agent_golden_response": "Bake.",
    "subset_tag": "Literature",
}


def write(tmp_path: Path, rows: list[Any], split: str = "OOD2Test") -> Path:
    path = tmp_path / "file.json"
    path.write_text(json.dumps({split: rows}), encoding="utf-8")
    return path


def faults_of(source: Path) -> list[str]:
    with pytest.raises(UserMistakes) as caught:
        load_benchmark(source)
    return [str(mistake) for mistake in caught.value.mistakes]


def changed(**changes: object) -> dict[str, Any]:
    return {**copy.deepcopy(ROW), **changes}


def test_a_row_becomes_a_sample_with_its_turns_and_last_query(tmp_path: Path) -> None:
    sample = load_benchmark(write(tmp_path, [ROW])).test["literature"][0]
    assert (sample.turns[0].user_query, sample.turns[0].agent_response) == ("Well?", "I am.")
    assert (sample.last_query, sample.golden_response, sample.subset) == ("What now?", "Bake.", "literature")


def test_the_fictional_suffix_of_a_tag_is_accepted(tmp_path: Path) -> None:
    benchmark = load_benchmark(write(tmp_path, [changed(subset_tag="Literature-Fictional")]))
    assert list(benchmark.test) == ["literature"]


def test_in_distribution_rows_need_no_tag(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "subset_tag"}
    assert len(load_benchmark(write(tmp_path, [row], "IDTrain")).train) == 1


def test_fields_that_nothing_reads_are_counted_not_dropped_in_silence(tmp_path: Path) -> None:
    assert load_benchmark(write(tmp_path, [changed(context_seed="x")])).unused_fields == {"context_seed": 1}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed(user_persona=" "), "user_persona: is empty"),
        ({k: v for k, v in ROW.items() if k != "agent_golden_response"}, "agent_golden_response: is missing"),
        (changed(user_persona=3), "user_persona: is a number, not a string"),
        (changed(agent_character="Hero"), "agent_character: is a string, not an object"),
        (changed(agent_character={"character_name": "x"}), "agent_character.character_domain: is missing"),
        (changed(dialogue_context=[]), "dialogue_context: is empty"),
        (changed(dialogue_context=ROW["dialogue_context"][:2]), "dialogue_context: does not end with a user_query"),
        (
            changed(dialogue_context=[{"user_query": "a"}, {"user_query": "b"}, {"user_query": "c"}]),
            "dialogue_context[1]: holds user_query where agent_response is due",
        ),
        (changed(subset_tag="Literatur"), "subset_tag: 'Literatur' is unknown in split OOD2Test"),
        (changed(subset_tag=None), "subset_tag: is null, not a string"),
        ("text", "the row: is a string, not an object"),
    ],
)
def test_each_fault_of_a_row_is_named_with_its_place(tmp_path: Path, row: object, message: str) -> None:
    found = faults_of(write(tmp_path, [ROW | {"sample_ID": "other"}, row]))
    assert any("OOD2Test[1]" in fault and message in fault for fault in found), found


def test_all_faults_of_all_rows_come_together(tmp_path: Path) -> None:
    rows = [changed(sample_ID="a", user_persona="", subset_tag="x"), changed(sample_ID="b", dialogue_context=[])]
    assert len(faults_of(write(tmp_path, rows))) == 3


def test_an_unknown_tag_names_the_nearest_one(tmp_path: Path) -> None:
    assert "did you mean 'Literature'?" in faults_of(write(tmp_path, [changed(subset_tag="Literatur")]))[0]


def test_duplicate_ids_are_a_fault(tmp_path: Path) -> None:
    assert "used 2 times" in faults_of(write(tmp_path, [ROW, ROW]))[0]


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{\n "IDTrain": [\n  {"a": }\n]}', encoding="utf-8")
    assert f"{path}:3: is not valid JSON" in faults_of(path)[0]


def test_broken_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"IDTrain":\n [\n "\xff"]}')
    assert f"{path}:3: byte 0xff is not valid UTF-8" in faults_of(path)[0]


def test_an_unknown_split_names_the_nearest_one(tmp_path: Path) -> None:
    assert "did you mean 'IDTrain'?" in faults_of(write(tmp_path, [ROW], "IDTrian"))[0]


def test_a_name_that_leads_nowhere_is_a_mistake() -> None:
    assert "no such benchmark" in faults_of(Path("nowhere"))[0]


def test_a_hub_id_loads_the_json_files_of_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def snapshot(hub_id: str, *, repo_type: str, allow_patterns: str) -> str:
        asked.append((hub_id, repo_type))
        (tmp_path / "data").mkdir()
        write(tmp_path / "data", [ROW])
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert list(load_benchmark("YongqiLi/RPGBench").test) == ["literature"]
    assert asked == [("YongqiLi/RPGBench", "dataset")]


def test_a_hub_that_is_out_of_reach_is_one_mistake_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*args: object, **kwargs: object) -> str:
        raise OSError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(UserMistakes, match=r"no route to the hub.*download the JSON file and give its path"):
        load_benchmark("YongqiLi/RPGBench")


def test_the_bundled_name_the_folder_and_the_file_load_the_same() -> None:
    folder = BUNDLED["mini"]
    loaded = [load_benchmark(source).content_hash for source in ("mini", folder, folder / "benchmark.json")]
    assert len(set(loaded)) == 1
