"""One run at a time in a run directory.

The lock is the operating system's, on an open file: it ends with the process that holds it, however that ends, so that
a killed run leaves nothing to clear away. What the file says is for people alone.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import RunFailure

LOCK = "run.lock"


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold a run directory, which must be there, for as long as the block runs.

    Raises:
        RunFailure: another run, of this process or another, holds it.
    """
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailure(_held(folder, file.name)) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _held(folder: Path, name: str) -> str:
    holder = Path(name).read_text(encoding="utf-8").strip() or "another run"
    return f"{folder} is in use by {holder}; wait until that run has ended, or give another directory (--out)"
