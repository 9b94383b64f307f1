"""How long work reports what is done and left; the command line puts a live display behind it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Something that shows the advance of named tasks."""

    def task(self, title: str, total: int, *, alike: bool = True) -> AbstractContextManager["Advance"]:
        """Open a task of `total` units: `with progress.task(...) as advance: advance(1)`.

        Args:
            title: what is done.
            total: number of units.
            alike: whether its units take like times. Where they do not, as those of a work whose parts are tasks
                themselves, nobody can tell from some how long the others will take.
        """


class Advance(Protocol):
    """Call it with the number of units that have just been done."""

    def __call__(self, units: int = 1) -> None:
        """Count `units` as done."""


class SilentProgress:
    """Shows nothing: for tests and for use as a library."""

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Open a task that nobody watches."""

        def advance(units: int = 1) -> None:
            return None

        yield advance
