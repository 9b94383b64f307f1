"""The live view of a run on a terminal: a line a stage in the order of the plan, and the time left below.

It is one frame that is drawn over itself. Where the terminal is shorter than the plan, stages that are done and stages
to come shrink to counts, so that the running stages and the last line are there.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recipes.display import Clock, FollowedRun, Task
from recipes.stage import Outlook, Prospect
from recipes.time_left import KindTimes, about, exactly

INDENT = 11
"""Columns before a stage's name, in which its state stands."""
REMARK = 26
"""Columns kept free behind the names, for times."""
SHORTEST_NAME = 16
TASK_INDENT = 4
NUMBERS = 36
"""Columns kept free beside a task's title and bar, for units and the time left; more where these are longer."""
GAP = 2
SHORTEST_BAR, LONGEST_BAR = 10, 40
ECHO = 4
"""Columns kept free behind the last line: a terminal writes ^C there."""


class LiveView(FollowedRun):
    """Follows a run in a frame that vanishes with it; a line that says how it ended stays.

    Use it as a context manager: leaving it clears the frame, also after an error or an interruption.
    """

    def __init__(self, console: Console, clock: Clock = time.monotonic, *, auto_refresh: bool = True) -> None:
        """Draw on the console, four times a second unless told otherwise."""
        super().__init__(clock)
        self.console = console
        self._live = Live(get_renderable=lambda: self, console=console, transient=True, auto_refresh=auto_refresh)

    def __enter__(self) -> Self:
        """Wait for the plan: until then the console stays as it is."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the frame and say how the run ended."""
        self._live.stop()
        if self.stages:
            self.console.print(self._farewell(failed=kind is not None), markup=False, highlight=False)

    def planned(self, outlooks: Sequence[Outlook], times: KindTimes) -> None:
        """Take the plan and begin to draw."""
        super().planned(outlooks, times)
        self._live.start(refresh=True)

    def note(self, text: str) -> None:
        """Print a remark, above the frame if it is there."""
        self.console.print(f"note: {text}", markup=False, highlight=False)

    def refresh(self) -> None:
        """Draw the frame anew."""
        self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the frame's rows, one fewer than the terminal has, so that nothing scrolls."""
        with self.lock:
            yield from self._rows(options.max_width, console.height - 1)

    def _rows(self, width: int, height: int) -> list[RenderableType]:
        """Return at most `height` rows. Room goes to the last line first, then the running stage, then the others."""
        running: list[RenderableType] = [self._running_row(stage, width) for stage in self._running_stages()]
        running += [_task_row(task, self.clock(), width) for task in self.tasks]
        running = running[: max(height - 1, 0)]
        passed, to_come = self.passed(), self.to_come()
        (n_passed, hidden_passed), (n_to_come, hidden_to_come) = share_rows(
            len(passed), len(to_come), max(height - 1 - len(running), 0)
        )
        above = [self._passed_row(stage, width) for stage in passed[len(passed) - n_passed :]]
        below = [self._to_come_row(stage, width) for stage in to_come[:n_to_come]]
        if hidden_passed:
            above.insert(0, self._row("done", "green", f"{hidden_passed} stages", "", width))
        if hidden_to_come:
            below.append(self._row("", "", f"{hidden_to_come} more stages", "", width))
        return [*above, *running, *below, self._last_row(width)]

    def _passed_row(self, stage: Outlook, width: int) -> Text:
        if stage.name not in self.seconds:
            return self._row("reused", "dim", stage.name, "", width)
        return self._row("done", "green", stage.name, exactly(self.seconds[stage.name]), width)

    def _running_stages(self) -> list[str]:
        """Return the names of the running stages in the order of the plan."""
        return [stage.name for stage in self.stages if stage.name in self.running]

    def _running_row(self, name: str, width: int) -> Text:
        return self._row("running", "bold cyan", name, exactly(self.clock() - self.running[name]), width)

    def _to_come_row(self, stage: Outlook, width: int) -> Text:
        if stage.prospect is Prospect.REUSED:
            return self._row("", "", stage.name, "will be reused", width)
        expected = self.expected(stage)
        return self._row("", "", stage.name, "" if expected is None else about(expected), width)

    def _row(self, state: str, style: str, name: str, remark: str, width: int) -> Text:
        """Return a stage's row; names that are too long lose their end."""
        longest = max(len(stage.name) for stage in self.stages)
        cut = Text(name, style="" if state in ("running", "done") else "dim")
        cut.truncate(min(longest, max(width - INDENT - REMARK, SHORTEST_NAME)), overflow="ellipsis", pad=True)
        left = Text(f"  {state}".ljust(INDENT), style=style)
        return Text.assemble(left, cut, "  ", (remark, "dim"), no_wrap=True, overflow="ellipsis")

    def _last_row(self, width: int) -> Text:
        elapsed = exactly(self.clock() - self.began)
        text = f"{len(self.done)} of {len(self.stages)} done in {elapsed}; left: {self.time_left()}"
        row = Text(text, style="bold", no_wrap=True, overflow="ellipsis")
        row.truncate(max(width - ECHO, 1), overflow="ellipsis")
        return row

    def _farewell(self, *, failed: bool) -> str:
        elapsed, n = exactly(self.clock() - self.began), len(self.stages)
        if failed:
            where = f" in {', '.join(self._running_stages())}" if self.running else ""
            return f"stopped{where} after {elapsed}; {len(self.done)} of {n} stages are done"
        return f"{n} stages in {elapsed}, {n - len(self.seconds)} of them reused"


def share_rows(n_passed: int, n_to_come: int, rows: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Share rows between the stages before and behind the running one: each half, and what the other leaves over.

    Returns:
        For each side (stages to show, stages that one more row counts).
    """
    for_passed = min(n_passed, rows // 2)
    for_to_come = min(n_to_come, rows - for_passed)
    for_passed = min(n_passed, rows - for_to_come)
    return _shrink(n_passed, for_passed), _shrink(n_to_come, for_to_come)


def _shrink(n: int, rows: int) -> tuple[int, int]:
    if n <= rows:
        return n, 0
    return (rows - 1, n - rows + 1) if rows else (0, 0)


def _task_row(task: Task, now: float, width: int) -> Table:
    """Return a task's row: title, bar, units done of total, time left."""
    left = task.seconds_left(now)
    numbers = f"{task.pace.done} of {task.pace.total}", "" if left is None else f"{about(left)} left"
    room = width - TASK_INDENT - max(NUMBERS, sum(map(len, numbers)) + 4 * GAP)
    title = Text(task.title)
    title.truncate(max(room - SHORTEST_BAR, 1), overflow="ellipsis")
    bar = min(max(room - title.cell_len, SHORTEST_BAR), LONGEST_BAR)
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for _ in range(4):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    progress = ProgressBar(total=max(task.pace.total, 1), completed=task.pace.done, width=bar)
    grid.add_row(Text(" " * TASK_INDENT) + title, progress, *numbers)
    return grid
