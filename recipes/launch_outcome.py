"""What the processes of a launched training leave in its folder, and what its end says to the user."""

import re
import signal
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmark.errors import Mistake, RpmMethodsError, RunFailure, UserMistakes
from benchmark.run_store import read_json, write_json

LAUNCH = "launch"
"""Folder within the stage's that holds the job, the logs and the outcome of the last launch."""
REPORT, PROGRESS, LAUNCHER_LOG = "report.json", "progress.jsonl", "launcher.log"
LAST_LINES = 5
_FAILED_PROCESS = re.compile(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
"""How the launcher's summary, torch's, names a process that failed and its exit code; a signal's number is negative."""
_ONE_PROCESS = re.compile(r"died with <Signals\.\w+: (\d+)>")
"""How it says so where there is one process."""


def log_file(place: Path, index: int) -> Path:
    """Return the file of all that a process says."""
    return place / f"process-{index}.log"


def write_failure(place: Path, index: int, error: Exception) -> None:
    """Leave what ended a process, for the run that launched it."""
    mistakes = [asdict(mistake) for mistake in error.mistakes] if isinstance(error, UserMistakes) else []
    known = isinstance(error, RpmMethodsError)
    said = str(error) if known else "".join(traceback.format_exception_only(error)).strip()
    write_json(_failure_file(place, index), {"process": index, "known": known, "said": said, "mistakes": mistakes})


def failure_of(place: Path, processes: int) -> RpmMethodsError:
    """Return the error that says to the user why a launch failed: the one that came first.

    A process that is killed makes the others fail too, and their errors say only that it is gone.
    """
    failures = [read_json(path) for path in sorted(place.glob("failure-*.json"))]
    known = next((failure for failure in failures if failure["known"]), None)
    if known is not None:
        mistakes = [Mistake(**mistake) for mistake in known["mistakes"]]
        return UserMistakes(mistakes) if mistakes else RunFailure(known["said"])
    killed = next(_killed(place), None)
    if killed is not None:
        index, number = killed
        why = f"was killed by {signal.Signals(number).name}"
        if number == signal.SIGKILL:
            why += ", which the system does to a process for which there is no memory left"
        return _failure(place, index, processes, why)
    if failures:
        return _failure(place, failures[0]["process"], processes, f"failed: {failures[0]['said']}")
    said = _last_lines(place / LAUNCHER_LOG)
    return RunFailure(f"the training could not be launched; the launcher says{said}\nsee {place / LAUNCHER_LOG}")


def _failure(place: Path, index: int, processes: int, why: str) -> RunFailure:
    log = log_file(place, index)
    return RunFailure(
        f"process {index} of the {processes} that train together {why}; the others were ended, and the same command "
        f"goes on from the last checkpoint; its log {log} ends{_last_lines(log)}"
    )


def _killed(place: Path) -> Iterator[tuple[int, int]]:
    """Yield (process, signal) of each that a signal ended, those left out that the launcher ended itself."""
    log = place / LAUNCHER_LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    found = [(int(index), -int(code)) for index, code in _FAILED_PROCESS.findall(text)]
    found += [(0, int(number)) for number in _ONE_PROCESS.findall(text)]
    return ((index, number) for index, number in found if number > 0 and number != signal.SIGTERM)


def _failure_file(place: Path, index: int) -> Path:
    return place / f"failure-{index}.json"


def _last_lines(path: Path) -> str:
    """Return the end of a log, indented, behind a colon; or that there is nothing."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
    return ":\n" + "\n".join(f"  {line}" for line in lines) if lines else " without a word"
