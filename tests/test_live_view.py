"""What one sees of a run: the frame on a terminal at any size, what stays after it, and the lines elsewhere."""

import io
import os
import pty
import re
import select
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from rich.console import Console

from benchmark.progress import Progress
from recipes.cli.showing import run_and_show
from recipes.display import LineView
from recipes.live_view import LiveView, share_rows
from recipes.run import FinishedRun
from recipes.stage import Outlook, Prospect, RunObserver
from recipes.time_left import KindTimes

NAMES = ("policy/icl", "policy/sft", "responses/icl", "responses/sft", "estimator", "likelihoods", "scores")


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def outlooks(names: Sequence[str] = NAMES, reused: Sequence[str] = ()) -> list[Outlook]:
    known = [(name, Prospect.REUSED if name in reused else Prospect.TO_RUN) for name in names]
    return [Outlook(name, "k" * 64, what, 7.0 if what is Prospect.REUSED else None) for name, what in known]


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def live(console: Console, clock: Clock) -> LiveView:
    return LiveView(console, clock, auto_refresh=False)


def rows(view: LiveView) -> list[str]:
    """Return what the frame shows."""
    lines = view.console.render_lines(view, pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


def screen(written: str) -> list[str]:
    """Return what a terminal shows after all that was written, but for empty lines at its end.

    It knows text, line ends, erased lines and steps upward.
    """
    lines, row = [""], 0
    for text, code in re.findall(r"([^\x1b]+)|\x1b\[\??([\d;]*[A-Za-z])", written):
        if code == "1A":
            row -= 1
        elif code == "2K":
            lines[row] = ""
        for character in text:
            if character == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif character != "\r":
                lines[row] += character
    while lines and not lines[-1]:
        lines.pop()
    return lines


def test_every_stage_has_a_row_in_the_order_of_the_plan() -> None:
    clock, console = Clock(), terminal()
    view = live(console, clock)
    view.planned(outlooks(reused=["policy/icl", "estimator"]), KindTimes([("policy/icl", 7.0)]))
    view.reused("policy/icl")
    view.started("policy/sft")
    clock.now += 130
    view.finished("policy/sft", 130.0)
    view.resumed("responses/icl")
    with view.task("answers of icl", 36) as advance:
        for seconds, units in ((0, 0), (5, 12), (6, 6)):
            clock.now += seconds
            advance(units)
        assert rows(view) == [
            "  reused   policy/icl",
            "  done     policy/sft     2 min 10 s",
            "  running  responses/icl  11 s",
            "    answers of icl  " + "━" * 13 + " " * 13 + "  18 of 36  about 18 s left",
            "           responses/sft",
            "           estimator      will be reused",
            "           likelihoods",
            "           scores",
            "2 of 7 done in 2 min 21 s; left: about 18 s, and 3 stages not timed yet",
        ]
    assert "answers of icl" not in "".join(rows(view))


def test_a_stage_of_unlike_parts_is_not_judged_by_the_part_that_is_done_now_until_it_is_the_last() -> None:
    clock = Clock()
    view = live(terminal(), clock)
    view.planned(outlooks(["estimator", "likelihoods"]), KindTimes([("likelihoods", 60.0)]))
    view.started("estimator")
    with view.task("phases", 3, alike=False) as passed:
        for _ in range(2):
            with view.task("training steps", 9) as advance:
                for _ in range(3):
                    clock.now += 10
                    advance()
                assert rows(view)[2].endswith("3 of 9  about 1 min left"), "of the part"
                assert str(view.time_left()) == "about 1 min, and 1 stage not timed yet", "of likelihoods alone"
            passed()
        assert rows(view)[1].startswith("    phases")
        assert rows(view)[1].endswith("2 of 3"), "two phases say nothing of the third"
        with view.task("training steps", 100) as advance:
            for _ in range(3):
                clock.now += 10
                advance()
            assert str(view.time_left()) == "about 17 min"  # 97 steps of 10 s, and 60 s


@pytest.mark.parametrize("units", [27, 2_700_000])
def test_however_many_the_units_their_number_and_the_time_left_stand_there_whole(units: int) -> None:
    clock = Clock()
    view = live(terminal(), clock)
    view.planned(outlooks(["likelihoods"]), KindTimes([]))
    view.started("likelihoods")
    with view.task("likelihoods of german, fold 1", 6 * units) as advance:
        for _ in range(3):
            clock.now += 1000
            advance(units)
        (line,) = (row for row in rows(view) if " of " in row and "likelihoods" in row and "left" in row)
    assert line.startswith("    likelihoods of")
    assert line.endswith(f"{3 * units} of {6 * units}  about 50 min left")
    assert len(line) <= 80


def test_a_running_stage_is_judged_by_its_kind_until_its_pace_is_known_or_its_kind_is_outlived() -> None:
    clock = Clock()
    view = live(terminal(), clock)
    view.planned(outlooks(["policy/icl", "policy/sft"]), KindTimes([("policy/da", 60.0)]))
    view.started("policy/icl")
    clock.now += 20
    assert rows(view)[-1] == "0 of 2 done in 20 s; left: about 2 min"  # 40 s and 60 s
    with view.task("training steps", 100) as advance:
        for _ in range(3):
            clock.now += 10
            advance()
        assert str(view.time_left()) == "about 17 min"  # 97 steps of 10 s, and 60 s
    clock.now += 11
    assert rows(view)[-1] == "0 of 2 done in 1 min 1 s; left: about 1 min, and 1 stage not timed yet"
    view.finished("policy/icl", 80.0)
    assert str(view.time_left()) == "about 1 min"  # the mean of 60 s and 80 s


def test_stages_that_run_at_once_have_a_row_each_and_shorten_what_is_to_come() -> None:
    clock = Clock()
    view = live(terminal(), clock)
    times = KindTimes([("policy/icl", 60.0), ("responses/icl", 30.0), ("scores", 10.0)])
    view.planned(outlooks(["policy/icl", "policy/sft", "responses/icl", "responses/sft", "scores"]), times)
    view.started("policy/sft")
    clock.now += 20
    view.started("policy/icl")
    assert rows(view) == [
        "  running  policy/icl     0 s",
        "  running  policy/sft     20 s",
        "           responses/icl  about 30 s",
        "           responses/sft  about 30 s",
        "           scores         about 10 s",
        "0 of 5 done in 20 s; left: about 2 min",  # 60 s of the longer one, and half of 70 s
    ]
    view.finished("policy/icl", 0.0)
    view.started("responses/icl")
    assert [row.split()[:2] for row in rows(view)[:3]] == [
        ["done", "policy/icl"],
        ["running", "policy/sft"],
        ["running", "responses/icl"],
    ]


@pytest.mark.parametrize("width", [30, 80, 140])
@pytest.mark.parametrize("height", [3, 4, 5, 6, 9, 14, 26, 30])
@pytest.mark.parametrize("passed", [0, 1, 12, 24])
def test_the_running_stage_and_the_last_line_are_always_in_the_frame(width: int, height: int, passed: int) -> None:
    names = [f"policy/a_rather_long_name_of_a_method_{i:02}" for i in range(25)]
    clock = Clock()
    view = live(terminal(width, height), clock)
    view.planned(outlooks(names), KindTimes())
    for name in names[:passed]:
        view.started(name)
        view.finished(name, 3.0)
    view.started(names[passed])
    with view.task("training steps", 1000):
        shown = rows(view)
    assert len(shown) <= height - 1
    assert max(map(len, shown)) <= width
    assert sum(row.startswith("  running  policy/") for row in shown) == 1
    assert shown[-1].startswith(f"{passed} of 25 done in 0 s")
    if height >= 6:
        counted = [int(found[1]) for row in shown if (found := re.search(r"(\d+) (more )?stages$", row))]
        named = sum(" policy/" in row for row in shown)
        assert named + sum(counted) == 25


@pytest.mark.parametrize(
    ("n_passed", "n_to_come", "available", "shared"),
    [
        (3, 4, 7, ((3, 0), (4, 0))),
        (10, 10, 6, ((2, 8), (2, 8))),
        (1, 20, 6, ((1, 0), (4, 16))),
        (20, 2, 6, ((3, 17), (2, 0))),
        (20, 20, 1, ((0, 0), (0, 20))),
        (5, 5, 0, ((0, 0), (0, 0))),
    ],
)
def test_rows_are_shared_between_what_is_done_and_what_is_to_come(
    n_passed: int, n_to_come: int, available: int, shared: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert share_rows(n_passed, n_to_come, available) == shared


def watch(view: LiveView, error: BaseException | None) -> None:
    """Follow a run whose second stage ends in an error, with remarks before and during the frame."""
    view.note("before")
    view.planned(outlooks(), KindTimes())
    view.started("policy/icl")
    view.note("during")
    view.finished("policy/icl", 0.0)
    view.started("policy/sft")
    with view.task("training steps", 10) as advance:
        advance()
        view.refresh()
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("diverged")])
def test_an_interrupted_or_failed_run_leaves_nothing_of_the_frame(error: BaseException) -> None:
    console = terminal()
    with pytest.raises(type(error)), live(console, Clock()) as view:
        watch(view, error)
    file = console.file
    assert isinstance(file, io.StringIO)
    assert "training steps" in file.getvalue()
    assert screen(file.getvalue()) == [
        "note: before",
        "note: during",
        "stopped in policy/sft after 0 s; 1 of 7 stages are done",
    ]
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")  # the cursor is back


def test_a_run_that_ends_well_leaves_one_line() -> None:
    console, clock = terminal(), Clock()
    with live(console, clock) as view:
        view.planned(outlooks(["scores", "bounds"], reused=["scores"]), KindTimes())
        view.reused("scores")
        view.started("bounds")
        clock.now += 61
        view.finished("bounds", 61.0)
    assert isinstance(console.file, io.StringIO)
    assert screen(console.file.getvalue()) == ["2 stages in 1 min 1 s, 1 of them reused"]


def test_in_a_file_there_is_a_line_for_each_event_and_every_ten_seconds() -> None:
    clock, file = Clock(), io.StringIO()
    view = LineView(Console(file=file, width=40), clock)
    view.note("remark")
    view.planned(outlooks(["policy/icl", "policy/sft", "scores"], reused=["policy/icl"]), KindTimes())
    view.reused("policy/icl")
    view.resumed("policy/sft")
    with view.task("training steps", 20) as advance:
        for _ in range(7):
            clock.now += 4
            advance()
    view.finished("policy/sft", 28.4)
    view.started("scores")
    assert file.getvalue().splitlines() == [
        "note: remark",
        "reused   policy/icl",
        "resumed  policy/sft",
        "  training steps: 3 of 20, about 1 min left; left of the run: about 1 min, and 1 stage not timed yet",
        "  training steps: 6 of 20, about 56 s left; left of the run: about 56 s, and 1 stage not timed yet",
        "finished policy/sft in 28 s",
        "started  scores",
    ]


def interrupted_work(*, progress: Progress, observer: RunObserver) -> FinishedRun:
    """Stand in for a run that the user stops in its first stage."""
    observer.planned(outlooks(), KindTimes())
    observer.started("policy/icl")
    with progress.task("training steps", 10):
        raise KeyboardInterrupt


def read_all(terminal: int) -> str:
    """Read what a pseudo terminal holds; it gives no more than a few kilobytes at a time."""
    held = b""
    while select.select([terminal], [], [], 0.2)[0]:
        held += os.read(terminal, 65536)
    return held.decode()


def test_on_a_terminal_the_view_is_live_and_an_interruption_exits_130(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        console = Console(file=file, width=80, height=24, force_terminal=True)
        with pytest.raises(typer.Exit) as caught:
            run_and_show(console, interrupted_work, report=False)
        file.flush()
        written = read_all(ours)
    os.close(ours)
    assert caught.value.exit_code == 130
    assert "0 of 7 done in 0 s" in written
    assert screen(written) == [
        "stopped in policy/icl after 0 s; 0 of 7 stages are done",
        "interrupted; the same command goes on from here",
    ]


def test_where_colours_are_forced_into_a_pipe_the_view_is_lines() -> None:
    console = terminal()
    with pytest.raises(typer.Exit):
        run_and_show(console, interrupted_work, report=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "started  policy/icl",
        "interrupted; the same command goes on from here",
    ]
