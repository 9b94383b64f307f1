"""One of the processes of a launched training: `python -m recipes.launched_worker PLACE`, by accelerate's launcher.

It does the one stage that the job in PLACE names, and leaves its report there, or why there is none. It takes no lock:
the run that launched it holds the run directory, and this process ends with it.
"""

import atexit
import faulthandler
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import torch

from benchmark.progress import SilentProgress
from benchmark.run_store import write_json
from recipes.launch_job import Job, planned_stage, read_job
from recipes.launch_outcome import PROGRESS, REPORT, log_file, write_failure
from recipes.launch_progress import WrittenProgress
from recipes.lifeline import hold_on_to
from rpm_methods.processes import gathered, is_first, join, leave
from scoring.models.memory import peak_memory_bytes


def main(place: Path) -> None:
    """Do the stage of the job that lies in a folder."""
    index = int(os.environ.get("RANK", "0"))
    _speak_into(log_file(place, index))
    try:
        job = read_job(place)
        hold_on_to(job.lifeline)
        _work(job, place)
    except Exception as error:
        traceback.print_exc()
        with suppress(Exception):  # a full disk, say; the log has it
            write_failure(place, index, error)
        _end_at_once(1)
    atexit._run_exitfuncs()  # trackers send what they hold
    _end_at_once(0)


def _work(job: Job, place: Path) -> None:
    join(job.compute.device)
    torch.set_num_threads(max(1, job.compute.threads // job.devices.processes))
    progress = WrittenProgress(place / PROGRESS) if is_first() else SilentProgress()
    report = planned_stage(job, progress).work(job.folder)
    peaks = gathered(peak_memory_bytes())
    if is_first():
        write_json(place / REPORT, asdict(replace(report, peaks=peaks)))
    leave()


def _speak_into(path: Path) -> None:
    """Let everything that this process says, and what C libraries say in it, go into a file of its own."""
    with path.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()


def _end_at_once(code: int) -> NoReturn:
    """End without waiting for threads that talk with the other processes: they wait for these, or abort the end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
