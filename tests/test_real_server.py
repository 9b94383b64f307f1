"""A real model behind vLLM's server writes a benchmark and judges a run: the mechanics hold whatever it answers.

The model is far too small for either task. What is asserted: every item is made or set aside with its reason, tokens
are those that the server counts itself, and nothing is asked twice. `make test-vllm` runs these.
"""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from construction_helpers import rows, scripted, step_of
from endpoint_helpers import Asked, Reply, serve
from made_run import MadeRun, make_run
from test_command_line import invoke

from benchmark import Benchmark, load_benchmark

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
def server(vllm_server: str) -> Server:
    return Server(vllm_server)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def kept_answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of a build by step."""
    return {path.stem: rows(path) for path in sorted((folder / "answers").glob("*.jsonl"))}


def cost(answers: list[dict[str, Any]]) -> tuple[int, ...]:
    """Return how many answers there are, and the tokens of their prompts and of themselves."""
    return len(answers), *(sum(a[name] for a in answers) for name in ("prompt_tokens", "completion_tokens"))


def difference(after: tuple[int, int, int], before: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(after, before, strict=True))


def config(folder: Path, url: str, *, json_schema: bool) -> Path:
    """Write the configuration of a small build at an endpoint; its place does not decide what is kept."""
    (folder / "personas.jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in PERSONAS))
    content = {
        "endpoint": {"model": "smol", "base_url": url, "max_tokens": 150, "json_schema": json_schema, "attempts": 1},
        "counts": COUNTS,
        "seeds": {"personas": "personas.jsonl"},
        "real_domains": {"History": "people who really lived"},
        "rounds": 1,
        "give_up_after": 1000,
        "limits": {"tokens": 10**6},
        "prices": {"prompt": 1.0, "completion": 2.0},
    }
    (folder / "build.yaml").write_text(yaml.safe_dump(content))
    return folder / "build.yaml"


def begin_by_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build up to the characters' descriptions at a server that answers these well and refuses all else."""

    def reply(asked: Asked) -> Reply:
        return scripted(asked) if step_of(asked) in ("characters", "profiles") else Reply(401)

    with serve(reply) as server:
        path = config(folder, server.url, json_schema=True)
        assert invoke(monkeypatch, "benchmark", "build", str(path), "--out", str(folder / "out")) == 1
    assert set(kept_answers(folder / "out")) == {"characters", "profiles"}


@pytest.mark.parametrize("begun", [False, True])
def test_every_item_of_a_build_is_made_or_set_aside_and_nothing_is_asked_twice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """From nothing, without schemas; and behind characters that a script has written, with schemas."""
    out = tmp_path / "out"
    if begun:
        begin_by_script(tmp_path, monkeypatch)
    path, earlier, before = config(tmp_path, server.url, json_schema=begun), kept_answers(out), server.spent()

    assert invoke(monkeypatch, "benchmark", "build", str(path), "--out", str(out)) in (0, 1)
    answers, aside = kept_answers(out), rows(out / "set_aside.jsonl")
    assert {step: answers[step] for step in earlier} == earlier
    spent = difference(server.spent(), before)
    assert spent == cost([a for step in answers if step not in earlier for a in answers[step]])

    report = json.loads((out / "report.json").read_text("utf-8"))
    every, total = [a for of_step in answers.values() for a in of_step], report["spent"][-1]
    assert (total["answers"], total["prompt_tokens"], total["completion_tokens"]) == cost(every)
    assert total["money"] == pytest.approx((total["prompt_tokens"] + 2 * total["completion_tokens"]) / 1e6)
    assert total["repairs"] == sum(answer["attempt"] == 2 for answer in every)
    made = load_benchmark(out / "benchmark.json")
    counts = {row["subset"]: row["made"] for row in report["counts"]}
    assert sum(counts.values()) == len(made.train) + sum(map(len, made.test.values()))
    assert aside or counts == COUNTS
    assert all(row["reason"] and row["item"] for row in aside)
    print(f"requests and tokens {spent}; made {counts}; set aside {[(row['step'], row['reason']) for row in aside]}")

    invoke(monkeypatch, "benchmark", "build", str(path), "--out", str(out))
    assert kept_answers(out) == answers
    assert difference(server.spent(), before) == spent


def test_a_run_is_judged_or_says_why_not_and_nothing_is_asked_twice(
    server: Server, tmp_path: Path, mini: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", MadeRun(mini, methods=("icl", "sft"), subsets=("id",), samples=1))
    judge = {"model": "smol", "base_url": server.url, "max_tokens": 80, "attempts": 1}
    prices = {"prompt": 1.0, "completion": 2.0}
    config = {"endpoints": [{**judge, "prices": prices}], "limits": {"tokens": 10**6}, "resamples": 100}
    (tmp_path / "judges.yaml").write_text(yaml.safe_dump(config))
    command, before = ("judge", str(run), "--config", str(tmp_path / "judges.yaml")), server.spent()

    assert invoke(monkeypatch, *command) == 0
    answers = rows(run / "judging" / "answers.jsonl")
    spent = difference(server.spent(), before)
    assert spent == cost(answers)
    report = json.loads((run / "scores" / "judge_report.json").read_text("utf-8"))
    (row,) = report["spending"]
    assert (row["answers"], row["prompt_tokens"], row["completion_tokens"]) == spent
    assert row["money"] == pytest.approx((spent[1] + 2 * spent[2]) / 1e6)

    scores = json.loads((run / "scores" / "judges.json").read_text("utf-8"))
    assert len(scores) == 2 * 2 * 2  # methods, metrics; the judge and the ensemble
    assert all((score["value"] is None) == bool(score["reason"]) for score in scores)
    unscored = sum(score["value"] is None for score in scores)
    assert sum(one["count"] for one in report["unscored"]) == unscored
    print(f"{spent} requests and tokens; {len(scores) - unscored} of {len(scores)} scores have a value")

    assert invoke(monkeypatch, *command) == 0
    assert rows(run / "judging" / "answers.jsonl") == answers
    assert difference(server.spent(), before) == spent
