"""The arithmetic of the time left, on numbers worked out by hand."""

from itertools import pairwise

import pytest

from recipes.time_left import KindTimes, Pace, TimeLeft, about, add_up, exactly


def pace(total: int, *reports: tuple[float, int]) -> Pace:
    """Return a pace after (time, units) reports."""
    made = Pace(total)
    for now, units in reports:
        made.advance(units, now)
    return made


def test_a_steady_task_takes_its_seconds_a_unit_for_the_rest() -> None:
    steady = pace(10, (0, 1), (2, 1), (4, 1), (6, 1))
    assert steady.seconds_left(6) == 12.0  # 2 s a unit, 6 units
    assert steady.seconds_left(7.5) == 10.5  # the next report is due at 8


@pytest.mark.parametrize("reports", [[], [(0, 0)], [(0, 0), (9, 4)]])
def test_before_a_third_report_nothing_is_known(reports: list[tuple[float, int]]) -> None:
    assert pace(10, *reports).seconds_left(10) is None


def test_the_loading_of_the_model_is_not_in_the_pace() -> None:
    assert pace(30, (0, 0), (100, 10), (103, 10)).seconds_left(103) == 3.0


def test_units_that_an_interrupted_run_left_are_not_in_the_pace() -> None:
    at_once = pace(40, (0, 30), (5, 1), (15, 1))
    assert at_once.seconds_left(15) == 80.0  # 10 s a unit, 8 units
    one_by_one = pace(40, (0, 0), *[(5 + i / 1000, 1) for i in range(31)], (15.03, 1))
    assert one_by_one.seconds_left(15.03) == pytest.approx(80.0)


def test_the_pace_is_that_of_the_last_part_not_of_the_start() -> None:
    slow = [(1.0 * i, 1) for i in range(100)]  # 1 s a unit
    fast = [(99 + 0.25 * i, 1) for i in range(1, 401)]  # then 4 units a second for 100 s
    assert pace(600, *slow, *fast).seconds_left(199.0) == pytest.approx(25.0)


def test_slow_units_are_judged_by_the_last_eight_even_if_they_took_longer_than_the_window() -> None:
    reports = [(10.0 * i, 1) for i in range(5)] + [(40 + 100.0 * i, 1) for i in range(1, 10)]
    assert pace(16, *reports).seconds_left(940.0) == 200.0


def test_a_task_that_stands_still_has_ever_more_time_left() -> None:
    stuck = pace(10, (0, 1), (2, 1), (4, 1), (6, 1))
    assert stuck.seconds_left(8) == 10.0  # the fifth unit is due now, and five are behind it
    assert stuck.seconds_left(16) == pytest.approx(70 / 3)  # 14 s for the last three units, five are behind them
    left = [stuck.seconds_left(now) or 0.0 for now in (8, 12, 20, 40)]
    assert all(earlier < later for earlier, later in pairwise(left))


def test_a_finished_task_has_nothing_left_however_it_was_counted() -> None:
    assert pace(3, (0, 3)).seconds_left(1) == 0.0
    assert pace(3, (0, 1), (1, 1), (2, 5)).seconds_left(9) == 0.0
    assert Pace(0).seconds_left(0) == 0.0


def test_a_stage_to_come_is_judged_by_the_mean_of_its_kind() -> None:
    times = KindTimes([("policy/icl", 2.0), ("policy/base/sft", 10.0), ("scores", 3.0)])
    assert times.mean("policy/dpo") == 6.0
    assert times.mean("scores") == 3.0
    assert times.mean("responses/icl") is None
    times.add("responses/sft", 40.0)
    assert times.mean("responses/icl") == 40.0


@pytest.mark.parametrize(
    ("expected", "left", "shown"),
    [
        ([200.0, 40.0, None, None, None], TimeLeft(240.0, 3), "about 4 min, and 3 stages not timed yet"),
        ([12.0, None], TimeLeft(12.0, 1), "about 12 s, and 1 stage not timed yet"),
        ([None, None], TimeLeft(None, 2), "2 stages not timed yet"),
        ([0.2], TimeLeft(0.2, 0), "under 1 s"),
        ([], TimeLeft(None, 0), "nothing"),
    ],
)
def test_what_cannot_be_judged_is_counted_and_never_guessed(
    expected: list[float | None], left: TimeLeft, shown: str
) -> None:
    assert add_up(expected) == left
    assert str(left) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "under 1 s"),
        (0.6, "about 1 s"),
        (59.4, "about 59 s"),
        (59.6, "about 1 min"),
        (3569, "about 59 min"),
        (3580, "about 1 h 0 min"),
        (8100, "about 2 h 15 min"),
    ],
)
def test_an_estimate_is_rounded(seconds: float, shown: str) -> None:
    assert about(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.9, "0 s"), (59.9, "59 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"), (4830, "1 h 20 min")],
)
def test_a_measured_time_is_cut(seconds: float, shown: str) -> None:
    assert exactly(seconds) == shown
