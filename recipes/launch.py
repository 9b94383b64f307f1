"""Trainings on several devices: each is done by processes that accelerate's launcher starts, and followed from here.

The rest of a run stays in this process, which holds the run directory. What the processes are told, what they say and
why they failed lies in the folder `launch` of the stage.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from benchmark.errors import Mistake, UserMistakes
from benchmark.progress import Progress
from benchmark.run_store import disk_errors, read_json, write_text
from corl.settings import CoEvolutionSettings
from recipes.comparison import Comparison
from recipes.environment import Compute
from recipes.execution import Execution
from recipes.launch_config import ONE_DEVICE, Devices, LaunchConfig, read_launch
from recipes.launch_job import Described, Job
from recipes.launch_outcome import LAUNCH, LAUNCHER_LOG, PROGRESS, REPORT, failure_of
from recipes.launch_progress import ProgressReader
from recipes.lifeline import lifeline
from recipes.prepared_estimator import PreparedEstimator
from recipes.reading import method_config
from recipes.stage import Stage, StageReport
from rpm_methods.processes import WEIGHTS_IN_PARTS
from rpm_methods.rollout_training import RolloutSettings
from scoring.models.precision import QUANTIZED

POLLING = 0.2
"""Seconds between looks at how the processes get on."""
PATIENCE = 20.0
"""Seconds that the launcher has to end its processes before it is killed."""
OF_ANOTHER_LAUNCH = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which a process would take itself for one of others."""


@dataclass(frozen=True)
class Launcher:
    """Lets the trainings of a run be done by several processes."""

    config: LaunchConfig
    described: Described
    """What is run, for the processes to plan it again."""
    compute: Compute
    run_folder: Path
    progress: Progress

    def launched(self, stages: Sequence[Stage]) -> list[Stage]:
        """Return the stages with trainings done by the processes, all else as it is."""
        return [self._launched(stage) if stage.trains else stage for stage in stages]

    def _launched(self, stage: Stage) -> Stage:
        return replace(stage, work=partial(self._train, stage.name, stage.key))

    def _train(self, name: str, key: str, folder: Path) -> StageReport:
        """Do the stage's work in its folder.

        Raises:
            UserMistakes, RunFailure: what a process raised, or that one was killed.
        """
        place = folder / LAUNCH
        with disk_errors(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        with lifeline() as line:
            folders = folder.resolve(), self.run_folder.resolve()
            job = Job(name, key, *folders, self.described, self.compute, self.config.devices, line)
            job.write(place)
            write_text(place / "config.yaml", json.dumps(self.config.content, indent=1))
            code = self._follow(place)
        if code != 0 or not (place / REPORT).is_file():
            raise failure_of(place, self.config.devices.processes)
        return StageReport(**read_json(place / REPORT))

    def _follow(self, place: Path) -> int:
        """Start the processes, show how they get on, and return the launcher's exit code."""
        reader = ProgressReader(place / PROGRESS, self.progress)
        with (place / LAUNCHER_LOG).open("wb") as log, _started(self._command(place), self._environment(), log) as run:
            try:
                while run.poll() is None:
                    reader.forward()
                    time.sleep(POLLING)
            finally:
                reader.close()
            return run.wait()

    def _command(self, place: Path) -> list[str]:
        options = []
        if self.config.distributed_type == "MULTI_CPU":
            options.append("--multi_gpu")  # accelerate's word for torch's launcher; for processors it would take MPI
        if self.config.content.get("main_process_port") is None:
            options += ["--main_process_port", "0"]  # any that is free
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(place / "config.yaml")]
        return [*launcher, *options, "--module", "recipes.launched_worker", str(place)]

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_LAUNCH}
        threads = max(1, self.compute.threads // self.config.devices.processes)
        on_processors = {"ACCELERATE_USE_CPU": "true"} if self.config.on_processors else {}
        return {**inherited, **on_processors, "OMP_NUM_THREADS": str(threads)}


@contextmanager
def _started(
    command: Sequence[str], environment: dict[str, str], log: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in the background; it is ended when the block is left before it has ended."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for this process, which ends the others
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def devices_of(launch: LaunchConfig | None) -> Devices:
    """Return what trainings run on."""
    return ONE_DEVICE if launch is None else launch.devices


def launch_facts(launch: LaunchConfig | None) -> dict[str, object]:
    """Return what a manifest says of a launch."""
    return {"launch": None if launch is None else launch.facts}


def launch_of_comparison(execution: Execution, comparison: Comparison, compute: Compute) -> LaunchConfig | None:
    """Return how the trainings of a comparison are launched; None for in this process.

    Raises:
        UserMistakes: all that stands against it.
    """
    recipes = [*comparison.recipes, *comparison.parents.values()]
    drawing = [recipe.method for recipe in recipes if _learns_from_rollouts(method_config(recipe))]
    if isinstance(comparison.estimator, PreparedEstimator):
        drawing.append("estimator")
    return _launch(execution, compute, list(dict.fromkeys(drawing)))


def launch_of_estimator(execution: Execution, compute: Compute) -> LaunchConfig | None:
    """Return how the training of an estimator is launched; None for in this process, raises as for a comparison."""
    return _launch(execution, compute, ["estimator"])


def _learns_from_rollouts(config: object) -> bool:
    return isinstance(config, RolloutSettings | CoEvolutionSettings)


def _launch(execution: Execution, compute: Compute, drawing: Sequence[str]) -> LaunchConfig | None:
    if execution.launch is None:
        return None
    config = read_launch(execution.launch)
    problems = []
    device, where = ("cpu", "processors") if config.on_processors else ("cuda", "GPUs")
    if compute.device != device:
        problem = f"trains on {where}, and this run computes on {compute.device}"
        problems.append((problem, f"--set compute.device={device}"))
    if config.devices.sharding in WEIGHTS_IN_PARTS:
        if drawing:
            who = ", ".join(drawing)
            problem = f"leaves no process a whole model, from which {who} would draw answers to learn from"
            problems.append((problem, "take ddp or deepspeed_zero2, or leave these out"))
        if compute.dtype in QUANTIZED:
            problem = f"takes weights apart, which quantised ones ({compute.dtype}) cannot be"
            problems.append((problem, "take ddp, or --set compute.quantization=none"))
    if problems:
        raise UserMistakes([Mistake(f"--launch {execution.launch}", *problem) for problem in problems])
    return config
