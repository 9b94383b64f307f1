"""One run at a time in a run directory, and one process at a time at a piece of its work.

The locks are the operating system's, on an open file: they end with the process that holds them, however that ends, so
that a killed run leaves nothing to clear away. What the files say is for people alone.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from benchmark.errors import RunFailure

LOCK = "run.lock"
PATIENCE = 180.0
"""Seconds to wait for a process that a killed run left: longer than a network file system keeps a dead host's locks."""
POLLING = 0.1


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold a run directory, which must be there, for as long as the block runs.

    Raises:
        RunFailure: another run, of this process or another, holds it.
    """
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if not _take(file, shared=False):
            raise RunFailure(_held(folder, file.name))
        _sign(file)
        yield


@contextmanager
def only_worker_at(path: Path, work: str, *, shared: bool = False, patience: float | None = PATIENCE) -> Iterator[None]:
    """Hold a piece of work by the lock file `path` for as long as the block runs, waiting for who has it.

    Args:
        path: of the lock file, in a folder that is there.
        work: what the work is called when it cannot be had.
        shared: hold it together with others that share it; who wants it alone waits for them all.
        patience: seconds to wait; None waits without end.

    Raises:
        RunFailure: another process has it still.
    """
    with path.open("a+", encoding="utf-8") as file:
        start = time.monotonic()
        while not _take(file, shared=shared):
            if patience is not None and time.monotonic() - start > patience:
                raise RunFailure(_kept(path, work))
            time.sleep(POLLING)
        _sign(file)
        yield


def _take(file: IO[str], *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(file: IO[str]) -> None:
    """Say in the file who holds it, unless the disk is full: the lock holds without."""
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _kept(path: Path, work: str) -> str:
    holder = path.read_text(encoding="utf-8").strip() or "another process"
    return f"{work} is still being worked on by {holder}, which an earlier run left; end that process, then run again"


def _held(folder: Path, name: str) -> str:
    holder = Path(name).read_text(encoding="utf-8").strip() or "another run"
    return f"{folder} is in use by {holder}; wait until that run has ended, or give another directory (--out)"
