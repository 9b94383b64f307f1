"""A real model behind vLLM's server writes a benchmark and judges a run: the mechanics hold whatever it answers.

The model is far too small for either task. What is asserted: every item is made or set aside with its reason, tokens
are those that the server counts itself, and nothing is asked twice. `make test-vllm` runs these.
"""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from construction_helpers import rows
from made_run import MadeRun, make_run
from test_command_line import invoke
from test_vllm_serving import vllm_serve

from benchmark import Benchmark, load_benchmark
from benchmark.construction.report import STEPS
from scoring.models.resolver import locate_model

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here: make test-vllm runs these"),
]
PERSONAS = ("I bake bread for a small town and I sleep badly.", "I repair old clocks and I would like to travel.")
COUNTS = {"train": 2, "id": 1, "german": 1, "turn_level": 1, "word_level": 1}


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str

    def spent(self) -> tuple[int, int, int]:
        """Return the requests that it has finished, and the tokens of their prompts and answers, by its own count."""
        page = httpx.get(f"{self.url.removesuffix('/v1')}/metrics", timeout=30).text
        return (
            _total(page, "request_success_total"),
            _total(page, "prompt_tokens_total"),
            _total(page, "generation_tokens_total"),
        )


def _total(page: str, name: str) -> int:
    found = re.findall(rf"^vllm:{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    assert found, f"the server says nothing of {name}"
    return round(sum(map(float, found)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model, log = locate_model("smollm2-135m").folder, tmp_path_factory.mktemp("server") / "server.log"
    with vllm_serve(model, log) as url:
        yield Server(url)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def kept_answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of a build by step."""
    return {path.stem: rows(path) for path in sorted((folder / "answers").glob("*.jsonl"))}


def difference(after: tuple[int, int, int], before: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(after, before, strict=True))


@pytest.mark.parametrize("json_schema", [True, False])
def test_every_item_of_a_build_is_made_or_set_aside_and_nothing_is_asked_twice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json_schema: bool
) -> None:
    (tmp_path / "personas.jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in PERSONAS))
    endpoint = {"model": "smol", "base_url": server.url, "max_tokens": 300, "json_schema": json_schema, "attempts": 1}
    content = {
        "endpoint": endpoint,
        "counts": COUNTS,
        "seeds": {"personas": "personas.jsonl"},
        "real_domains": {"History": "people who really lived"},
        "rounds": 1,
        "give_up_after": 1000,
        "limits": {"tokens": 10**6},
        "prices": {"prompt": 1.0, "completion": 2.0},
    }
    (tmp_path / "build.yaml").write_text(yaml.safe_dump(content))
    command, out, before = (
        ("benchmark", "build", str(tmp_path / "build.yaml"), "--out"),
        tmp_path / "out",
        server.spent(),
    )

    assert invoke(monkeypatch, *command, str(out)) in (0, 1)
    answers, aside = kept_answers(out), rows(out / "set_aside.jsonl")
    every = [answer for of_step in answers.values() for answer in of_step]
    spent = difference(server.spent(), before)
    assert spent == (len(every), *(sum(a[name] for a in every) for name in ("prompt_tokens", "completion_tokens")))

    report = json.loads((out / "report.json").read_text("utf-8"))
    total = report["spent"][-1]
    assert (total["answers"], total["prompt_tokens"], total["completion_tokens"]) == spent
    assert total["money"] == pytest.approx((spent[1] + 2 * spent[2]) / 1e6)
    assert total["repairs"] == sum(answer["attempt"] == 2 for answer in every)
    assert all(row["reason"] and row["item"] for row in aside)
    assert {row["step"] for row in aside} <= {*(step.name for step in STEPS), "checks"}
    twice = {(step, a["item"]) for step, of_step in answers.items() for a in of_step if a["attempt"] == 2}
    given_up = {(row["step"], row["item"]) for row in aside}
    assert twice or not given_up, "an item is given up after its repair alone"
    made = load_benchmark(out / "benchmark.json")
    counts = {row["subset"]: (row["made"], row["wanted"]) for row in report["counts"]}
    assert {key: wanted for key, (_, wanted) in counts.items()} == COUNTS
    assert sum(number for number, _ in counts.values()) == sum(1 for _ in made)
    print(f"json_schema {json_schema}: {spent} requests and tokens, {len(aside)} set aside, made {counts}")

    invoke(monkeypatch, *command, str(out))
    assert kept_answers(out) == answers
    assert difference(server.spent(), before) == spent


def test_a_run_is_judged_or_says_why_not_and_nothing_is_asked_twice(
    server: Server, tmp_path: Path, mini: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", MadeRun(mini, methods=("icl", "sft"), subsets=("id", "korean"), samples=2))
    judge = {"model": "smol", "base_url": server.url, "max_tokens": 80, "attempts": 1}
    prices = {"prompt": 1.0, "completion": 2.0}
    config = {"endpoints": [{**judge, "prices": prices}], "limits": {"tokens": 10**6}, "resamples": 100}
    (tmp_path / "judges.yaml").write_text(yaml.safe_dump(config))
    command, before = ("judge", str(run), "--config", str(tmp_path / "judges.yaml")), server.spent()

    assert invoke(monkeypatch, *command) == 0
    answers = rows(run / "judging" / "answers.jsonl")
    spent = difference(server.spent(), before)
    assert spent == (len(answers), *(sum(a[name] for a in answers) for name in ("prompt_tokens", "completion_tokens")))
    report = json.loads((run / "scores" / "judge_report.json").read_text("utf-8"))
    (row,) = report["spending"]
    assert (row["answers"], row["prompt_tokens"], row["completion_tokens"]) == spent
    assert row["money"] == pytest.approx((spent[1] + 2 * spent[2]) / 1e6)

    scores = json.loads((run / "scores" / "judges.json").read_text("utf-8"))
    assert len(scores) == 2 * 2 * 2 * 2 * 2  # methods, subsets, samples, metrics; the judge and the ensemble
    assert all((score["value"] is None) == bool(score["reason"]) for score in scores)
    unscored = sum(score["value"] is None for score in scores)
    assert sum(one["count"] for one in report["unscored"]) == unscored
    print(f"{spent} requests and tokens; {len(scores) - unscored} of {len(scores)} scores have a value")

    assert invoke(monkeypatch, *command) == 0
    assert rows(run / "judging" / "answers.jsonl") == answers
    assert difference(server.spent(), before) == spent
