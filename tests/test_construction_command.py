"""`benchmark build`: its configuration with every mistake listed, its seeds, and what it shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from construction_helpers import CAN_IDENTIFY, scripted
from endpoint_helpers import Asked, Reply, answer, serve
from typer.testing import CliRunner, Result

from benchmark import RunFailure, UserMistakes, load_benchmark
from benchmark.construction import PHASES, BuildSettings
from benchmark.construction.languages import LanguageCheck, identifier
from benchmark.construction.seed_texts import Seeds, read_seeds
from benchmark.construction.settings import SeedFiles
from benchmark.errors import Mistake
from recipes.cli.build_command import build, prepare_build

COUNTS = {"train": 3, "id": 1, "word_level": 1}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def config(folder: Path, text: str = "", **values: Any) -> Path:  # noqa: ANN401
    """Write a configuration."""
    path = folder / "build.yaml"
    checks = {"languages": CAN_IDENTIFY, **values.pop("checks", {})}
    path.write_text(text or yaml.safe_dump({"counts": COUNTS, "checks": checks, **values}))
    return path


def mistakes(path: Path, out: Path) -> list[str]:
    with pytest.raises(UserMistakes) as caught:
        prepare_build(path, out)
    return [str(mistake).replace(str(path), "build.yaml") for mistake in caught.value.mistakes]


def run(path: Path, out: Path) -> Result:
    app = typer.Typer()
    app.command()(build)
    return CliRunner().invoke(app, [str(path), "--out", str(out)])


# ---- mistakes ----


def test_all_mistakes_of_a_configuration_and_of_what_it_names_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"persona": "I bake bread."}\n{"person": "b"}\nnonsense\n{"persona": " "}\n')
    text = """endpoint: {model: a, base_url: https://models.example/v1, temprature: 1}
counts: {train: 5, germn: 2, film: -1}
seeds: {personas: mine.jsonl, contexts: none.jsonl}
retrieval: {command: [no-such-program]}
checks: {languages: false}
"""
    found = mistakes(config(tmp_path, text), tmp_path / "out")
    wanted = [
        "build.yaml:1: endpoint.temprature: unknown key; did you mean 'temperature'?",
        "build.yaml:2: counts.germn: unknown key; did you mean 'german'?",
        "build.yaml:2: counts.film: input should be greater than or equal to 0 (it is -1)",
        "mine.jsonl:2: persona: field required",
        "mine.jsonl:2: person: extra inputs are not permitted; fields: persona, history",
        "mine.jsonl:3: is not valid JSON",
        "mine.jsonl:4: persona: string should have at least 1 character",
        "none.jsonl: cannot be read",
        "retrieval.command: no-such-program: there is no such program; give its path",
    ]
    missing = [part for part in wanted if not any(part in line for line in found)]
    assert (missing, len(found)) == ([], len(wanted))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "endpoint: is missing"),
        ({"endpoint": {"model": "a"}, "counts": {}}, "all counts are 0"),
        ({"endpoint": {"model": "a"}, "counts": {"id": 1, "turn_level": 2}}, "turn_level is 2, but composed dialogues"),
        ({"endpoint": {"model": "a"}, "counts": {"word_level": 1}}, "word_level is 1, but composed dialogues"),
        (
            {"endpoint": {"model": "a"}, "counts": {"id": 1, "turn_level": 1}, "dialogues_per_pair": 1},
            "counts.turn_level needs dialogues_per_pair of 2 or more",
        ),
        ({"endpoint": {"model": "a"}, "limits": {"money": 1}}, "limits.money needs prices"),
        ({"endpoint": {"model": "a"}, "limits": {"tokens": 0}}, "greater than or equal to 1"),
        ({"endpoint": {"model": "a"}, "requests_a_minute": 0}, "greater than 0"),
        ({"endpoint": {"model": "a"}, "retrieval": {"required": True}}, "name either a file or a command"),
        ({"endpoint": {"model": "a"}, "retrieval": {"command": []}}, "at least 1 item"),
        ({"endpoint": {"model": "a"}, "real_domains": {"Gaming": "x"}}, "real_domains may not hold Gaming"),
        (
            {"endpoint": {"model": "a", "json_schema": True, "extra_body": {"response_format": {}}}},
            "extra_body may not hold response_format",
        ),
        ({"endpoint": {"model": "a", "base_url": "http://models.example/v1"}}, "or set insecure: true"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(tmp_path: Path, values: dict[str, Any], fault: str) -> None:
    assert any(fault in line for line in mistakes(config(tmp_path, **values), tmp_path / "out"))


def test_a_file_that_is_no_configuration_is_a_mistake(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(tmp_path / "none.yaml", tmp_path)[0]
    assert "is not valid YAML" in mistakes(config(tmp_path, "endpoint: [a"), tmp_path)[0]
    assert "the key 'counts' stands twice" in mistakes(config(tmp_path, "counts: {}\ncounts: {}"), tmp_path)[0]


def test_the_environment_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.example/v1")
    path = config(tmp_path, endpoint={"model": "a"})
    assert mistakes(path, tmp_path)[0].startswith("environment variable OPENAI_BASE_URL: would send key and texts")


def test_seeds_in_another_language_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    (tmp_path / "mine.jsonl").write_text('{"persona": "Ich backe Brot und schlafe schlecht, seit ich denken kann."}\n')
    path = config(
        tmp_path, endpoint={"model": "a", "base_url": "http://localhost/v1"}, seeds={"personas": "mine.jsonl"}
    )
    assert mistakes(path, tmp_path) == [
        "seeds.personas: persona-1: it is not in English but looks like 'de'; "
        "write it in English, or set checks.languages: false"
    ]


# ---- the page about building ----


def page_examples() -> list[dict[str, Any]]:
    page = (Path(__file__).parent.parent / "docs" / "benchmark.md").read_text("utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]


def test_the_page_s_first_configuration_is_one() -> None:
    first = BuildSettings.model_validate(page_examples()[0])
    assert first.counts.of(("train", "id", "german")) == {"train": 20, "id": 8, "german": 4}
    assert first.limits.money == 0.5


def test_the_page_has_all_settings_with_their_defaults() -> None:
    _, every = page_examples()
    free = {"counts", "real_domains"}
    least = BuildSettings.model_validate({"endpoint": {"model": "my-model"}, "counts": every["counts"]})
    assert BuildSettings.model_validate(every).model_dump(exclude=free) == least.model_dump(exclude=free)
    assert set(every) == set(BuildSettings.model_fields)
    for name in ("endpoint", "counts", "limits", "seeds", "checks"):
        assert set(every[name]) == set(type(getattr(least, name)).model_fields), name


# ---- seeds ----


def bundled() -> Seeds:
    found: list[Mistake] = []
    seeds = read_seeds(SeedFiles(), found)
    assert found == []
    return seeds


def test_the_bundled_seeds_are_many_short_english_and_all_different() -> None:
    seeds = bundled()
    assert (len(seeds.personas), len(seeds.contexts)) == (40, 30)
    texts = [seed.persona for seed in seeds.personas.values()] + list(seeds.contexts.values())
    assert len(set(texts)) == 70
    assert [text for text in texts if not 10 <= len(text.split()) <= 45] == []
    assert [text for text in seeds.contexts.values() if [line[:3] for line in text.split("\n")] != ["A: ", "B: "]] == []


def test_the_bundled_seeds_pass_the_language_check() -> None:
    pytest.importorskip("py3langid")
    seeds, check = bundled(), LanguageCheck(identifier())
    texts = [(name, seed.persona) for name, seed in seeds.personas.items()] + list(seeds.contexts.items())
    assert check.fault(texts, "English") is None
    assert check.judged == 70


def test_seeds_keep_their_names_when_others_are_added_and_doubles_are_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "contexts.jsonl"
    path.write_text('{"context": "A: Hm?"}\n\n{"context": "A: So?"}\n')
    found: list[Mistake] = []
    assert read_seeds(SeedFiles(contexts=path), found).contexts == {"context-1": "A: Hm?", "context-3": "A: So?"}
    path.write_text('{"context": "A: Hm?"}\n{"context": "A: Hm? "}\n')
    read_seeds(SeedFiles(contexts=path), found)
    assert [str(mistake) for mistake in found] == [f"{path}:2: is the same as line 1; remove one"]
    path.write_text("\n")
    read_seeds(SeedFiles(contexts=path), found)
    assert str(found[-1]) == f"{path}: holds no seeds; write a line with context"


def test_relative_paths_are_those_of_the_configuration(tmp_path: Path) -> None:
    endpoint = {"model": "a", "base_url": "https://models.example/v1?token=hidden"}
    chosen = BuildSettings.model_validate({"endpoint": endpoint, "counts": COUNTS})
    moved = chosen.model_copy(update={"seeds": SeedFiles(personas=Path("a.jsonl"))}).beside(tmp_path)
    assert (moved.seeds.personas, moved.seeds.contexts) == (tmp_path / "a.jsonl", None)
    assert chosen.counts.of(("id", "german", "train")) == {"id": 1, "train": 3}


# ---- the command ----


def test_the_command_builds_shows_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("".join(f'{{"persona": "I bake bread number {n}."}}\n' for n in range(4)))
    with serve(scripted) as server:
        endpoint = {"model": "scribe", "base_url": f"{server.url}?token=hidden"}
        path = config(
            tmp_path, endpoint=endpoint, seeds={"personas": "mine.jsonl"}, prices={"prompt": 1, "completion": 1}
        )
        shown = run(path, tmp_path / "out")
        assert shown.exit_code == 0, shown.output
        asked = len(server.asked)
        assert run(path, tmp_path / "out").exit_code == 0
        assert len(server.asked) == asked
    assert [line.split()[1] for line in shown.output.splitlines() if line.startswith("finished")] == list(PHASES)
    for part in ("| all steps", "| train", "Nothing.", str(tmp_path / "out/benchmark.json")):
        assert part in shown.output
    benchmark = load_benchmark(tmp_path / "out/benchmark.json")
    assert {key: len(group) for key, group in benchmark.test.items()} == {"id": 1, "word_level": 1}
    report = (tmp_path / "out/report.json").read_text()
    assert json.loads(report)["settings"]["counts"]["train"] == 3
    assert "hidden" not in report


def test_a_run_that_stops_shows_what_it_has_spent(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Reply:
        return answer("{}") if "real or fictional" in asked.body["messages"][0]["content"] else scripted(asked)

    with serve(reply) as server:
        path = config(tmp_path, endpoint={"model": "a", "base_url": server.url}, give_up_after=1)
        stopped = run(path, tmp_path / "out")
    assert isinstance(stopped.exception, RunFailure)
    assert "spent so far:" in stopped.output
    assert "| profiles" in stopped.output


def test_seeds_that_do_not_suffice_end_the_command_as_a_failure_with_the_counts(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"persona": "I bake bread for a small town."}\n')
    with serve(scripted) as server:
        path = config(
            tmp_path,
            endpoint={"model": "a", "base_url": server.url},
            seeds={"personas": "mine.jsonl"},
            counts={"train": 100},
            rounds=1,
        )
        stopped = run(path, tmp_path / "out")
    assert isinstance(stopped.exception, RunFailure)
    assert "train 8 of 100" in str(stopped.exception)
    assert len(load_benchmark(tmp_path / "out/benchmark.json").train) == 8
