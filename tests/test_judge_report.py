"""The report's numbers, worked out by hand from a few scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from judge_helpers import samples

from benchmark import Sample
from benchmark.spending import Ledger, Limits, Prices
from scoring.judge.report import judge_report
from scoring.judge.scores import ENSEMBLE, Response, Score

FIVE = samples(5)
"""Subset id has S-0, S-2 and S-4; german has S-1 and S-3."""


def scored(method: str, values: Mapping[Sample, float | None], judge: str = ENSEMBLE) -> list[Score]:
    return [
        Score(
            Response(method, sample, "Well."),
            judge,
            "win_rate",
            value,
            None if value is not None else "unreadable: no line begins a JSON object",
            {} if value is None else {"response_first": min(1.0, 2 * value), "golden_first": max(0.0, 2 * value - 1)},
        )
        for sample, value in values.items()
    ]


def report(scores: Sequence[Score], ledger: Ledger | None = None) -> dict[str, Any]:
    return judge_report(scores, [], ledger or Ledger({}, Limits()), resamples=200, seed=1)


def mean(made: Mapping[str, Any], subset: str | None) -> dict[str, Any]:
    (row,) = [row for row in made["means"] if row["subset"] == subset]
    return dict(row)


def test_the_average_is_the_mean_of_the_subsets_and_not_of_the_samples() -> None:
    made = report(scored("m", dict(zip(FIVE, [1.0, 0.0, 1.0, 0.5, 0.25], strict=True))))
    assert mean(made, "id")["mean"] == pytest.approx(0.75)
    assert mean(made, "german")["mean"] == pytest.approx(0.25)
    average = mean(made, None)
    assert average["mean"] == pytest.approx(0.5)
    assert average["ci_low"] < 0.5 < average["ci_high"]
    assert (average["n_samples"], average["n_scored"], average["interval_reliable"]) == (5, 5, False)


def test_what_has_no_value_is_left_out_and_counted() -> None:
    made = report(scored("m", dict(zip(FIVE, [1.0, None, None, None, 0.5], strict=True))))
    found = mean(made, "id")
    assert (found["mean"], found["n_samples"], found["n_scored"]) == (0.75, 3, 2)
    found = mean(made, "german")
    assert (found["mean"], found["ci_low"], found["n_scored"], found["n_clusters"]) == (None, None, 0, 0)
    assert mean(made, None)["mean"] == 0.75
    assert made["unscored"] == [{"judge": ENSEMBLE, "metric": "win_rate", "reason": "unreadable", "count": 3}]


def test_a_run_without_any_value_has_a_report() -> None:
    made = report(scored("m", dict.fromkeys(FIVE), "one") + scored("m", dict.fromkeys(FIVE)))
    assert {row["mean"] for row in made["means"]} == {None}
    assert made["position_bias"][0]["disagree"] is None
    assert {row["per_doubling"] for row in made["length_bias"]} == {None}


def test_position_bias_is_of_single_judges_over_all_methods() -> None:
    one = dict(zip(FIVE, [1.0, 0.0, 0.5, 0.5, 1.0], strict=True))
    made = report(scored("m", one, "j") + scored("n", one, "j") + scored("m", one) + scored("n", one))
    (found,) = made["position_bias"]
    assert (found["judge"], found["n_scored"]) == ("j", 10)
    assert found["disagree"] == pytest.approx(2 / 5)
    assert found["first_place"] == pytest.approx(2 / 5)


def test_spending_is_told_by_judge_and_unknown_where_it_was_not_counted() -> None:
    prices = Prices(prompt=1.0, completion=3.0)
    ledger = Ledger({"a": prices, "b": prices, "c": None}, Limits())
    for judge, tokens, repair in (("a", 100, False), ("a", 200, True), ("b", 100, False), ("b", None, False)):
        ledger.count(judge, repair=repair, prompt_tokens=tokens, completion_tokens=tokens)
    rows = report(scored("m", {FIVE[0]: 1.0}), ledger)["spending"]
    assert [(r["judge"], r["answers"], r["repairs"], r["prompt_tokens"], r["unmeasured"]) for r in rows] == [
        ("a", 2, 1, 300, 0),
        ("b", 2, 0, 100, 1),
        ("c", 0, 0, 0, 0),
    ]
    assert [row["money"] for row in rows] == [pytest.approx((300 * 1 + 300 * 3) / 1e6), None, None]
    assert [row["prices"] for row in rows] == [{"prompt": 1.0, "completion": 3.0}] * 2 + [None]
