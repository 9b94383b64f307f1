"""Half of a character, which JSON can spell and no file can hold, is refused where it is read or shown by its name."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import MadeRun, make_run
from test_command_line import invoke

from benchmark import Benchmark, RunFailure, UserMistakes, load_benchmark
from benchmark.errors import Mistake
from benchmark.loading import benchmark_files
from benchmark.run_store import write_text
from recipes.judging import prepare_judging
from recipes.yaml_origins import parse_yaml, read_traced
from reports.report import write_report

HALF = "\ud800"
SAID = "holds half of a character (a lone surrogate)"
Row = dict[str, Any]


# ---- benchmarks ----


@pytest.mark.parametrize(
    ("where", "damage"),
    [
        ("user_persona", lambda row: row.update(user_persona=f"I am{HALF}.")),
        ("sample_ID", lambda row: row.update(sample_ID=f"a{HALF}")),
        ("agent_golden_response", lambda row: row.update(agent_golden_response=HALF)),
        ("agent_character.character_name", lambda row: row["agent_character"].update(character_name=HALF)),
        ("dialogue_context[0].user_query", lambda row: row["dialogue_context"][0].update(user_query=f"So{HALF}?")),
        ("source_sample_IDs", lambda row: row.update(source_sample_IDs=[f"b{HALF}"])),
        ("a field's name", lambda row: row.update({f"more{HALF}": 1})),
    ],
)
def test_a_benchmark_with_one_is_refused_with_the_field(
    tmp_path: Path, where: str, damage: Callable[[Row], None]
) -> None:
    (source,) = benchmark_files("mini")
    row = json.loads(source.read_text("utf-8"))["IDTest"][0]
    damage(row)
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps({"IDTest": [row]}))
    with pytest.raises(UserMistakes) as caught:
        load_benchmark(path)
    (mistake,) = caught.value.mistakes
    assert f": {where}: {SAID}" in str(mistake)
    shown = subprocess.run(
        [sys.executable, "-c", "from recipes.cli import main; main()", "benchmark", "validate", str(path)],
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stderr.count("Traceback")) == (2, 0)
    assert f"{where}: {SAID}" in shown.stderr


# ---- configurations ----


def test_a_pair_written_as_json_does_is_one_character_in_yaml_too() -> None:
    assert parse_yaml(json.dumps({"name": "😀", "more": ["a", 1, None, 1e-4]})) == {
        "name": "😀",
        "more": ["a", 1, None, 1e-4],
    }
    with pytest.raises(yaml.MarkedYAMLError, match="half of a character"):
        parse_yaml(r'"\ude00\ud83d"')


def test_a_configuration_with_one_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text('kind: method\nbase_model: "\\ud800"\n')
    mistakes: list[Mistake] = []
    read_traced(path, mistakes)
    assert [str(mistake) for mistake in mistakes] == [f"{path}:2: is not valid YAML: {SAID}"]


def test_a_name_on_the_command_line_that_is_no_text_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "benchmark", "stats", "caf\udce9.json") == 2
    assert r"'caf\udce9.json': is no text in UTF-8; rename it" in capsys.readouterr().err


def test_what_cannot_be_written_is_a_failure_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=rf"cannot write .*table\.md: its text {re.escape(SAID)}: 'a name\\ud800'"):
        write_text(tmp_path / "table.md", f"a name{HALF}")
    assert list(tmp_path.iterdir()) == []


# ---- runs ----


@pytest.fixture
def run(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini, methods=("icl", "sft"), subsets=("id", "korean"), judges=True))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change what a JSON or JSON-lines file holds, half characters spelled out."""
    if path.suffix == ".json":
        content = json.loads(path.read_text("utf-8"))
        change(content)
        path.write_text(json.dumps(content))
        return
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("responses/sft.jsonl", lambda row: row.update(response=f"Well{HALF}")),
        ("samples.jsonl", lambda row: row.update(user_persona=f"I am{HALF}.")),
    ],
)
def test_judges_are_not_asked_about_a_run_with_one(run: Path, name: str, change: Callable[[Row], None]) -> None:
    edit(run / name, change)
    (run / "scores" / "judges.json").unlink()
    config = run.parent / "judges.yaml"
    config.write_text("endpoints: [{model: a, base_url: 'http://localhost:9/v1'}]\n")
    with pytest.raises(UserMistakes) as caught:
        prepare_judging(run, config)
    assert [str(mistake).partition("; ")[0] for mistake in caught.value.mistakes] == [f"{run / name}: {SAID}"]


@pytest.mark.slow
def test_a_report_of_a_run_with_them_everywhere_is_made_and_names_them(run: Path) -> None:
    base, method = f"smol{HALF}", f"icl{HALF}"
    for path in (run / "manifest.json", *(run / "scores").iterdir()):
        renamed = path.read_text("utf-8").replace("smollm2-135m", r"smol\ud800").replace('"icl"', r'"icl\ud800"')
        path.write_text(renamed, "utf-8")
    edit(run / "manifest.json", lambda m: m.update(device=HALF, command=HALF, caution=HALF))
    edit(run / "manifest.json", lambda m: m["methods"]["sft"].update(label=f"SFT{HALF}"))
    edit(run / "samples.jsonl", lambda row: row.update(user_persona=HALF))
    for name in ("responses/sft.jsonl", "reasoning.jsonl"):
        edit(run / name, lambda row: row.update(response=HALF, reasoning=HALF))
    edit(run / "scores" / "judges.json", lambda rows: [row.update(judge=f"j{HALF}") for row in rows])
    written = write_report(run, published=True)
    assert len(written) > 20
    named = {name: name.replace(HALF, "<U+D800>") for name in (base, method)}
    for name in ("tables/table20.csv", "figures/remi_by_subset.csv"):
        with (run / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["base_model"] for row in rows} == {named[base]}
        assert {row["method"] for row in rows} == {named[method], "sft"}
    assert r"SFT\<U+D800>" in (run / "tables" / "table20.md").read_text("utf-8")
    assert r"SFT\textless{}U+D800\textgreater{}" in (run / "tables" / "table20.tex").read_text("utf-8")
