"""What is looked up about characters: from a file, or from a command that gets names on its standard input alone."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from construction_helpers import asked_by_step, block, builder, question, rows, scripted, step_of
from endpoint_helpers import serve

from benchmark import UserMistakes
from benchmark.construction.retrieval import Retrieval, Retrieved
from benchmark.construction.settings import RetrievalSettings
from benchmark.progress import SilentProgress

KEY = "sk-very-secret-0123456789"
HOSTILE = "Ada; rm -rf / $(touch x) --help `y` \"q\" 'r'"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def retrieval(folder: Path, **values: Any) -> Retrieval:  # noqa: ANN401
    chosen = RetrievalSettings.model_validate(values)
    made = Retrieval(chosen, parallel=2, secret_variable="OPENAI_API_KEY")
    made.keep_in(folder)
    return made


def find(made: Retrieval, *names: str) -> list[Retrieved]:
    return made.find(list(names), SilentProgress())


def program(folder: Path, code: str) -> tuple[str, ...]:
    """Return the command that runs this code."""
    path = folder / "program.py"
    path.write_text(code)
    return (sys.executable, str(path), "--lang=en")


def test_a_file_is_searched_by_name_without_regard_to_case_and_spaces(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"name": "Ada  MERROW", "text": " Born in 1815. "}\n{"name": "Bela", "text": "A painter."}\n')
    found = find(retrieval(tmp_path, file=file, longest=9), "ada merrow", "Bela", "Cora")
    assert found == [
        Retrieved("ada merrow", "Born in 1", None, cut=True),
        Retrieved("Bela", "A painter", None, cut=True),
        Retrieved("Cora", None, "the file has no such name"),
    ]


def test_all_faults_of_a_file_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    lines = [
        '{"name": "A", "text": "a"}',
        '{"name": "B"}',
        "[]",
        '{"name": "a", "text": "b"}',
        '{"name": "C", "text": " "}',
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(UserMistakes) as caught:
        retrieval(tmp_path, file=file)
    assert [str(mistake).split(": ")[0][-2:] for mistake in caught.value.mistakes] == [":2", ":3", ":4", ":5"]
    with pytest.raises(UserMistakes, match="cannot be read"):
        retrieval(tmp_path, file=tmp_path / "none.jsonl")


def test_a_command_gets_the_name_on_its_input_and_neither_a_shell_nor_the_key(tmp_path: Path) -> None:
    code = "import os, sys; print(repr((sys.stdin.read(), sys.argv[1:], os.environ.get('OPENAI_API_KEY'))))"
    (found,) = find(retrieval(tmp_path, command=program(tmp_path, code)), HOSTILE)
    assert found.text == repr((f"{HOSTILE}\n", ["--lang=en"], None))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("code", "seconds", "problem"),
    [
        ("raise SystemExit(3)", 20, "the command ended with exit code 3"),
        ("print('  ')", 20, "the command printed no text"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", 20, "the command failed: UnicodeDecodeError"),
        ("import time; time.sleep(60)", 0.5, "the command took longer than 0.5 s"),
    ],
)
def test_a_command_that_fails_leaves_a_problem(tmp_path: Path, code: str, seconds: float, problem: str) -> None:
    start = time.monotonic()
    made = retrieval(tmp_path, command=program(tmp_path, code), timeout_seconds=seconds)
    assert find(made, "Ada") == [Retrieved("Ada", None, problem)]
    assert made.without_text() == {"Ada": problem}
    assert time.monotonic() - start < 40


def test_a_command_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserMistakes, match="no-such-program: there is no such program"):
        retrieval(tmp_path, command=["no-such-program"])


def test_each_name_is_looked_up_once_as_long_as_the_source_is_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"import sys; name = sys.stdin.read(); open({str(log)!r}, 'a').write(name); print('of', name)"
    command = program(tmp_path, code)
    assert [found.text for found in find(retrieval(tmp_path, command=command), "Ada", "Bela", "Ada")] == [
        "of Ada",
        "of Bela",
        "of Ada",
    ]
    find(retrieval(tmp_path, command=command), "Bela", "Cora")
    assert sorted(log.read_text().split()) == ["Ada", "Bela", "Cora"]
    find(retrieval(tmp_path, command=(*command, "more")), "Bela")
    assert sorted(log.read_text().split()) == ["Ada", "Bela", "Bela", "Cora"]


def test_characters_are_described_with_what_was_looked_up_and_the_others_are_counted(tmp_path: Path) -> None:
    code = "import sys; name = sys.stdin.read().strip(); print(f'Seen: {name}') if len(name) % 2 else sys.exit(1)"
    changes = {"retrieval": {"command": program(tmp_path, code)}}
    with serve(scripted) as server:
        report = builder(server.url, tmp_path, {"train": 4, "gaming": 2}, **changes).run().report
    profiles = [question(asked) for asked in server.asked if step_of(asked) == "profiles"]
    for text in profiles:
        name = block(text, "Name")
        assert block(text, "What Was Looked Up") == (f"Seen: {name}" if len(name) % 2 else "(nothing)")
    without = report["described_without_retrieved_text"]
    assert set(without) == {block(text, "Name") for text in profiles if len(block(text, "Name")) % 2 == 0}
    assert len(rows(tmp_path / "retrieved.jsonl")) == len(profiles)


def test_where_a_text_is_required_characters_without_one_are_set_aside(tmp_path: Path) -> None:
    code = "import sys; name = sys.stdin.read().strip(); print(f'Seen: {name}') if len(name) % 2 else sys.exit(1)"
    changes = {"retrieval": {"command": program(tmp_path, code), "required": True}}
    with serve(scripted) as server:
        builder(server.url, tmp_path, {"train": 8}, **changes).run()
        asked = asked_by_step(server)
    aside = rows(tmp_path / "set_aside.jsonl")
    assert aside
    assert {(row["step"], row["reason"]) for row in aside} == {("retrieval", "the command ended with exit code 1")}
    assert asked["profiles"] + len(aside) == len(rows(tmp_path / "retrieved.jsonl"))
