"""Trainings by two processes within a run: shown, recorded, killed at any moment and gone on with to the same end.

Dropout is on, which each process draws for itself: an end that is the same needs the random state of each.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest

from benchmark import RunFailure
from benchmark.progress import Advance
from benchmark.run_store import DONE, read_json
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.execution import Execution
from recipes.run import FinishedRun, run_comparison
from rpm_methods.checkpoints import CHECKPOINTS, STATE

RECIPE = """kind: method
method: sft
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 8, test_samples: 2, subsets: [id, film]}}
generation: {{max_new_tokens: 4}}
scoring: {{batch_tokens: 64, embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 2}}
config: {{training: {{max_steps: {steps}, learning_rate: 1e-3, save_steps: 2, per_device_train_batch_size: 2}}}}
"""
STEPS = 20
KILLED_AT, DRIVER_KILLED_AT = 4, 10
"""Checkpoints at which a process of the training, and then the run itself, is killed."""
COMMAND = "from recipes.cli import main; main()"
LAUNCH = Execution(launch=Path("ddp_cpu2"))


@dataclass
class Watched:
    """A view that counts the steps it is told of; those of an earlier run come with the first."""

    steps: list[int] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Take note of a task's units."""
        self.totals[title] = total

        def advance(units: int = 1) -> None:
            if title == "training steps":
                self.steps.append(units)

        yield advance


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "estimator.yaml").write_text(f"kind: estimator\nestimator: base\nmodel: {tiny_model}\n")
    path = folder / "sft.yaml"
    path.write_text(RECIPE.format(model=tiny_model, embedding=tiny_embedding, steps=STEPS))
    return path


def run(recipe: Path, out: Path, watched: Watched) -> tuple[FinishedRun, list[str]]:
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipe.parent)
        comparison = prepare_comparison([str(recipe)], [])
        observer = StageLines(told.append)
        return run_comparison(comparison, out, progress=watched, observer=observer, execution=LAUNCH), told


@dataclass(frozen=True)
class Straight:
    """A run that nobody disturbed."""

    out: Path
    watched: Watched
    finished: FinishedRun


@pytest.fixture(scope="module")
def straight(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    out, watched = tmp_path_factory.mktemp("straight"), Watched()
    finished, _ = run(recipe, out, watched)
    return Straight(out, watched, finished)


def policy(out: Path) -> Path:
    (folder,) = out.glob("stages/policy-sft-*")
    return folder


@pytest.mark.slow
def test_the_run_shows_the_steps_of_the_processes_and_records_who_they_were(straight: Straight) -> None:
    assert straight.watched.totals["training steps"] == STEPS
    assert straight.watched.steps == [1] * STEPS
    manifest = read_json(straight.out / "manifest.json")
    launch = manifest["execution"]["launch"]
    assert (launch["name"], launch["processes"], launch["sharding"]) == ("ddp_cpu2", 2, "")
    assert launch["config"]["distributed_type"] == "MULTI_CPU"
    record = next(stage for stage in manifest["stages"] if stage["name"] == "policy/sft")
    assert record["counts"] == {"training_samples": 8}
    assert record["tokens"] == read_json(policy(straight.out) / "policy.json")["training_tokens"] > 0
    peaks = read_json(policy(straight.out) / "launch" / "report.json")["peaks"]
    assert len(peaks) == 2
    assert record["peak_memory"] >= max(peaks) > 0
    assert not (policy(straight.out) / CHECKPOINTS).exists()


@pytest.mark.slow
def test_the_same_command_reuses_what_the_processes_trained(recipe: Path, straight: Straight) -> None:
    _, told = run(recipe, straight.out, Watched())
    assert "reused   policy/sft" in told
    assert not any(line.startswith("started") for line in told)


def processes(out: Path, rank: int | None = None) -> list[int]:
    """Return the processes that train below a run directory, all or that of one rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        launched = "recipes.launched_worker" in words and any(word.startswith(str(out)) for word in words)
        ranks = [entry for entry in environment if entry.startswith("RANK=")]
        if launched and ranks and (rank is None or ranks == [f"RANK={rank}"]):
            found.append(int(folder.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def reached(out: Path, step: int) -> bool:
    """Tell whether a checkpoint of this step or a later one has been written."""
    states = out.glob(f"stages/policy-sft-*/{CHECKPOINTS}/checkpoint-*/{STATE}")
    return any(int(path.parent.name.removeprefix("checkpoint-")) >= step for path in states)


def kill_one_of_two(out: Path) -> None:
    wait_for(lambda: reached(out, KILLED_AT), 900)
    (second,) = processes(out, rank=1)
    os.kill(second, signal.SIGKILL)


def kill_the_run(recipe: Path, out: Path) -> None:
    """Go on with a run by the command line and kill it, but nothing that it started, as it trains."""
    words = ["run", str(recipe), "--launch", "ddp_cpu2", "--out", str(out), "--no-report"]
    with subprocess.Popen([sys.executable, "-c", COMMAND, *words], cwd=recipe.parent) as driver:
        wait_for(lambda: reached(out, DRIVER_KILLED_AT) or driver.poll() is not None, 900)
        assert driver.poll() is None
        assert len(processes(out)) == 2
        driver.kill()
        assert driver.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")
def test_a_killed_process_ends_the_run_clearly_and_a_killed_run_its_processes_and_both_go_on_to_the_same_end(
    recipe: Path, straight: Straight, tmp_path: Path
) -> None:
    killer = Thread(target=kill_one_of_two, args=(tmp_path,))
    killer.start()
    with pytest.raises(RunFailure) as caught:
        run(recipe, tmp_path, Watched())
    killer.join()
    log = policy(tmp_path) / "launch" / "process-1.log"
    assert str(caught.value).startswith("process 1 of the 2 that train together was killed by SIGKILL")
    assert f"its log {log} ends" in str(caught.value)
    assert log.is_file()
    assert processes(tmp_path) == [], "the other process must not be left waiting"
    assert not (policy(tmp_path) / DONE).exists()

    kill_the_run(recipe, tmp_path)
    wait_for(lambda: processes(tmp_path) == [], 30)
    assert not (policy(tmp_path) / DONE).exists()

    watched = Watched()
    finished, told = run(recipe, tmp_path, watched)
    assert "resumed  policy/sft" in told
    assert watched.steps[0] > DRIVER_KILLED_AT, "steps that an earlier run made are told with the first"
    assert sum(watched.steps) == STEPS
    assert losses(tmp_path) == losses(straight.out)
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (policy(tmp_path) / weights).read_bytes() == (policy(straight.out) / weights).read_bytes()
    assert finished.table.read_bytes() == straight.finished.table.read_bytes()


def losses(out: Path) -> list[tuple[float, float]]:
    log = read_json(policy(out) / "training_log.json")
    return [(row["loss"], row["grad_norm"]) for row in log if "loss" in row]
