"""A line between a process and those that it started, however far down: when it ends, whatever ends it, they end too.

It is a named pipe, one end of which the first process holds open. A killed run thus leaves no training behind that
would write into the same folder as the next.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from benchmark.run_store import disk_errors


@contextmanager
def lifeline() -> Iterator[Path]:
    """Hold a line for as long as the block runs; its path is what other processes take hold of it by."""
    with tempfile.TemporaryDirectory(prefix="rpm-methods-") as folder:
        path = Path(folder) / "lifeline"
        with disk_errors(path):
            os.mkfifo(path)
            end = os.open(path, os.O_RDWR)  # no process started from here inherits it
        try:
            yield path
        finally:
            os.close(end)


def hold_on_to(path: Path) -> None:
    """End this process, at once, as soon as nobody holds the line any more.

    Raises:
        FileNotFoundError: nobody does, and it is gone.
    """
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(end, True)
    Thread(target=_end_with, args=(end,), daemon=True).start()


def _end_with(end: int) -> None:
    os.read(end, 1)  # nobody writes, so this returns when the line is closed
    os._exit(1)
