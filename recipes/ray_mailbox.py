"""How far the work of Ray's workers is: reports of their progress, and the actor that keeps them for the driver.

It imports little, since the actor is a process of its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from benchmark.progress import Advance

REPORTING = 0.5
"""Seconds between reports of an advance."""


@dataclass(frozen=True)
class Begun:
    """The unit itself has been begun."""


@dataclass(frozen=True)
class Opened:
    """A task of a unit has been opened."""

    number: int
    title: str
    total: int
    alike: bool


@dataclass(frozen=True)
class Advanced:
    """A task has advanced."""

    number: int
    units: int


@dataclass(frozen=True)
class Closed:
    """A task has ended."""

    number: int


Report = Begun | Opened | Advanced | Closed


class ReportingProgress:
    """Progress that is shown by another process; what it takes with it there is `report` alone."""

    def __init__(self, report: Callable[[Report], Any]) -> None:
        """Take what carries a report away; it can be pickled."""
        self._report = report

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Open a task of `total` units; its advance is reported twice a second at most."""
        number, waiting, last = next(_NUMBERS), 0, float("-inf")

        def advance(units: int = 1) -> None:
            nonlocal waiting, last
            waiting += units
            if time.monotonic() - last >= REPORTING:
                self._report(Advanced(number, waiting))
                waiting, last = 0, time.monotonic()

        self._report(Opened(number, title, total, alike))
        try:
            yield advance
        finally:
            self._report(Advanced(number, waiting))
            self._report(Closed(number))


_NUMBERS = count()
"""Of this process's tasks."""


class Mailbox:
    """Keeps reports of workers with the Ray tasks that they came from."""

    def __init__(self) -> None:
        """Start empty."""
        self._held: list[tuple[str, Report]] = []

    def put(self, task: str, report: Report) -> None:
        """Keep a report."""
        self._held.append((task, report))

    def take(self) -> list[tuple[str, Report]]:
        """Give away what is kept."""
        held, self._held = self._held, []
        return held
