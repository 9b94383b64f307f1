"""Two runs never work in one directory, nor two processes at one stage, and a killed one is in nobody's way."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmark import RunFailure
from benchmark.run_lock import only_worker_at
from benchmark.run_store import RunStore

HOLD = """
import sys, time
from benchmark.run_store import RunStore
with RunStore(sys.argv[1]).held():
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_directory_in_use_is_refused_with_who_uses_it_and_what_to_do(tmp_path: Path) -> None:
    process = hold(tmp_path / "run")
    try:
        said = rf"in use by process {process.pid} on .*; wait .*--out"
        with pytest.raises(RunFailure, match=said), RunStore(tmp_path / "run").held():
            raise AssertionError("two runs hold one directory")
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    process = hold(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with RunStore(tmp_path).held():
        assert f"process {os.getpid()} " in (tmp_path / "run.lock").read_text()


def test_a_run_that_ends_by_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunStore(tmp_path).held():
        raise ZeroDivisionError
    with RunStore(tmp_path).held():
        pass


WORK = """
import sys, time
from pathlib import Path
from benchmark.run_lock import only_worker_at
with only_worker_at(Path(sys.argv[1]), "scores", shared=sys.argv[2] == "shared"):
    print("at it", flush=True)
    time.sleep(60)
"""


def work(lock: Path, how: str) -> subprocess.Popen[str]:
    """Start a process that holds a piece of work, alone or shared."""
    process = subprocess.Popen([sys.executable, "-c", WORK, str(lock), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at it\n"
    return process


@pytest.mark.parametrize(
    ("first", "second", "together"), [("alone", True, False), ("shared", False, False), ("shared", True, True)]
)
def test_work_is_refused_while_a_process_that_was_left_is_at_it_unless_both_share_it(
    tmp_path: Path, first: str, second: bool, together: bool
) -> None:
    lock = tmp_path / "scores.lock"
    process = work(lock, first)
    try:
        if together:
            with only_worker_at(lock, "scores", shared=second, patience=0):
                return
        said = rf"scores is still being worked on by process {process.pid} on .*, which an earlier run left; end that"
        with pytest.raises(RunFailure, match=said), only_worker_at(lock, "scores", shared=second, patience=0):
            raise AssertionError("two are at one work")
    finally:
        process.kill()
        process.wait()


def test_work_waits_for_the_end_of_a_process_that_was_left(tmp_path: Path) -> None:
    process = work(tmp_path / "scores.lock", "alone")
    killer = threading.Timer(1, process.kill)
    killer.start()
    with only_worker_at(tmp_path / "scores.lock", "scores"):
        assert process.wait() == -signal.SIGKILL
        assert f"process {os.getpid()} " in (tmp_path / "scores.lock").read_text()
