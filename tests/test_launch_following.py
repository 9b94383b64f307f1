"""A launched training is followed line by line, ends with the run that launched it, and says why it failed."""

import os
import pickle
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmark import RunFailure, UserMistakes
from benchmark.errors import Mistake
from benchmark.progress import Advance
from benchmark.run_store import write_json
from recipes.launch_outcome import LAUNCHER_LOG, failure_of, log_file, write_failure
from recipes.launch_progress import ProgressReader, WrittenProgress
from rpm_methods.checkpoints import RANDOM_STATE, STATE, last_checkpoint

HOLDER = """
import sys, time
from recipes.lifeline import lifeline
with lifeline() as line:
    print(line, flush=True)
    time.sleep(60)
"""
HANGER = """
import sys, time
from pathlib import Path
from recipes.lifeline import hold_on_to
hold_on_to(Path(sys.argv[1]))
print("holding", flush=True)
time.sleep(60)
"""
SUMMARY = """W1121 20:21:14 torch/distributed/elastic/api.py:908] Sending process 11 closing signal SIGTERM
============================================================
recipes.launched_worker FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-21_20:21:14
  host      : here
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 11)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-21_20:21:14
  host      : here
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 12)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 12
============================================================
"""


@dataclass
class Told:
    """A view that keeps what it is told."""

    events: list[tuple[str, object]] = field(default_factory=list)

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Keep that a task is opened, each of its units and that it is closed."""
        self.events.append(("opened", (title, total, alike)))
        yield lambda units=1: self.events.append((title, units))
        self.events.append(("closed", title))


def test_tasks_that_are_written_are_told_as_they_come(tmp_path: Path) -> None:
    path, told = tmp_path / "progress.jsonl", Told()
    reader = ProgressReader(path, told)
    reader.forward()
    written = WrittenProgress(path)
    with written.task("steps", 3, alike=False) as advance:
        reader.forward()
        assert told.events == [("opened", ("steps", 3, False))]
        advance(2)
        with written.task("within", 1) as other:
            other()
        advance()
    reader.forward()
    assert told.events[1:4] == [("steps", 2), ("opened", ("within", 1, True)), ("within", 1)]
    assert told.events[4:] == [("closed", "within"), ("steps", 1), ("closed", "steps")]


def test_a_line_that_is_not_whole_waits_and_what_a_killed_process_left_open_is_closed(tmp_path: Path) -> None:
    path, told = tmp_path / "progress.jsonl", Told()
    reader = ProgressReader(path, told)
    path.write_text('{"task": 1, "title": "steps", "total": 3, "alike": true}\n{"task": 1, "un')
    reader.forward()
    assert told.events == [("opened", ("steps", 3, True))]
    with path.open("a") as file:
        file.write('its": 2}\n{"task":')
    reader.close()
    assert told.events[1:] == [("steps", 2), ("closed", "steps")]


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_ends_when_the_one_that_holds_its_line_is_killed() -> None:
    with python(HOLDER) as holder:
        line = said(holder)
        with python(HANGER, line) as hanger:
            assert said(hanger) == "holding"
            assert hanger.poll() is None
            os.kill(holder.pid, signal.SIGKILL)
            assert hanger.wait(timeout=20) == 1
        with python(HANGER, line) as late:
            assert late.wait(timeout=60) == 1


def test_the_process_that_was_killed_is_named_and_not_the_one_that_missed_it(tmp_path: Path) -> None:
    (tmp_path / LAUNCHER_LOG).write_text(SUMMARY)
    log_file(tmp_path, 1).write_text("loading\n\nstep 3\n")
    write_failure(tmp_path, 0, RuntimeError("Connection closed by peer"))
    error = failure_of(tmp_path, 2)
    assert isinstance(error, RunFailure)
    text = str(error)
    assert text.startswith("process 1 of the 2 that train together was killed by SIGKILL")
    assert str(log_file(tmp_path, 1)) in text
    assert text.endswith(":\n  loading\n  step 3")
    assert "closed by peer" not in text


def test_mistakes_reach_another_process_whole() -> None:
    mistakes = (Mistake("a", "is wrong", "mend it"), Mistake("b", "too"))
    assert pickle.loads(pickle.dumps(UserMistakes(mistakes))).mistakes == mistakes


def test_a_single_process_that_was_killed_is_named_too(tmp_path: Path) -> None:
    (tmp_path / LAUNCHER_LOG).write_text("Command '[...]' died with <Signals.SIGSEGV: 11>.\n")
    assert "process 0 of the 1 that train together was killed by SIGSEGV" in str(failure_of(tmp_path, 1))


def test_an_error_on_purpose_reaches_the_user_as_it_is(tmp_path: Path) -> None:
    (tmp_path / LAUNCHER_LOG).write_text(SUMMARY)
    write_failure(tmp_path, 0, RuntimeError("Connection closed by peer"))
    write_failure(tmp_path, 3, RunFailure("the longest batch does not fit"))
    assert str(failure_of(tmp_path, 4)) == "the longest batch does not fit"
    mistakes = [Mistake("a", "is wrong", "mend it"), Mistake("b", "too")]
    write_failure(tmp_path, 1, UserMistakes(mistakes))
    error = failure_of(tmp_path, 4)
    assert isinstance(error, UserMistakes)
    assert list(error.mistakes) == mistakes


def test_an_error_of_a_library_comes_with_its_log_and_a_launch_that_never_began_with_the_launchers(
    tmp_path: Path,
) -> None:
    (tmp_path / LAUNCHER_LOG).write_text("ValueError: no such port\n")
    assert str(failure_of(tmp_path, 2)).startswith(
        "the training could not be launched; the launcher says:\n  ValueError"
    )
    log_file(tmp_path, 1).write_text("a\nb\n")
    write_failure(tmp_path, 1, KeyError("lost"))
    assert "process 1 of the 2 that train together failed: KeyError: 'lost'" in str(failure_of(tmp_path, 2))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        write_json(folder / STATE, {"global_step": step, "max_steps": 9})
        for index in (0, 1):
            with zipfile.ZipFile(folder / RANDOM_STATE.format(index=index), "w") as file:
                file.writestr("data", "x" * 1000)
    return tmp_path


def test_a_checkpoint_counts_only_when_every_process_wrote_its_part_to_the_end(checkpoints: Path) -> None:
    latest = checkpoints / "checkpoint-4"
    assert last_checkpoint(checkpoints, 2) == str(latest)
    assert last_checkpoint(checkpoints, 3) is None
    part = latest / RANDOM_STATE.format(index=1)
    part.write_bytes(part.read_bytes()[:500])
    assert last_checkpoint(checkpoints, 2) == str(checkpoints / "checkpoint-2")
    part.unlink()
    assert last_checkpoint(checkpoints, 2) == str(checkpoints / "checkpoint-2")
    assert last_checkpoint(checkpoints) == str(latest), "one process leaves no such parts"
