"""The command line: exit codes, every mistake at once without a traceback, and what it shows."""

import json
import sys
from pathlib import Path

import pytest

from recipes.cli import main


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_list_shows_methods_recipes_and_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    for part in ("icl", "sft", "demo/icl", "demo/sft", "demo/estimator", "smollm2-135m", "minilm", "mini"):
        assert part in shown


def test_doctor_shows_versions_and_the_chosen_number_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "doctor") == 0
    shown = capsys.readouterr().out
    for part in ("torch", "transformers", "matrix product", "number format", "hub", "model cache"):
        assert part in shown


def test_stats_prints_the_papers_table_2_for_the_mini_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "benchmark", "stats", "mini") == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:5] == ["Split", "Type", "Total Samples", "User Personas", "Agent Characters"]
    assert [row[:3] for row in rows[2:7]] == [
        ["IDTrain", "Train", "48"],
        ["IDTest", "Test", "24"],
        ["User shift", "Test", "60"],
        ["Character shift", "Test", "48"],
        ["Dialogue shift", "Test", "24"],
    ]


def test_validate_says_that_there_are_no_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "benchmark", "validate", "mini") == 0
    assert "204 samples in 12 test subsets" in capsys.readouterr().out


def test_a_faulty_benchmark_exits_2_with_every_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"IDTrain": [{"sample_ID": "a"}, []]}))
    assert invoke(monkeypatch, "benchmark", "validate", str(path)) == 2
    shown = capsys.readouterr().err
    assert "IDTrain[0] (a): user_persona: is missing" in shown
    assert "IDTrain[1]: the row: is a list" in shown
    assert "mistakes to correct" in shown
    assert "Traceback" not in shown


def test_mistakes_in_recipes_exit_2_and_make_no_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = invoke(monkeypatch, "run", "demo/sft", "--set", "sead=1", "--set", "method=stf", "--out", str(out))
    assert code == 2
    assert "did you mean 'seed'?" in capsys.readouterr().err
    assert invoke(monkeypatch, "run", "demo/sft", "--set", "base_model=nothing", "--out", str(out)) == 2
    assert "no model 'nothing'" in capsys.readouterr().err
    assert not out.exists()


def test_estimator_base_writes_a_directory_and_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_model: Path
) -> None:
    assert invoke(monkeypatch, "estimator", "base", str(tiny_model), "--out", str(tmp_path / "e")) == 0
    assert "w/o Reasoning, format version 1" in capsys.readouterr().out.replace("\n", " ")
    assert (tmp_path / "e" / "estimator.json").is_file()
    assert invoke(monkeypatch, "estimator", "base", "nothing", "--out", str(tmp_path / "f")) == 2


def test_a_failed_run_exits_1_with_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = invoke(monkeypatch, "run", "demo/sft", "--out", str(blocked / "out"))
    assert code == 1
    assert capsys.readouterr().err.startswith("The run failed: cannot write")


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "compare",
        "plan",
        "doctor",
        "list",
        "benchmark stats",
        "benchmark validate",
        "estimator base",
        "estimator train",
        "estimator info",
    ],
)
def test_every_command_has_help_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert invoke(monkeypatch, *command.split(), "--help") == 0
    assert "Example: rpm-methods" in capsys.readouterr().out
