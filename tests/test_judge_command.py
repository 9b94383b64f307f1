"""`judge` on a run directory: what it writes, goes on from, refuses, and what it never writes down."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from endpoint_helpers import Asked, FakeServer, Reply, answer, serve
from judge_helpers import KEY, always_first, dear, prefers, verdict
from made_run import MadeRun, make_run

from benchmark import Benchmark, RunFailure, UserMistakes
from benchmark.progress import SilentProgress
from recipes.cli.judge_command import judge
from recipes.display import StageLines
from recipes.judging import ANSWERS, JUDGES, REPORT, JudgedRun, prepare_judging, read_judging_settings, run_judging
from reports.run_data import read_run

LIKES_LENGTH = prefers(len)
ROOT = Path(__file__).parent.parent
METHODS, SUBSETS = ("icl", "sft"), ("id", "korean")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("benchmark.endpoint_threads.LONGEST_PAUSE", 0.01)


@pytest.fixture
def run_dir(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini, methods=METHODS, subsets=SUBSETS))


def config(folder: Path, *servers: FakeServer, **more: object) -> Path:
    """Write a configuration of a judge at each server: j1, j2, …"""
    prices = {"prompt": 2.0, "completion": 8.0}
    judges = [
        {"name": f"j{k}", "model": "big", "base_url": server.url, "prices": prices, "attempts": 2}
        for k, server in enumerate(servers, start=1)
    ]
    path = folder / "judges.yaml"
    path.write_text(json.dumps({"endpoints": judges, "resamples": 100, **more}), encoding="utf-8")
    return path


def judged(run_dir: Path, path: Path, *overrides: str) -> JudgedRun:
    prepared = prepare_judging(run_dir, path, overrides)
    return run_judging(prepared, progress=SilentProgress(), observer=StageLines(lambda line: None))


def rows(run_dir: Path, **wanted: object) -> list[dict[str, Any]]:
    found = json.loads((run_dir / JUDGES).read_text(encoding="utf-8"))
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


# ---- what is written ----


def test_every_response_has_a_row_for_each_judge_and_metric_and_their_mean(run_dir: Path) -> None:
    with serve(LIKES_LENGTH) as one, serve(always_first) as two:
        judged(run_dir, config(run_dir.parent, one, two))
        assert (len(one.asked), len(two.asked)) == (36, 36)
    found = rows(run_dir)
    assert list(found[0]) == ["method", "subset", "sample_id", "judge", "metric", "value", "reason"]
    samples = [row for row in read_run(run_dir).samples() if row["split"] != "IDTrain"]
    assert [(r["method"], r["subset"], r["sample_id"], r["judge"], r["metric"]) for r in found] == [
        (method, sample["subset"], sample["sample_id"], name, metric)
        for method in METHODS
        for sample in samples
        for metric in ("win_rate", "point_score")
        for name in ("j1", "j2", "ensemble")
    ]
    assert {row["value"] for row in rows(run_dir, judge="j2", metric="win_rate")} == {0.5}
    assert {row["value"] for row in rows(run_dir, metric="point_score")} == {7.0}
    assert all(row["reason"] is None for row in found)


def test_the_report_has_means_biases_and_costs(run_dir: Path) -> None:
    with serve(LIKES_LENGTH) as one, serve(always_first) as two:
        report = judged(run_dir, config(run_dir.parent, one, two)).report
    assert report == json.loads((run_dir / REPORT).read_text(encoding="utf-8"))
    assert [(m["metric"], m["version"]) for m in report["metrics"]] == [("win_rate", 1), ("point_score", 1)]
    fair, biased = report["position_bias"]
    assert (fair["judge"], fair["disagree"], fair["first_place"], fair["n_scored"]) == ("j1", 0.0, 0.0, 12)
    assert (biased["judge"], biased["disagree"], biased["first_place"]) == ("j2", 1.0, 1.0)
    by_length = {(row["judge"], row["metric"]): row["spearman"] for row in report["length_bias"]}
    assert by_length["j2", "win_rate"] is None
    assert set(by_length) == {(j, m) for j in ("j1", "j2", "ensemble") for m in ("win_rate", "point_score")}
    (mean,) = [
        row
        for row in report["means"]
        if (row["method"], row["subset"], row["judge"], row["metric"]) == ("sft", None, "j2", "win_rate")
    ]
    assert (mean["mean"], mean["n_samples"], mean["n_scored"]) == (0.5, 6, 6)
    assert {row["mean"] for row in report["dimensions"] if row["dimension"] == "user"} == {8.0}
    assert [row["money"] for row in report["spending"]] == [pytest.approx((36 * 7 * 2 + 36 * 3 * 8) / 1e6)] * 2
    assert report["unscored"] == report["stopped"] == []


def test_means_leave_out_what_has_no_value_and_count_it(run_dir: Path, mini: Benchmark) -> None:
    dumb = mini.test["korean"][1].user_persona
    winner = mini.test["korean"][0].user_persona

    def reply(asked: Asked) -> Reply:
        shown = asked.body["messages"][1]["content"]
        if dumb in shown:
            return answer("No.")
        first = "is better" if winner in shown else "is worse"
        return prefers(lambda text: ("answers" in text) == (first == "is better"))(asked)

    assert len({sample.user_persona for sample in mini.test["korean"][:3]}) == 3
    with serve(reply) as server:
        report = judged(run_dir, config(run_dir.parent, server, metrics=["win_rate"], tries=1)).report
    (korean,) = [
        row for row in report["means"] if (row["method"], row["subset"], row["judge"]) == ("icl", "korean", "ensemble")
    ]
    values = [row["value"] for row in rows(run_dir, method="icl", subset="korean", judge="ensemble")]
    assert values == [1.0, None, 0.0]
    assert (korean["mean"], korean["n_samples"], korean["n_scored"]) == (0.5, 3, 2)
    assert {(row["judge"], row["reason"]): row["count"] for row in report["unscored"]} == {
        ("j1", "unreadable"): 2,
        ("ensemble", "incomplete"): 2,
    }


def test_the_same_command_asks_nothing_and_writes_the_same_bytes(run_dir: Path) -> None:
    with serve(LIKES_LENGTH) as server:
        path = config(run_dir.parent, server)
        before = [file.read_bytes() for file in judged(run_dir, path).files]
        asked = len(server.asked)
        assert [file.read_bytes() for file in judged(run_dir, path).files] == before
    assert len(server.asked) == asked


def test_reports_read_what_is_written(run_dir: Path) -> None:
    with serve(LIKES_LENGTH) as server:
        judged(run_dir, config(run_dir.parent, server))
    run = read_run(run_dir)
    assert not any("judges" in sentence for sentence in run.missing)
    assert {row["method"] for row in run.rows("judges")} == {run.responses_name(key) for key in run.methods}


def test_methods_subsets_and_a_draw_of_samples_can_be_chosen(run_dir: Path) -> None:
    chosen = {"methods": ["sft"], "subsets": ["korean"], "samples": 2, "metrics": ["point_score"]}
    with serve(LIKES_LENGTH) as server:
        path = config(run_dir.parent, server, **chosen)
        judged(run_dir, path)
        assert len(server.asked) == 2
        found = rows(run_dir, judge="ensemble")
        assert {(row["method"], row["subset"], row["metric"]) for row in found} == {("sft", "korean", "point_score")}
        judged(run_dir, path, "samples=null")
        assert len(server.asked) == 3
    assert {row["sample_id"] for row in found} < {row["sample_id"] for row in rows(run_dir)}


# ---- going on ----


def test_a_judge_that_is_down_fails_the_run_with_what_is_there_and_goes_on_later(run_dir: Path) -> None:
    with serve(LIKES_LENGTH) as one:
        with serve(lambda asked: Reply(401)) as two, pytest.raises(RunFailure, match=r"not all .*\n  j2: .*HTTP 401"):
            judged(run_dir, config(run_dir.parent, one, two))
        assert {row["value"] for row in rows(run_dir, judge="j1", metric="point_score")} == {7.0}
        assert {row["reason"] for row in rows(run_dir, judge="j2")} == {"not asked"}
        assert {row["reason"] for row in rows(run_dir, judge="ensemble")} == {"incomplete: no value of j2"}
        assert [row["judge"] for row in json.loads((run_dir / REPORT).read_text())["stopped"]] == ["j2"]
        asked = len(one.asked)
        with serve(LIKES_LENGTH) as two:
            judged(run_dir, config(run_dir.parent, one, two))
            assert (len(one.asked), len(two.asked)) == (asked, 36)
    assert all(row["reason"] is None for row in rows(run_dir))


def test_a_limit_leaves_whole_samples_of_all_methods(run_dir: Path) -> None:
    with serve(dear(LIKES_LENGTH)) as server:
        path = config(run_dir.parent, server, limits={"tokens": 120000})
        with pytest.raises(RunFailure, match=r"j1: the limit of 120000 tokens is reached: \d+ are spent"):
            judged(run_dir, path, "compute.threads=1")
        scored = {name: {r["sample_id"] for r in rows(run_dir, method=name, value=7.0)} for name in METHODS}
        assert len(scored["icl"] & scored["sft"]) >= 2
        assert len(scored["icl"] ^ scored["sft"]) <= 2
        judged(run_dir, path, "limits.tokens=1000000")
        assert len(server.asked) == 36


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from judge_helpers import Bench, responses, samples
from scoring.judge.settings import EndpointJudgeSettings
given = responses(samples(10), {"long": lambda s: s.golden_response + " More.", "short": lambda s: "No."})
judge = EndpointJudgeSettings(model="big", base_url=sys.argv[3], parallel=4)
Bench(Path(sys.argv[2]), given).ask(judge)
print("done")
"""


def test_a_killed_program_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    def slowly(asked: Asked) -> Reply:
        return Reply(body=LIKES_LENGTH(asked).body, seconds=0.1)

    def start(server: FakeServer) -> "subprocess.Popen[str]":
        arguments = [sys.executable, "-c", KILLED, str(ROOT / "tests"), str(tmp_path), server.url]
        return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    with serve(slowly) as server:
        process = start(server)
        while len(server.asked) < 20:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = (tmp_path / "answers.jsonl").read_bytes().count(b"\n")
    assert 8 <= kept < 60
    with serve(LIKES_LENGTH) as server:
        process = start(server)
        assert process.communicate(timeout=120)[0].strip() == "done"
        assert len(server.asked) == 60 - kept
    assert (tmp_path / "answers.jsonl").read_bytes().count(b"\n") == 60


# ---- mistakes ----


def test_all_mistakes_of_a_configuration_are_named_with_line_and_nearest_key(run_dir: Path) -> None:
    path = run_dir.parent / "judges.yaml"
    text = f"""
    endpoints:
      - modl: big
        temperature: -1
      - {{model: big, api_key_variable: {KEY}}}
      - {{model: big, base_url: "http://elsewhere/v1"}}
    metrics: [winrate]
    limts: {{tokens: 0}}
    """
    path.write_text(text)
    with pytest.raises(UserMistakes) as caught:
        prepare_judging(run_dir, path, ["tries=0", "seed"])
    said = str(caught.value)
    assert "--set seed: is not of the form" in said
    assert KEY not in said
    with pytest.raises(UserMistakes) as caught:
        prepare_judging(run_dir, path, ["tries=0"])
    said = str(caught.value)
    for part in (
        "judges.yaml:3: endpoints.0.modl: unknown key; did you mean 'model'?",
        "judges.yaml:3: endpoints.0.model: is missing",
        "judges.yaml:4: endpoints.0.temperature: input should be greater than or equal to 0",
        "judges.yaml:5: endpoints.1: api_key_variable is not the name",
        "judges.yaml:6: endpoints.2: base_url would send key and texts in the clear",
        "judges.yaml:7: metrics.0",
        "limts: unknown key; did you mean 'limits'?",
        "--set tries=0: tries: input should be greater than or equal to 1",
    ):
        assert part in said
    assert KEY not in said


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({}, "names no judge"),
        ({"endpoints": [{"model": "a"}, {"model": "a"}]}, "two judges are called 'a'"),
        ({"endpoints": [{"model": "ensemble"}]}, "which is the mean over all"),
        ({"endpoints": [{"model": "a"}], "limits": {"money": 1}}, "limits.money needs the prices of a"),
        ({"endpoints": [{"model": "a"}], "methods": ["stf"]}, "no responses 'stf'; did you mean 'sft'?"),
        ({"local": [{"model": "nothing"}]}, "local.0.model: no model 'nothing'"),
    ],
)
def test_what_cannot_be_judged_is_a_mistake(run_dir: Path, content: dict[str, object], wanted: str) -> None:
    path = run_dir.parent / "judges.yaml"
    path.write_text(json.dumps(content))
    with pytest.raises(UserMistakes, match=wanted):
        prepare_judging(run_dir, path)
    assert not (run_dir / ANSWERS).exists()


def test_another_machine_without_tls_is_asked_only_where_that_is_wanted(run_dir: Path) -> None:
    path = run_dir.parent / "judges.yaml"
    path.write_text(json.dumps({"endpoints": [{"model": "a", "base_url": "http://elsewhere/v1", "insecure": True}]}))
    assert prepare_judging(run_dir, path).judges[0].name == "a"


def break_samples(run_dir: Path) -> None:
    (run_dir / "samples.jsonl").unlink()


def break_responses(run_dir: Path) -> None:
    manifest = json.loads((run_dir / "manifest.json").read_text())
    (run_dir / "manifest.json").write_text(json.dumps({**manifest, "responses": {}}))


def give_own_scores(run_dir: Path) -> None:
    (run_dir / JUDGES).write_text("[]")


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (break_samples, "has no samples.jsonl"),
        (break_responses, "holds no responses to judge"),
        (give_own_scores, "was not written by this command and would be replaced; move it away"),
    ],
)
def test_a_run_that_cannot_be_judged_is_a_mistake(run_dir: Path, damage: Callable[[Path], None], wanted: str) -> None:
    damage(run_dir)
    with serve(LIKES_LENGTH) as server, pytest.raises(UserMistakes, match=wanted):
        judged(run_dir, config(run_dir.parent, server))
    assert server.asked == []


def test_the_page_s_configuration_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")
    (tmp_path / "judges.yaml").write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    found = read_judging_settings(tmp_path / "judges.yaml", [])
    assert list(found.prices) == ["gpt-4.1", "local qwen"]
    assert found.limits.tokens == 2_000_000


# ---- the command ----


def test_the_command_shows_plan_means_biases_and_costs(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(LIKES_LENGTH) as one, serve(always_first) as two:
        path = config(run_dir.parent, one, two)
        judge(run_dir, path, plan=True)
        assert one.asked == two.asked == []
        assert not (run_dir / JUDGES).exists()
        planned = capsys.readouterr().out
        judge(run_dir, path, ["metrics=[win_rate]"])
    shown = capsys.readouterr().out
    assert "| j1      |          36 |       36 |" in planned
    assert "| icl      |" in shown
    assert "j2: the orders disagree on 100% of 12 pairs; preference for the first place +1.00" in shown
    assert "24 answers kept, 168 + 72 tokens, cost 0.000912" in shown
    assert str(run_dir / JUDGES) in shown
    assert (run_dir / JUDGES).is_file()


def test_an_interrupted_command_says_that_it_goes_on(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scoring.judge.asking.Asking.run", interrupt)
    with serve(LIKES_LENGTH) as server, pytest.raises(typer.Exit) as caught:
        judge(run_dir, config(run_dir.parent, server))
    assert caught.value.exit_code == 130
    assert "the same command goes on from here" in capsys.readouterr().out


def test_the_key_is_in_nothing_that_is_written_or_shown(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def telling(asked: Asked) -> Reply:
        said = asked.headers["Authorization"]
        if asked.number == 1 and "Korea" in asked.body["messages"][1]["content"]:
            return Reply(500, said)
        if len(server.asked) % 5 == 0:
            return Reply(400, json.dumps({"error": {"message": f"wrong: {said}"}}))
        return answer(f"I was sent {said}.\n{verdict(asked, 'tie')}")

    with serve(telling) as server:
        path = config(run_dir.parent, server)
        judge(run_dir, path)
        judge(run_dir, path)
    assert all(asked.headers["Authorization"] == f"Bearer {KEY}" for asked in server.asked)
    captured = capsys.readouterr()
    written = [captured.out, captured.err] + [f.read_text("utf-8") for f in run_dir.rglob("*") if f.is_file()]
    assert any("I was sent Bearer [key]" in text for text in written)
    assert not any(KEY[:8] in text for text in written)


def test_nothing_of_judging_needs_torch_before_a_model_is_loaded() -> None:
    code = (
        "import importlib, pkgutil, sys, scoring.judge as package\n"
        "names = [module.name for module in pkgutil.iter_modules(package.__path__)]\n"
        "[importlib.import_module(f'scoring.judge.{name}') for name in names]\n"
        "import recipes.cli.judge_command\n"
        "print(len(names), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    count, torch = result.stdout.split()
    assert int(count) >= 10
    assert torch == "False"
