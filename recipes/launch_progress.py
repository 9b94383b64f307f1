"""Progress of work that another process does: it writes lines, which the process that shows them reads as they come."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from benchmark.progress import Advance, Progress


class WrittenProgress:
    """Writes what happens into a file, a line each."""

    def __init__(self, path: Path) -> None:
        """Begin the file."""
        self._path = path
        self._numbers = count(1)
        path.touch()

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Open a task of `total` units."""
        number = next(self._numbers)

        def advance(units: int = 1) -> None:
            self._write({"task": number, "units": units})

        self._write({"task": number, "title": title, "total": total, "alike": alike})
        try:
            yield advance
        finally:
            self._write({"task": number, "closed": True})

    def _write(self, row: dict[str, object]) -> None:
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:  # a full disk must not end the work
            file.write(json.dumps(row) + "\n")


class ProgressReader:
    """Tells a view what stands in such a file."""

    def __init__(self, path: Path, progress: Progress) -> None:
        """Read nothing yet; the file need not be there."""
        self._path, self._progress = path, progress
        self._offset = 0
        self._tasks: dict[int, tuple[AbstractContextManager[Advance], Advance]] = {}

    def forward(self) -> None:
        """Tell what has come since the last call; a line whose end is not there yet waits."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._tell(json.loads(line))

    def close(self) -> None:
        """Close all tasks that are open: who worked at them has ended."""
        self.forward()
        for number in list(self._tasks):
            self._tell({"task": number, "closed": True})

    def _tell(self, row: dict[str, Any]) -> None:
        number = row["task"]
        if "title" in row:
            opened = self._progress.task(row["title"], row["total"], alike=row["alike"])
            self._tasks[number] = opened, opened.__enter__()
        elif "closed" in row:
            self._tasks.pop(number)[0].__exit__(None, None, None)
        else:
            self._tasks[number][1](row["units"])
