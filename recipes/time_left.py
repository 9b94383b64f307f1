"""How long a run still takes: arithmetic on times that others measured. Seconds everywhere; the clock is the caller's.

A running stage is judged by its own pace over the last part of its work. A stage to come is judged by the mean of the
stages of its kind that have been timed; where there is none, it is counted and never guessed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds of work that a pace looks back on."""
FEWEST = 8
"""Intervals that a pace looks back on where they span more than the window."""
SETTLING = 0.5
"""Seconds after a task's second report in which further reports are not measured."""


class Pace:
    """The advance of one task of `total` units, and how long the rest takes at the speed of the last part.

    What is measured starts with the second report. The time before it holds the loading of a model, and a task that
    goes on from an interrupted run reports at once, in one report or in many, the units that it found made.
    """

    def __init__(self, total: int) -> None:
        """Start with nothing done."""
        self.total = total
        self.done = 0
        self._reports = 0
        self._settled = 0.0
        self._marks: deque[tuple[float, int]] = deque()

    def advance(self, units: int, now: float) -> None:
        """Count units that were done by the time `now`."""
        self.done += units
        self._reports += 1
        if self._reports <= 2:
            self._settled = now + SETTLING
        if now <= self._settled:
            self._marks.clear()
        self._marks.append((now, self.done))
        while len(self._marks) > FEWEST + 1 and self._marks[1][0] < now - WINDOW:
            self._marks.popleft()

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that the remaining units take; None before anything could be measured.

        A report that is overdue lowers the speed, so that a task that stands still does not count down to nothing.
        """
        remaining = self.total - self.done
        if remaining <= 0:
            return 0.0
        if len(self._marks) < 2:
            return None
        (start, before), (last, done) = self._marks[0], self._marks[-1]
        if done == before:
            return None
        intervals = len(self._marks) - 1
        units = (done - before) / intervals
        waited = now - last
        if waited <= (last - start) / intervals:
            return max((last - start) / (done - before) * remaining - waited, 0.0)
        return (now - start) / (done - before + units) * max(remaining - units, 0.0)


class KindTimes:
    """How long finished stages took, by kind: the part of a stage's name before the first "/"."""

    def __init__(self, timed: Iterable[tuple[str, float]] = ()) -> None:
        """Take (name of a stage, seconds) of stages that have been timed already."""
        self._seconds: dict[str, list[float]] = {}
        for name, seconds in timed:
            self.add(name, seconds)

    def add(self, name: str, seconds: float) -> None:
        """Take the seconds of one more finished stage."""
        self._seconds.setdefault(_kind(name), []).append(seconds)

    def mean(self, name: str) -> float | None:
        """Return the mean seconds of the stages of this stage's kind; None if none has been timed."""
        seconds = self._seconds.get(_kind(name))
        return None if seconds is None else sum(seconds) / len(seconds)


@dataclass(frozen=True)
class TimeLeft:
    """What is known of the time that is left."""

    seconds: float | None
    """Of the stages that can be judged; None if there is no such stage."""
    untimed: int
    """Stages that cannot be judged."""

    def __str__(self) -> str:
        """Such as "about 4 min, and 3 stages not timed yet"."""
        untimed = f"{self.untimed} stage{'' if self.untimed == 1 else 's'} not timed yet"
        if self.seconds is None:
            return untimed if self.untimed else "nothing"
        return f"{about(self.seconds)}, and {untimed}" if self.untimed else about(self.seconds)


def add_up(expected: Iterable[float | None]) -> TimeLeft:
    """Add the seconds that stages are expected to take; None stands for a stage that cannot be judged."""
    known, untimed = [], 0
    for seconds in expected:
        if seconds is None:
            untimed += 1
        else:
            known.append(seconds)
    return TimeLeft(sum(known) if known else None, untimed)


def about(seconds: float) -> str:
    """Return an estimate in words: seconds below one minute, then minutes, then hours and minutes."""
    if seconds < 0.5:
        return "under 1 s"
    if round(seconds) < 60:
        return f"about {round(seconds)} s"
    return f"about {_hours(round(seconds / 60))}"


def exactly(seconds: float) -> str:
    """Return a measured time in words: "12 s", "3 min 5 s", "1 h 20 min"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else _hours(whole // 60)


def _hours(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _kind(name: str) -> str:
    return name.partition("/")[0]
