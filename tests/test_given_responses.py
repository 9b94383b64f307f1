"""Responses made elsewhere: every faulty line is named at once, and what is odd but allowed is noted."""

import json
from pathlib import Path

import pytest
from conftest import make_sample

from benchmark import Benchmark, UserMistakes
from benchmark.sample import make_benchmark
from recipes.given_responses import GivenResponses, read_given_responses

SUBSETS = {"id": "IDTest", "korean": "OOD1Test", "gaming": "OOD2Test"}


@pytest.fixture
def benchmark() -> Benchmark:
    return make_benchmark(
        "b", [make_sample(f"{s}-{k}", split=s, subset=key) for key, s in SUBSETS.items() for k in (1, 2, 3)], {}
    )


def line(sample_id: object = "IDTest-1", response: object = "Yes.", **fields: object) -> str:
    return json.dumps({"sample_id": sample_id, "response": response, **fields})


def read(folder: Path, benchmark: Benchmark, *lines: str) -> GivenResponses:
    path = folder / "answers.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_given_responses(path, benchmark)


def mistakes(folder: Path, benchmark: Benchmark, *lines: str) -> list[str]:
    with pytest.raises(UserMistakes) as caught:
        read(folder, benchmark, *lines)
    return [str(mistake).removeprefix(f"{folder}/answers.jsonl") for mistake in caught.value.mistakes]


FAULTS = [
    ("{", ": is not valid JSON: Expecting property name"),
    ("[1]", ": is not a JSON object; write {...} a line"),
    ('"text"', ": is not a JSON object; write {...} a line"),
    ('{"response": "Yes."}', ": sample_id: is missing or no text"),
    (line(7), ": sample_id: is missing or no text"),
    (line("IDTest-11"), ": sample_id: 'IDTest-11' is not a test sample of this benchmark; did you mean 'IDTest-1'?"),
    ('{"sample_id": "IDTest-1"}', ": response: is missing or neither text nor null"),
    (line(response=["Yes."]), ": response: is missing or neither text nor null"),
    (line(reasoning=1), ": reasoning: is neither text nor null"),
    (line(finish_reason="done"), ": finish_reason: is 'done'; one of stop, length, prompt_too_long, null"),
    (line(finish_reason=["stop"]), ": finish_reason: is ['stop']; one of"),
    (line(method="../x"), ": method: '../x' cannot name a method; use at most 60 letters"),
    (line(method="a/b"), ": method: 'a/b' cannot name a method"),
    (line(method=".hidden"), ": method: '.hidden' cannot name a method"),
    (line(method="(golden)"), ": method: '(golden)' cannot name a method"),
    (line(method=""), ": method: '' cannot name a method"),
    (line(method="x" * 81), f": method: '{'x' * 81}' cannot name a method"),
    (line(method=None), ": method: None cannot name a method"),
    (line(response="half \ud83d"), ": holds half of a character"),
]


@pytest.mark.parametrize(("faulty", "told"), FAULTS)
def test_a_faulty_line_is_named_with_what_is_wrong(
    tmp_path: Path, benchmark: Benchmark, faulty: str, told: str
) -> None:
    found = mistakes(tmp_path, benchmark, line("IDTest-2"), "", faulty)
    assert len(found) == 1
    assert found[0].startswith(f":3{told}")


def test_all_faulty_lines_are_listed_at_once_in_their_order(tmp_path: Path, benchmark: Benchmark) -> None:
    found = mistakes(tmp_path, benchmark, *(faulty for faulty, _ in FAULTS))
    assert len(found) == len(FAULTS)
    for number, (text, (_, told)) in enumerate(zip(found, FAULTS, strict=True), start=1):
        assert text.startswith(f":{number}{told}")


def test_all_faults_of_one_line_are_listed(tmp_path: Path, benchmark: Benchmark) -> None:
    found = mistakes(tmp_path, benchmark, '{"method": "/", "finish_reason": "x"}')
    assert [text.split(": ")[1] for text in found] == ["sample_id", "method", "response", "finish_reason"]


def test_a_second_response_names_the_line_of_the_first(tmp_path: Path, benchmark: Benchmark) -> None:
    lines = [line(), line("IDTest-2"), line(method="other"), line(response="No.")]
    assert mistakes(tmp_path, benchmark, *lines) == [
        ":4: a second response of answers to sample IDTest-1; the first is in line 1; keep one"
    ]


def test_an_id_unlike_any_other_does_not_list_the_whole_benchmark(tmp_path: Path, benchmark: Benchmark) -> None:
    (found,) = mistakes(tmp_path, benchmark, line("0b6f"))
    assert found == ":1: sample_id: '0b6f' is not a test sample of this benchmark; see whether it is the right one"


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_responses_is_a_mistake(tmp_path: Path, benchmark: Benchmark, content: str) -> None:
    (found,) = mistakes(tmp_path, benchmark, content)
    assert found.startswith(": holds no responses; write a JSON object")


def test_a_missing_file_a_folder_and_another_encoding_are_mistakes(tmp_path: Path, benchmark: Benchmark) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"sample_id": "IDTest-1", "response": "\xe9"}')
    for path in (tmp_path / "none.jsonl", tmp_path, latin):
        with pytest.raises(UserMistakes, match=r"cannot be read: .*name a JSON-lines file in UTF-8"):
            read_given_responses(path, benchmark)


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(tmp_path: Path, benchmark: Benchmark) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(f"{line()}\r\n{line('IDTest-2')}\r\n".encode("utf-8-sig"))
    given = read_given_responses(path, benchmark)
    assert [row["sample_id"] for row in given.rows["answers"]] == ["IDTest-1", "IDTest-2"]


def test_the_method_is_the_files_name_where_a_line_names_none(tmp_path: Path, benchmark: Benchmark) -> None:
    given = read(tmp_path, benchmark, line(), line(method="my model-1.5 (no)"[:12]))
    assert list(given.rows) == ["answers", "my model-1.5"]
    assert {row["method"] for row in given.rows["answers"]} == {"answers"}


def test_only_subsets_with_answers_are_taken_and_only_their_answered_samples(
    tmp_path: Path, benchmark: Benchmark
) -> None:
    given = read(tmp_path, benchmark, line("OOD2Test-3"), line("IDTest-3"), line("IDTest-1"))
    taken = {key: [sample.sample_id for sample in samples] for key, samples in given.test.items()}
    assert taken == {"id": ["IDTest-1", "IDTest-3"], "gaming": ["OOD2Test-3"]}
    assert [row["sample_id"] for row in given.rows["answers"]] == ["IDTest-1", "IDTest-3", "OOD2Test-3"]
    assert given.notes == ["id: 2 of 3 samples have a response", "gaming: 1 of 3 samples have a response"]


def test_a_sample_that_only_another_method_answered_has_a_null_response_and_a_note(
    tmp_path: Path, benchmark: Benchmark
) -> None:
    lines = [line(f"IDTest-{k}", method="a") for k in (1, 2, 3)] + [line("IDTest-2", method="b")]
    given = read(tmp_path, benchmark, *lines)
    assert [row["response"] for row in given.rows["b"]] == [None, "Yes.", None]
    assert given.notes == ["b: no line for 2 samples that others answered; unscored"]


def test_empty_responses_that_ended_are_noted_as_scored(tmp_path: Path, benchmark: Benchmark) -> None:
    lines = [line(response=""), line("IDTest-2", "", finish_reason="stop"), line("IDTest-3", None)]
    given = read(tmp_path, benchmark, *lines)
    assert [row["response"] for row in given.rows["answers"]] == ["", "", None]
    assert given.notes == ["answers: 2 empty responses, scored as the end of turn alone"]


def test_an_empty_response_that_was_cut_has_nothing_to_score_and_is_noted_so(
    tmp_path: Path, benchmark: Benchmark
) -> None:
    lines = [line(response="", finish_reason="length"), line("IDTest-2"), line("IDTest-3")]
    assert read(tmp_path, benchmark, *lines).notes == ["answers: 1 empty responses that were cut; unscored"]


def test_text_with_unicode_line_ends_stays_whole_and_other_fields_are_left(
    tmp_path: Path, benchmark: Benchmark
) -> None:
    text = "one\u2028two\x85three\x0bfour\nfive"
    raw = json.dumps({"sample_id": "IDTest-1", "response": text, "tokens": 9}, ensure_ascii=False)
    given = read(tmp_path, benchmark, raw, line("IDTest-2", reasoning="Because.", finish_reason="length"))
    first, second = given.rows["answers"]
    assert first["response"] == text
    assert list(first) == ["sample_id", "method", "response", "reasoning", "finish_reason"]
    assert (second["reasoning"], second["finish_reason"]) == ("Because.", "length")
