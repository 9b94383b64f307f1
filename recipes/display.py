"""What is known of a run while it goes on, and the plainest view of it: lines, for files and pipes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import Protocol

from rich.console import Console

from benchmark.progress import Advance, Progress
from recipes.stage import Outlook, Prospect, RunObserver
from recipes.time_left import KindTimes, Pace, TimeLeft, about, add_up

SECONDS_BETWEEN_LINES = 10.0
Clock = Callable[[], float]
"""Returns seconds from any fixed moment."""


class RunView(Progress, RunObserver, Protocol):
    """Follows a run: its stages, and the tasks within them."""


@dataclass
class Task:
    """A part of a stage's work that is being done."""

    title: str
    pace: Pace
    alike: bool
    """Whether its units take like times."""

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that it still takes; None where nothing can be said."""
        return self.pace.seconds_left(now) if self.alike else None

    def parts_to_come(self) -> int:
        """Return how many of its units have not begun, where they are not alike; else 0."""
        return 0 if self.alike else max(self.pace.total - self.pace.done - 1, 0)


class FollowedRun:
    """The stages of a run in their order, how far it is, and the tasks of the running stages; shows nothing itself.

    Several stages may run at once, and finish in any order.

    A view may draw from another thread than the one that works, so it holds `lock` while it reads.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Start the clock; there are no stages yet."""
        self.clock = clock
        self.lock = RLock()
        self.began = clock()
        self.stages: list[Outlook] = []
        self.seconds: dict[str, float] = {}
        """Stages that this run finished, with their seconds."""
        self.done: set[str] = set()
        """Stages finished or reused."""
        self.running: dict[str, float] = {}
        """Stages that run, with the time at which they started."""
        self.tasks: list[Task] = []
        self._times = KindTimes()

    def planned(self, outlooks: Sequence[Outlook], times: KindTimes) -> None:
        """Take the stages in order and what is known of their times."""
        with self.lock:
            self.stages, self._times = list(outlooks), times

    def reused(self, name: str) -> None:
        """Pass over a stage."""
        with self.lock:
            self.done.add(name)

    def started(self, name: str) -> None:
        """Let a stage run."""
        with self.lock:
            self.running[name] = self.clock()

    def resumed(self, name: str) -> None:
        """Let a stage go on."""
        self.started(name)

    def finished(self, name: str, seconds: float) -> None:
        """End a running stage; others of its kind are judged by it too."""
        with self.lock:
            del self.running[name]
            self.seconds[name] = seconds
            self._times.add(name, seconds)
            self.done.add(name)

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Open a task of `total` units."""
        opened = Task(title, Pace(total), alike)

        def advance(units: int = 1) -> None:
            with self.lock:
                opened.pace.advance(units, self.clock())
            self.advanced(opened)

        with self.lock:
            self.tasks.append(opened)
        try:
            yield advance
        finally:
            with self.lock:
                self.tasks.remove(opened)

    def advanced(self, task: Task) -> None:
        """See a task advance."""

    def passed(self) -> list[Outlook]:
        """Return the stages that are finished or reused."""
        return [stage for stage in self.stages if stage.name in self.done]

    def to_come(self) -> list[Outlook]:
        """Return the stages that neither run nor are done."""
        return [stage for stage in self.stages if stage.name not in self.done and stage.name not in self.running]

    def expected(self, stage: Outlook) -> float | None:
        """Return the seconds that a stage to come should take; None if its kind was never timed or nothing is done."""
        return None if stage.prospect is Prospect.REUSED else self._times.mean(stage.name)

    def time_left(self) -> TimeLeft:
        """Return the time that is left of the run, if as many stages go on running at once as run now."""
        with self.lock:
            at_once = max(len(self.running), 1)
            expected = [self.expected(stage) for stage in self.to_come() if stage.prospect is not Prospect.REUSED]
            left = [None if seconds is None else seconds / at_once for seconds in expected]
            return add_up([*self._running_left(), *left])

    def _running_left(self) -> list[float | None]:
        """Judge the running stages by the slowest of their tasks, or where they cannot be judged so, by their kinds.

        They cannot before anything has advanced, nor while parts are to come that are unlike those that were. A stage
        that takes longer than its kind is not about to end: nothing is known of it until its pace is.
        """
        now = self.clock()
        paces = [left for task in self.tasks if (left := task.seconds_left(now)) is not None]
        if paces and not any(task.parts_to_come() for task in self.tasks):
            return [max(paces)]
        kinds = [self._kind_left(name, now - since) for name, since in self.running.items()]
        known = [left for left in kinds if left is not None]
        return [*([max(known)] if known else []), *[None] * (len(kinds) - len(known))]

    def _kind_left(self, name: str, elapsed: float) -> float | None:
        mean = self._times.mean(name)
        return None if mean is None or elapsed > mean else mean - elapsed


class StageLines:
    """Says a line for each thing that happens to a stage."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Take what says a line."""
        self._tell = tell

    def planned(self, outlooks: Sequence[Outlook], times: KindTimes) -> None:
        """Say nothing: each stage is told as its turn comes."""

    def reused(self, name: str) -> None:
        """Say that a stage is done already."""
        self._tell(f"reused   {name}")

    def started(self, name: str) -> None:
        """Say that a stage starts."""
        self._tell(f"started  {name}")

    def resumed(self, name: str) -> None:
        """Say that a stage goes on."""
        self._tell(f"resumed  {name}")

    def finished(self, name: str, seconds: float) -> None:
        """Say how long a stage took."""
        self._tell(f"finished {name} in {seconds:.0f} s")

    def note(self, text: str) -> None:
        """Say a remark."""
        self._tell(f"note: {text}")


class LineView(FollowedRun):
    """Follows a run in lines: what happens to each stage, and every ten seconds how far a task is."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        """Print on the console."""
        super().__init__(clock)
        self._tell = partial(console.print, markup=False, highlight=False, soft_wrap=True)
        self._lines = StageLines(self._tell)
        self._shown = self.began

    def reused(self, name: str) -> None:
        """Say that a stage is done already."""
        super().reused(name)
        self._lines.reused(name)

    def started(self, name: str) -> None:
        """Say that a stage starts."""
        super().started(name)
        self._shown = self.running[name]
        self._lines.started(name)

    def resumed(self, name: str) -> None:
        """Say that a stage goes on."""
        super().started(name)
        self._shown = self.running[name]
        self._lines.resumed(name)

    def finished(self, name: str, seconds: float) -> None:
        """Say how long a stage took."""
        super().finished(name, seconds)
        self._lines.finished(name, seconds)

    def note(self, text: str) -> None:
        """Say a remark."""
        self._lines.note(text)

    def advanced(self, task: Task) -> None:
        """Say how far the task is, if the last line was ten seconds ago."""
        now = self.clock()
        if not task.pace.done or now - self._shown < SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        left = task.seconds_left(now)
        own = "" if left is None else f", {about(left)} left"
        self._tell(f"  {task.title}: {task.pace.done} of {task.pace.total}{own}; left of the run: {self.time_left()}")
