"""`rpm-methods plan`: what it says of a run directory, and that it leaves the directory as it was."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from recipe_helpers import BRIEF, base_estimator, write_recipes

from benchmark.progress import SilentProgress
from benchmark.run_store import DONE, RunStore
from recipes.cli import main
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.run import run_comparison
from recipes.stage import Outlook, Prospect, Stage, StageReport, look_ahead, recorded_times, run_stages
from recipes.time_left import KindTimes

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    base = BRIEF.format(model=tiny_model, embedding=tiny_embedding)
    return write_recipes(tmp_path / "recipes", base, {"icl": "config: {examples: 1}"}, base_estimator(tiny_model))


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that plans and gives the exit code and what was printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rpm-methods", "plan", *arguments])
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out + shown.err

    return call


def table(shown: str) -> dict[str, str]:
    """Return the row of each stage behind its name and key."""
    rows = [line.split(maxsplit=3) for line in shown.splitlines() if line.strip()[:1].isdigit()]
    return {row[1]: " ".join(row[3].split()) for row in rows if row[0].isdigit() and len(row[2]) == 12}


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_before_the_first_run_all_is_to_run_and_nothing_is_made(recipes: Path, tmp_path: Path, plan: Call) -> None:
    before = everything(tmp_path)
    code, shown = plan("recipes")
    assert code == 0
    assert everything(tmp_path) == before
    assert "The plan in runs/recipes, which is not there yet:" in shown
    assert set(table(shown).values()) == {"to run"}
    assert list(table(shown))[:3] == ["policy/icl", "responses/icl", "estimator"]
    assert shown.endswith("0 reused, which took 0 s\n10 to run: 10 stages not timed yet\n")


def test_after_a_run_it_knows_what_is_reused_goes_on_and_is_to_run(recipes: Path, tmp_path: Path, plan: Call) -> None:
    out, told = tmp_path / "out", list[str]()
    comparison = prepare_comparison(["recipes"], [])
    run_comparison(comparison, out, progress=SilentProgress(), observer=StageLines(told.append))
    before = everything(tmp_path)
    code, shown = plan("recipes", "--out", "out")
    assert code == 0
    assert everything(tmp_path) == before
    assert list(table(shown)) == [line.split()[1] for line in told if line.startswith("started")]
    assert all(row.startswith("reused ") and row.endswith(" s") for row in table(shown).values())
    assert shown.endswith("0 to run: nothing\n")

    (done,) = out.glob(f"stages/embeddings-icl-*/{DONE}")
    done.unlink()
    (record,) = out.glob(f"stages/embeddings-samples-*/{DONE}")
    record.write_text(json.dumps({**json.loads(record.read_text()), "seconds": 200.0}))
    _, shown = plan("recipes", "--out", "out")
    assert table(shown)["embeddings/samples"] == "reused 3 min 20 s"
    assert table(shown)["embeddings/icl"] == "goes on about 3 min"
    assert shown.endswith("1 to run (1 of them begun): about 3 min\n")

    _, shown = plan("recipes", "--out", "out", "--set", "generation.max_new_tokens=3")
    assert table(shown)["policy/icl"].startswith("reused")
    assert table(shown)["embeddings/icl"] == "to run about 3 min"


def test_with_launch_it_shows_the_keys_of_trainings_on_several_devices(recipes: Path, plan: Call) -> None:
    (recipes / "sft.yaml").write_text("kind: method\nextends: _base\nmethod: sft\n")

    def keys(*arguments: str) -> dict[str, str]:
        code, shown = plan("recipes", *arguments)
        assert code == 0
        words = [line.split() for line in shown.splitlines()]
        return {row[1]: row[2] for row in words if row and row[0].isdigit() and row[1].startswith("policy/")}

    alone, together = keys(), keys("--launch", "ddp_cpu2")
    assert {name for name in alone if alone[name] != together[name]} == {"policy/sft"}
    assert alone["policy/icl"] == together["policy/icl"]


def test_a_mistake_exits_2_as_it_does_elsewhere(recipes: Path, tmp_path: Path, plan: Call) -> None:
    code, shown = plan("recipes", "--set", "sead=1", "--out", "out")
    assert code == 2
    assert "did you mean 'seed'?" in shown
    assert not (tmp_path / "out").exists()


def test_the_help_has_an_example(plan: Call) -> None:
    code, shown = plan("--help")
    assert code == 0
    assert "Example: rpm-methods plan" in shown


def test_with_hardware_it_prints_costs_and_leaves_all_as_it_is(recipes: Path, tmp_path: Path, plan: Call) -> None:
    before = everything(tmp_path)
    code, shown = plan("recipes", "--hardware", "h100x8")
    assert code == 0
    assert everything(tmp_path) == before
    assert shown.startswith("On 8 x NVIDIA H100 SXM, 24.00 USD an hour:\n")
    rows = [line.split()[0] for line in shown.splitlines() if line[:1].isalpha()]
    stages = ["policy/icl", "responses/icl", "estimator", "likelihoods", "scores", "embeddings/samples"]
    assert rows[2:8] == stages
    assert "everything" in rows
    assert "- usd_an_hour: example" in shown


def test_the_estimate_as_json_adds_up(recipes: Path, plan: Call) -> None:
    code, shown = plan("recipes", "--hardware", "a100-80g", "--price", "2", "--times", "10", "--json")
    found = json.loads(shown)
    assert code == 0
    assert found["hardware"]["usd_an_hour_in_all"] == 2.0
    total = found["totals"]["everything"]
    assert total["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))
    assert total["usd"] == pytest.approx(total["seconds"] / 3600 * 2)
    assert found["totals"]["policy"]["tokens"] == found["stages"][0]["tokens"]
    assert all(
        stage["seconds"] == pytest.approx(sum(part["seconds"] for part in stage["parts"])) for stage in found["stages"]
    )
    assert any("taken 10 times over" in note for note in found["notes"])


def test_it_says_what_does_not_fit(recipes: Path, tmp_path: Path, plan: Call) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "title: a tiny machine\nbfloat16_tflops: 1\nfloat32_tflops: 1\nmemory_gb: 1\nbandwidth_gb_s: 10\n"
        "usd_an_hour: 1\nshares: {scoring: 0.5, training: 0.5, decoding: 0.5}\nseconds_a_layer: 0\n"
        "start_seconds: 1\nload_gb_s: 1\nsources: {}\n"
    )
    code, shown = plan("recipes", "--hardware", "tiny.yaml")
    assert code == 0
    assert "(!) what does not fit into memory: policy/icl (2 GB of 1)" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--hardware", "h10"], "no machine 'h10' is known; did you mean 'h100'?"),
        (["--price", "2"], "--price: goes with --hardware alone"),
        (["--times", "2", "--json"], "--times: goes with --hardware alone"),
        (["--hardware", "h100", "--launch", "ddp_cpu2"], "--launch: does not go with --hardware"),
        (["--launch", "no_such"], "--launch no_such"),
        (["--hardware", "h100", "--set", "sead=1"], "did you mean 'seed'?"),
        (["--hardware", "h100", "--set", "benchmark.source=nobody/nothing"], "is not in the hub's local cache"),
        (["--hardware", "h100", "--set", "base_model=nobody/nothing"], "base_model: the tokenizer of the model"),
    ],
)
def test_mistakes_of_an_estimate_exit_2_before_anything_is_shown(
    recipes: Path, plan: Call, arguments: list[str], told: str
) -> None:
    code, shown = plan("recipes", *arguments)
    assert code == 2
    assert told in shown
    assert "USD an hour" not in shown


def stage(name: str) -> Stage:
    return Stage(name, name.ljust(64, "k"), lambda folder: StageReport())


def test_a_stage_is_reused_once_done_goes_on_once_begun_and_is_to_run_before(tmp_path: Path) -> None:
    store, stages = RunStore(tmp_path / "out"), [stage("done"), stage("begun"), stage("empty"), stage("new")]
    assert [outlook.prospect for outlook in look_ahead(stages, store)] == [Prospect.TO_RUN] * 4
    assert not store.folder.exists()
    run_stages(stages[:1], store, StageLines(print))
    (store.make_stage_folder("begun", stages[1].key) / "part").write_text("")
    store.make_stage_folder("empty", stages[2].key)
    found = look_ahead(stages, store)
    assert [outlook.prospect for outlook in found] == [
        Prospect.REUSED,
        Prospect.GOES_ON,
        Prospect.TO_RUN,
        Prospect.TO_RUN,
    ]
    assert [outlook.seconds is None for outlook in found] == [False, True, True, True]
    assert not store.stage_folder("new", stages[3].key).exists()


def test_times_are_those_of_all_that_ever_finished_in_the_directory(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for name, seconds in {"policy/a": 10.0, "policy/b": 20.0}.items():
        folder = store.make_stage_folder(name, "k" * 64)
        (folder / DONE).write_text(json.dumps({"name": name, "seconds": seconds}))
    assert recorded_times(store).mean("policy/c") == 15.0
    assert recorded_times(RunStore(tmp_path / "absent")).mean("policy/c") is None


def test_an_observer_is_told_the_plan_and_then_each_stage(tmp_path: Path) -> None:
    told: list[str] = []

    class Keeper(StageLines):
        def planned(self, outlooks: Sequence[Outlook], times: KindTimes) -> None:
            told.extend(f"{outlook.name} {outlook.prospect}" for outlook in outlooks)

    store, stages = RunStore(tmp_path), [stage("one"), stage("two")]
    run_stages(stages[:1], store, StageLines(print))
    (store.make_stage_folder("two", stages[1].key) / "part").write_text("")
    run_stages(stages, store, Keeper(told.append))
    assert told == ["one reused", "two goes on", "reused   one", "resumed  two", "finished two in 0 s"]
