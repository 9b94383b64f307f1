"""Progress on a terminal as live bars, elsewhere as a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.progress import Advance

SECONDS_BETWEEN_LINES = 10.0


class ConsoleProgress:
    """Shows the advance of tasks on a rich console."""

    def __init__(self, console: Console) -> None:
        """Bars where the console is a terminal, lines where it is a file or a pipe."""
        self.console = console

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Open a task of `total` units."""
        with self._bar(title, total) if self.console.is_terminal else self._lines(title, total) as advance:
            yield advance

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Advance]:
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, *times, console=self.console, transient=True) as bars:
            bar = bars.add_task(title, total=total)

            def advance(units: int = 1) -> None:
                bars.advance(bar, units)

            yield advance

    @contextmanager
    def _lines(self, title: str, total: int) -> Iterator[Advance]:
        start = shown = time.monotonic()
        done = 0

        def advance(units: int = 1) -> None:
            nonlocal done, shown
            done += units
            now = time.monotonic()
            if done and now - shown >= SECONDS_BETWEEN_LINES:
                shown = now
                left = (now - start) / done * (total - done)
                self.console.print(f"  {title}: {done} of {total}, about {left:.0f} s left", highlight=False)

        yield advance
