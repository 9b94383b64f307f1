"""Two runs never work in one directory, and a run that was killed leaves nothing in the way of the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import RunFailure
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
