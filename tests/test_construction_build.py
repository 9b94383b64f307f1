"""A benchmark of shifts is built from nothing, through faults, kills and limits, and loads without a fault."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from construction_helpers import (
    CAN_IDENTIFY,
    SIXTY,
    asked_by_step,
    builder,
    content,
    digest,
    is_repair,
    question,
    rows,
    scripted,
    settings,
    step_of,
    with_faults,
    write,
)
from endpoint_helpers import Asked, Interrupting, Reply, answer, serve

from benchmark import Benchmark, RunFailure, load_benchmark
from benchmark.construction import PHASES, BuildSettings
from benchmark.construction.report import shortages
from benchmark.subsets import SUBSET_KEYS

KEY = "sk-very-secret-0123456789"
SMALL = {"train": 5, "id": 3, "german": 1, "gaming": 1, "turn_level": 1, "word_level": 1}
ROOT = Path(__file__).parent.parent
SCRIPT = """
import json, sys
from pathlib import Path
from benchmark.construction import Builder, BuildSettings
Builder(BuildSettings.model_validate(json.loads(sys.argv[1])), Path(sys.argv[2])).run()
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def sizes(benchmark: Benchmark) -> dict[str, int]:
    return {"train": len(benchmark.train)} | {key: len(group) for key, group in benchmark.test.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a benchmark of sixty samples whose model had all kinds of faults."""
    folder = tmp_path_factory.mktemp("built")
    phases: list[str] = []
    with serve(with_faults) as server:
        builder(server.url, folder, prices={"prompt": 1, "completion": 10}).run(tell=phases.append)
        (folder / "asked.json").write_text(json.dumps(asked_by_step(server)))
    assert phases == list(PHASES)
    return folder


# ---- the whole ----


@pytest.mark.slow
def test_sixty_samples_over_all_splits_are_built_in_spite_of_faults_and_load(built: Path) -> None:
    benchmark = load_benchmark(built / "benchmark.json")
    assert sum(SIXTY.values()) == 60
    assert sizes(benchmark) == SIXTY
    assert list(benchmark.test) == list(SUBSET_KEYS)
    assert benchmark.unused_fields == {}
    assert json.loads((built / "report.json").read_text())["content_hash"] == benchmark.content_hash


def test_what_was_given_up_is_listed_with_its_reason_and_replaced(built: Path) -> None:
    aside = rows(built / "set_aside.jsonl")
    report = json.loads((built / "report.json").read_text())
    assert len(aside) >= 3
    assert {row["step"] for row in aside} >= {"dialogues"}
    assert all(row["reason"] and row["item"] for row in aside)
    assert sum(row["items"] for row in report["set_aside"]) == len(aside)
    assert [row["subset"] for row in report["counts"] if row["made"] != row["wanted"]] == []


def test_fictional_characters_are_tagged_as_in_rpgbench_and_real_people_carry_the_rest(built: Path) -> None:
    splits = json.loads((built / "benchmark.json").read_text("utf-8"))
    assert {row["subset_tag"] for row in splits["OOD2Test"]} == {
        f"{domain}-Fictional" for domain in ("Literature", "Film & Television", "Theater", "Gaming")
    }
    assert {row["agent_character"]["character_domain"] for split in ("IDTrain", "IDTest") for row in splits[split]} == {
        "History",
        "Science",
        "Arts",
        "Sports",
    }
    assert [row["sample_ID"] for row in splits["IDTrain"]] == [f"IDTrain-{number}" for number in range(1, 21)]


def test_composed_samples_name_their_sources_and_rest_on_the_test(built: Path) -> None:
    benchmark = load_benchmark(built / "benchmark.json")
    test = {sample.sample_id for sample in benchmark.test["id"]}
    assert [len(s.source_sample_ids) for s in benchmark.test["turn_level"]] == [2] * 4
    assert [len(s.source_sample_ids) for s in benchmark.test["word_level"]] == [1] * 4
    composed = [*benchmark.test["turn_level"], *benchmark.test["word_level"]]
    assert [s.sample_id for s in composed if not test & set(s.source_sample_ids)] == []
    assert {len(s.turns) + 1 for s in benchmark.test["turn_level"]} == {8}


def test_the_cost_of_each_step_is_the_sum_over_its_answers(built: Path) -> None:
    report = json.loads((built / "report.json").read_text())
    spent = {row["step"]: row for row in report["spent"]}
    for path in (built / "answers").glob("*.jsonl"):
        kept, row = rows(path), spent[path.stem]
        assert (row["answers"], row["repairs"]) == (len(kept), sum(one["attempt"] == 2 for one in kept))
        assert (row["prompt_tokens"], row["completion_tokens"]) == (7 * len(kept), 3 * len(kept))
        assert row["money"] == pytest.approx((7 * 1 + 3 * 10) * len(kept) / 1e6)
    assert spent["all steps"]["answers"] == sum(row["answers"] for row in report["spent"][:-1])
    assert spent["all steps"]["repairs"] >= 5
    assert "all steps" in (built / "report.md").read_text()


def test_every_sample_is_traced_to_its_answers(built: Path) -> None:
    made = {row["sample_ID"]: row["answers"] for row in rows(built / "provenance.jsonl")}
    asked = {row["item"] for path in (built / "answers").glob("*.jsonl") for row in rows(path)}
    assert list(made) == [s.sample_id for s in load_benchmark(built / "benchmark.json")]
    assert set(made.values()) <= asked


def test_the_same_call_again_asks_nothing_and_changes_nothing(built: Path) -> None:
    before = (built / "benchmark.json").read_bytes(), (built / "set_aside.jsonl").read_bytes()
    with serve(with_faults) as server:
        report = builder(server.url, built, prices={"prompt": 1, "completion": 10}).run().report
        assert server.asked == []
    assert ((built / "benchmark.json").read_bytes(), (built / "set_aside.jsonl").read_bytes()) == before
    assert report == json.loads((built / "report.json").read_text())


@pytest.mark.skipif(not CAN_IDENTIFY, reason="py3langid is not installed")
def test_texts_in_the_wrong_language_are_repaired_or_replaced(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        """Write the Spanish portraits in German, at first; the German dialogue of some prompts always in English."""
        made = content(asked)
        if step_of(asked) == "expansions" and "in Spanish" in question(asked) and not is_repair(asked):
            made["values"] = write("German", question(asked))
        if step_of(asked) == "dialogues" and "in German" in question(asked) and digest(question(asked)) % 2:
            made["rounds"][2]["agent_response"] = write("English", question(asked))
        return answer(json.dumps(made))

    counts = {"german": 3, "spanish": 1}
    with serve(script) as server:
        report = builder(server.url, tmp_path, counts).run().report
        repairs = [asked for asked in server.asked if is_repair(asked)]
    assert not shortages(report)
    assert any("values is not in Spanish but looks like 'de'" in asked.text for asked in repairs)
    aside = rows(tmp_path / "set_aside.jsonl")
    assert {row["reason"] for row in aside} == {"agent_response 3 is not in German but looks like 'en'"}


# ---- stopped and gone on with ----


@pytest.mark.parametrize("at", [9, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 20))])
def test_an_interrupted_build_loses_nothing_that_came_and_ends_the_same(tmp_path: Path, at: int) -> None:
    with serve(scripted) as server:
        builder(server.url, tmp_path / "straight", SMALL).run()
        straight = {asked.text for asked in server.asked}
        begun = len(server.asked)
        with pytest.raises(KeyboardInterrupt):
            builder(server.url, tmp_path / "cut", SMALL).run(progress=Interrupting(at))
        time.sleep(0.2)
        interrupted = {asked.text for asked in server.asked[begun:]}
        begun = len(server.asked)
        kept = sum(len(rows(path)) for path in (tmp_path / "cut/answers").glob("*.jsonl"))
        builder(server.url, tmp_path / "cut", SMALL).run()
        finished = {asked.text for asked in server.asked[begun:]}
    assert at <= kept <= len(interrupted) <= kept + 4
    assert kept + len(finished) == len(straight)
    for name in ("benchmark.json", "provenance.jsonl", "report.json", "set_aside.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@pytest.mark.slow
def test_a_killed_build_goes_on_and_each_kill_costs_the_items_in_hand(tmp_path: Path) -> None:
    def slowly(asked: Asked) -> Reply:
        return Reply(body=scripted(asked).body, seconds=0.02)

    with serve(slowly) as server:
        builder(server.url, tmp_path / "straight", SMALL).run()
        straight = len(server.asked)
        for more in (3, 8, 9):
            before = len(server.asked)
            process = start(settings(server.url, SMALL), tmp_path / "killed")
            wait_until(lambda: len(server.asked) >= before + more)  # noqa: B023 - called before the next turn
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.1)
        process = start(settings(server.url, SMALL), tmp_path / "killed")
        assert process.wait(timeout=60) == 0
        again = len(server.asked) - straight
    assert straight <= again <= straight + 3 * 4
    assert (tmp_path / "killed/benchmark.json").read_bytes() == (tmp_path / "straight/benchmark.json").read_bytes()


def start(chosen: BuildSettings, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SCRIPT, chosen.model_dump_json(), str(folder)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_two_builds_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    meeting: list[str] = []

    def second(phase: str) -> None:
        with pytest.raises(RunFailure, match="is in use by process") as caught:
            builder(server.url, tmp_path, {"train": 2}).run()
        meeting.append(str(caught.value))

    with serve(scripted) as server:
        builder(server.url, tmp_path, {"train": 2}).run(tell=second)
    assert len(meeting) == len(PHASES)


# ---- limits ----


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ({"tokens": 9000}, r"the limit of 9000 tokens is reached: \d+ are spent, and .* may take \d+ tokens"),
        ({"money": 0.02}, r"the limit of 0\.02 in money is reached: 0\.\d+ is spent"),
    ],
)
@pytest.mark.slow
def test_no_request_is_sent_that_could_exceed_a_limit(tmp_path: Path, limits: dict[str, Any], shown: str) -> None:
    changes: dict[str, Any] = {"prices": {"prompt": 2, "completion": 2}, "endpoint": {"max_tokens": 100}}
    with serve(dear) as server:
        build = builder(server.url, tmp_path, SMALL, limits=limits, **changes)
        with pytest.raises(RunFailure, match=f"{shown}.*raise the limit, and the same command goes on"):
            build.run()
        stopped = len(server.asked)
        spent = sum(one["prompt_tokens"] + one["completion_tokens"] for one in all_answers(tmp_path))
        assert 0 < spent <= limits.get("tokens", 10000)
        assert len(all_answers(tmp_path)) == stopped
        assert f"| {stopped} |" in " ".join(build.spending().splitlines()[-1].split())
        builder(server.url, tmp_path, SMALL, limits={"tokens": 10**7}, **changes).run()
    assert len(server.asked) == len(all_answers(tmp_path))


def dear(asked: Asked) -> Reply:
    """Answer with the tokens that each request really might cost at most: a byte each, and the whole limit."""
    body = json.loads(scripted(asked).body)
    size = len(json.dumps(asked.body, ensure_ascii=False).encode())
    return Reply(body=json.dumps({**body, "usage": {"prompt_tokens": size, "completion_tokens": 100}}))


def all_answers(folder: Path) -> list[dict[str, Any]]:
    return [row for path in (folder / "answers").glob("*.jsonl") for row in rows(path)]


def test_a_limit_cannot_be_kept_where_the_endpoint_counts_no_tokens(tmp_path: Path) -> None:
    def uncounted(asked: Asked) -> Reply:
        return Reply(body=json.dumps({**json.loads(scripted(asked).body), "usage": None}))

    with serve(uncounted) as server:
        with pytest.raises(RunFailure, match="no token usage is reported for characters, so no limit can be kept"):
            builder(server.url, tmp_path, SMALL, limits={"tokens": 10**9}).run()
        report = builder(server.url, tmp_path, SMALL, prices={"prompt": 1, "completion": 1}).run().report
    total = report["spent"][-1]
    assert (total["unmeasured"], total["prompt_tokens"], total["money"]) == (total["answers"], 0, None)


def test_requests_keep_the_pace(tmp_path: Path) -> None:
    moments: list[float] = []

    def script(asked: Asked) -> Reply:
        moments.append(time.monotonic())
        return scripted(asked)

    with serve(script) as server:
        builder(server.url, tmp_path, {"train": 2}, requests_a_minute=600).run()
    gaps = [later - sooner for sooner, later in zip(sorted(moments), sorted(moments)[1:], strict=False)]
    assert len(moments) >= 5
    assert sum(gaps) >= 0.1 * len(gaps) - 0.05


# ---- what else may not happen ----


@pytest.mark.slow
def test_a_model_that_never_answers_well_stops_the_build_and_a_better_one_goes_on(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return answer("{}") if step_of(asked) == "kinds" else scripted(asked)

    with serve(script) as server:
        wanted = "3 items of the step 'kinds' were set aside one after another, the last because: it holds no complete"
        with pytest.raises(RunFailure, match=wanted):
            builder(server.url, tmp_path, SIXTY, give_up_after=3).run()
        assert asked_by_step(server)["kinds"] <= 80
    assert len(rows(tmp_path / "set_aside.jsonl")) == 3
    with serve(scripted) as server:
        assert not shortages(builder(server.url, tmp_path, SIXTY, endpoint={"model": "better"}).run().report)


def test_seeds_that_are_used_up_leave_a_benchmark_that_says_what_is_missing(tmp_path: Path) -> None:
    personas = tmp_path / "personas.jsonl"
    personas.write_text('{"persona": "I bake bread for a small town and I sleep badly."}\n')
    with serve(scripted) as server:
        report = (
            builder(server.url, tmp_path, {"train": 30, "gaming": 2}, rounds=2, seeds={"personas": personas})
            .run()
            .report
        )
    assert shortages(report) == {"train": (16, 30)}
    assert sizes(load_benchmark(tmp_path / "benchmark.json")) == {"train": 16, "gaming": 2}


def test_a_model_that_repeats_itself_is_found_out(tmp_path: Path) -> None:
    same = {"rounds": [{"user_query": f"{n} what shall I do today?", "agent_response": "Rest."} for n in range(4)]}

    def script(asked: Asked) -> Reply:
        return answer(json.dumps(same)) if step_of(asked) == "dialogues" else scripted(asked)

    personas = tmp_path / "personas.jsonl"
    personas.write_text('{"persona": "I bake bread for a small town and I sleep badly."}\n')
    with serve(script) as server:
        made = builder(
            server.url, tmp_path, {"train": 4}, rounds=1, seeds={"personas": personas}, checks={"languages": False}
        )
        assert shortages(made.run().report) == {"train": (1, 4)}
    reasons = {row["reason"] for row in rows(tmp_path / "set_aside.jsonl")}
    assert len(reasons) == 1
    assert "its golden response shares 100% of its runs of words with that of id: persona-1" in reasons.pop()


@pytest.mark.parametrize("supported", [True, False])
def test_the_schema_of_each_step_is_sent_where_the_endpoint_takes_one(tmp_path: Path, supported: bool) -> None:
    with serve(scripted) as server:
        builder(server.url, tmp_path, SMALL, endpoint={"json_schema": supported}).run()
    for asked in server.asked:
        if not supported:
            assert "response_format" not in asked.body
            continue
        schema = asked.body["response_format"]["json_schema"]
        assert schema["name"] == step_of(asked)
        assert schema["strict"] is True
        assert schema["schema"]["additionalProperties"] is False
        assert set(schema["schema"]["required"]) == set(content(asked))


def test_the_key_stands_in_no_file_even_if_the_model_repeats_it(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        assert asked.headers["Authorization"] == f"Bearer {KEY}"
        made = content(asked)
        if step_of(asked) == "profiles":
            made["character_source"] = f"as told by {KEY}"
        return answer(json.dumps(made)) if digest(question(asked)) % 9 else answer(f"No: {KEY}")

    with serve(script) as server:
        builder(server.url, tmp_path, SMALL).run()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 12
    assert [path for path in files if KEY[:8].encode() in path.read_bytes()] == []
    assert "as told by [key]" in (tmp_path / "answers/profiles.jsonl").read_text()
