"""A comparison spread over two workers of a real Ray cluster, left alone and with workers and driver killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from spread_helpers import METHODS, outcome, write_comparison

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="Ray's workers are found by their names")]
CODE = """import signal
from recipes.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where these tests were started in the background
main()
"""
COMMAND = [sys.executable, "-c", CODE, "compare", "."]
PATIENCE = 1200
"""Seconds for what takes seconds on an idle machine."""


@dataclass(frozen=True)
class Place:
    """The recipes, and a run of them by the local executor."""

    recipes: Path
    straight: Path

    def start(self, out: Path, *more: str) -> subprocess.Popen[str]:
        """Start a run whose output is lines."""
        command = [*COMMAND, "--out", str(out), "--no-report", *more]
        return subprocess.Popen(command, cwd=self.recipes, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, out: Path, *more: str) -> list[str]:
        """Run to the end and return what was told until the table."""
        process = self.start(out, *more)
        shown, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, shown
        return told(shown.splitlines())


def told(lines: Sequence[str]) -> list[str]:
    """Return what was told up to the table, without spaces before and between words."""
    until = next((number for number, line in enumerate(lines) if line.startswith("# R-EMI")), len(lines))
    return [" ".join(line.split()) for line in lines[:until] if line.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Place:
    folder = tmp_path_factory.mktemp("spread")
    made = Place(write_comparison(folder / "recipes", tiny_model, tiny_embedding), folder / "straight")
    made.finish(made.straight)
    return made


def stages(out: Path) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of the stages by name."""
    return {stage["name"]: stage for stage in json.loads((out / "manifest.json").read_text())["stages"]}


def test_a_spread_run_gives_the_bytes_of_the_local_one_and_true_records(place: Place, tmp_path: Path) -> None:
    lines = place.finish(tmp_path / "out", "--executor", "ray")
    assert outcome(tmp_path / "out") == outcome(place.straight)
    assert len(outcome(place.straight)) >= 20
    here, spread = stages(place.straight), stages(tmp_path / "out")
    assert list(here) == list(spread)
    for name, record in spread.items():
        assert {key: record[key] for key in ("key", "tokens", "counts")} == {
            key: here[name][key] for key in ("key", "tokens", "counts")
        }
        assert 0 < here[name]["peak_memory"] / 4 < record["peak_memory"] < here[name]["peak_memory"] * 4, name
        assert record["seconds"] >= sum(part["seconds"] for part in record["parts"])
        assert record["lost_workers"] == 0
    shards = [f"{key}, fold {fold}" for key in ("id", "german") for fold in (0, 1)]
    assert [part["place"] for part in spread["likelihoods"]["parts"]] == shards
    assert [part["place"] for part in spread["reasoning"]["parts"]] == ["fold 0", "fold 1"]
    execution = json.loads((tmp_path / "out" / "manifest.json").read_text())["execution"]
    assert execution["executor"] == "ray"
    assert len(execution["hosts"]) == 1
    events = [line for line in lines if line.split()[0] in ("started", "finished")]
    assert sorted(line.split()[1] for line in events) == sorted([*spread, *spread])
    others = [line for line in lines if line not in events and "left of the run" not in line]
    assert others == ["checking recipes, benchmark and models"], "something else speaks"
    assert not (tmp_path / "out" / "executor.token").exists()


def workers(driver: int) -> dict[str, psutil.Process]:
    """Return the processes that a driver's cluster runs, by the name that Ray gives them."""
    found = {}
    for process in psutil.Process(driver).children(recursive=True):
        try:
            found[" ".join(process.cmdline()).strip()] = process
        except psutil.Error:
            continue
    return found


def kill_a_worker_at(driver: subprocess.Popen[str], unit: str) -> None:
    """Kill the worker of a unit as soon as it is at it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and driver.poll() is None:
        process = workers(driver.pid).get(f"ray::{unit}")
        if process is not None:
            process.kill()
            return
        time.sleep(0.05)
    raise AssertionError(f"no worker was seen at {unit}")


def test_killed_workers_cost_their_units_and_a_killed_driver_is_gone_on_from(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = place.start(out, "--executor", "ray")
    kill_a_worker_at(first, "policy/sft")
    kill_a_worker_at(first, "likelihoods (german, fold 1)")
    assert first.stdout is not None
    lines = []
    for line in first.stdout:
        lines.append(line)
        if line.startswith("finished likelihoods"):
            break
    left = list(workers(first.pid).values())
    first.kill()
    lines += first.communicate()[0].splitlines()
    assert first.returncode == -signal.SIGKILL
    for unit in ("policy/sft", "likelihoods (german, fold 1)"):
        note = f"note: a worker died at {unit}, because its process was killed or crashed; another goes on with it"
        assert sum(line.startswith(note) for line in lines) == 1
    assert not psutil.wait_procs(left, timeout=PATIENCE)[1], "the cluster of a killed driver goes on"

    again = place.finish(out, "--executor", "ray")
    reused = {line.split()[1] for line in again if line.startswith("reused")}
    assert reused >= {"estimator", "reasoning", "likelihoods", *(f"policy/{name}" for name in METHODS)}
    assert not any(line.split()[1] in reused for line in again if line.split()[0] in ("started", "resumed"))
    assert outcome(out) == outcome(place.straight)
    lost = {name: record["lost_workers"] for name, record in stages(out).items() if record["lost_workers"]}
    assert lost == {"policy/sft": 1, "likelihoods": 1}


def test_a_run_interrupted_in_one_executor_is_gone_on_with_by_the_other(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = place.start(out, "--executor", "ray")
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("started  likelihoods"):
            break
    first.send_signal(signal.SIGINT)
    assert "interrupted; the same command goes on from here" in first.communicate()[0]
    assert first.returncode == 130
    again = place.finish(out)
    assert "resumed likelihoods" in again or "reused likelihoods" in again
    assert outcome(out) == outcome(place.straight)
