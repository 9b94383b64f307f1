"""The answer in words says what the run's numbers say, by the rules that it states, and no more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from reports.run_data import RunData, read_run
from reports.words import answer

METHODS = ("sft", "dpo", "grpo")
SUBSETS = ("id", "german", "gaming")
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path_factory.mktemp("run"), MadeRun(mini, METHODS, subsets=SUBSETS, caution="")))


def with_scores(run: RunData, **scores: Rows) -> RunData:
    return replace(run, scores={**run.scores, **scores})


def averages(**values: float) -> Rows:
    """Rows of averages with intervals of half width 0.1, of twelve clusters and so unreliable."""
    fixed = {"base_model": "smollm2-135m", "unit": "nats_per_token", "interval_reliable": False}
    return [
        {**fixed, "method": method, "average": value, "ci_low": value - 0.1, "ci_high": value + 0.1}
        for method, value in values.items()
    ]


def difference(first: str, second: str, value: float, p: float | None, *, reliable: bool = True) -> dict[str, Any]:
    return {
        "base_model": "smollm2-135m",
        "first": first,
        "second": second,
        "subset": "average",
        "difference": value,
        "ci_low": value - 0.05,
        "ci_high": value + 0.1,
        "interval_reliable": reliable,
        "adjusted_p": p,
        "unit": "nats_per_token",
    }


def best(run: RunData, *differences: dict[str, Any], **values: float) -> str:
    return answer(with_scores(run, averages=averages(**values), differences=differences))[0]


def test_a_significant_lead_makes_a_method_the_best(run: RunData) -> None:
    said = best(
        run,
        difference("sft", "dpo", -0.3, 0.0004),
        difference("dpo", "grpo", 0.2, 0.01),
        difference("sft", "grpo", -0.1, 0.2),
        sft=0.1,
        dpo=0.4,
        grpo=0.2,
    )
    assert said == (
        "DPO generalises best. The highest average R-EMI is that of DPO: 0.400 [0.300, 0.500] nats a token over 3 "
        "subsets. Its lead over RL, the next, is 0.200 [0.150, 0.300], significant (adjusted p = 0.010). Its lead over "
        "SFT is 0.300 [0.200, 0.350], significant (adjusted p < 0.001). It is significantly above all 2 others."
    )


def test_without_a_significant_difference_nothing_is_ranked(run: RunData) -> None:
    said = best(
        run,
        difference("dpo", "sft", 0.3, 0.06),
        difference("dpo", "grpo", 0.2, None),
        sft=0.1,
        dpo=0.4,
        grpo=0.2,
    )
    assert said.startswith(
        "No difference between two methods' averages is significant after Holm's correction (1 compared), so this run "
        "ranks no method above another."
    )
    assert "generalises best" not in said
    assert "significantly above" not in said
    assert "Its lead over RL, the next, is 0.200 [0.150, 0.300], which could not be tested." in said
    assert "Its lead over SFT is 0.300 [0.250, 0.400], not significant (adjusted p = 0.060)." in said


def test_a_small_p_on_too_few_clusters_does_not_count(run: RunData) -> None:
    said = best(run, difference("dpo", "sft", 0.3, 0.001, reliable=False), sft=0.1, dpo=0.4)
    assert "ranks no method above another" in said
    assert "not counted as significant although adjusted p = 0.001: it rests on fewer than 20 personas" in said


def test_the_best_may_be_told_apart_from_some_alone(run: RunData) -> None:
    said = best(
        run,
        difference("sft", "dpo", -0.3, 0.01),
        difference("dpo", "grpo", 0.1, 0.3),
        sft=0.1,
        dpo=0.4,
        grpo=0.3,
    )
    assert said.startswith("No single method is shown to generalise best.")
    assert "It is significantly above SFT. Not told apart from it: RL." in said


def test_a_significant_difference_among_others_ranks_no_first(run: RunData) -> None:
    said = best(run, difference("sft", "grpo", 0.2, 0.01), sft=0.3, dpo=0.4, grpo=0.1)
    assert said.startswith("No single method is shown to generalise best.")
    assert "Its lead over SFT, the next, is not tested." in said
    assert "significantly above" not in said


def test_the_reference_may_be_first_and_may_lack(run: RunData) -> None:
    first = best(run, difference("sft", "dpo", 0.1, 0.2), sft=0.3, dpo=0.2)
    assert first.count("Its lead over") == 1
    without = best(run, difference("dpo", "grpo", 0.1, 0.2), dpo=0.3, grpo=0.2)
    assert "There is no average of SFT to compare it with." in without
    assert "Without an average: SFT." in without


def test_one_method_is_not_ranked(run: RunData) -> None:
    assert "DPO is the only method with an average R-EMI: 0.300 [0.200, 0.400]" in best(run, dpo=0.3)
    assert "There is nothing to rank." in best(run, dpo=0.3)


def test_without_differences_no_method_is_ranked(run: RunData) -> None:
    said = best(run, sft=0.1, dpo=0.4)
    assert said.startswith("The run has no tested differences between averages, so it ranks no method above another.")


def test_without_stored_averages_means_stand_without_intervals(run: RunData) -> None:
    values = {"sft": (0.1, 0.2, 0.6), "dpo": (0.0, 0.0, 0.3), "grpo": (0.9, 0.9, None)}
    remi = [
        {**row, "remi": values[row["method"]][SUBSETS.index(row["subset"])]}
        for row in run.rows("remi", unit="nats_per_token")
    ]
    said = answer(with_scores(run, remi=remi, averages=[], differences=[]))[0]
    assert "that of SFT: 0.300 (no interval) nats a token over 3 subsets" in said
    assert "Without an average: RL." in said


def bound(method: str, subset: str, shift: str, value: float, half: float | None = 0.01) -> dict[str, Any]:
    return {
        "base_model": "smollm2-135m",
        "method": method,
        "subset": subset,
        "shift": shift,
        "form": "calibrated",
        "bound": value,
        "bound_ci_low": None if half is None else value - half,
        "bound_ci_high": None if half is None else value + half,
        "interval_reliable": True,
        "label": "calibrated on a table",
    }


def remid(method: str, subset: str, value: float, half: float, *, reliable: bool = True) -> dict[str, Any]:
    return {
        "base_model": "smollm2-135m",
        "method": method,
        "subset": subset,
        "shift": "user",
        "remid": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "interval_reliable": reliable,
        "unit": "nats_per_token",
    }


def risk(run: RunData, bounds: Rows, remids: Rows) -> str:
    return answer(with_scores(run, bounds=bounds, remid=remids))[1]


def test_the_risk_is_where_the_largest_bound_is(run: RunData) -> None:
    inputs = (("german", "user", 0.12), ("gaming", "character", 0.125), ("korean", "user", 0.1))
    bounds = [bound(method, *place) for method in METHODS for place in inputs]
    said = risk(run, bounds, [remid("sft", "german", 0.2, 0.1), remid("dpo", "gaming", 0.3, 0.4, reliable=False)])
    assert said == (
        "The risk is largest under character shift. The largest of the calibrated bounds is 0.1250 [0.1150, 0.1350], "
        "on the Gaming subset for every method. Of 2 other subsets 1 has an interval that reaches it. Mean bounds "
        "by shift: user 0.1100, character 0.1250. This bound is calibrated on a table. The largest of 2 R-EMIDs, falls "
        "of R-EMI from the in-distribution test, is 0.300 [-0.100, 0.700] (DPO on the Gaming subset), whose unreliable "
        "interval holds zero."
    )


def test_a_bound_of_one_method_names_it(run: RunData) -> None:
    said = risk(run, [bound("sft", "german", "user", 0.1, None), bound("dpo", "german", "user", 0.2, None)], [])
    assert "is 0.2000 (no interval), on the German subset for DPO." in said
    assert "other subsets" not in said
    assert "There is no R-EMID." in said


def test_an_r_emid_away_from_zero_is_said_to_be(run: RunData) -> None:
    said = risk(run, [], [remid("sft", "german", 0.2, 0.1)])
    assert "The run has no calibrated bounds, so where the risk is largest is not known." in said
    assert "0.200 [0.100, 0.300] (SFT on the German subset), whose interval excludes zero." in said


def test_where_r_emi_falls_nowhere_it_is_said(run: RunData) -> None:
    said = risk(run, [], [remid("sft", "german", -0.2, 0.1), remid("dpo", "german", -0.1, 0.3)])
    assert "R-EMI falls nowhere from the in-distribution test; the largest of 2 R-EMIDs is -0.100" in said


def test_certainty_counts_intervals_and_samples(run: RunData) -> None:
    halves = {("sft", "id"): 0.1, ("sft", "german"): 0.2, ("sft", "gaming"): 0.6, ("dpo", "id"): None}
    rows = []
    for (method, subset), half in halves.items():
        row = run.rows("remi", method=method, subset=subset, unit="nats_per_token")[0]
        low, high = (None, None) if half is None else (row["remi"] - half, row["remi"] + half)
        reliable = None if half is None else half < 0.5
        rows.append({**row, "ci_low": low, "ci_high": high, "interval_reliable": reliable, "n_unscored": 1})
    said = answer(with_scores(run, remi=rows, averages=averages(sft=0.1)))[-1]
    assert said == (
        "How sure: the intervals of R-EMI on single subsets are ±0.200 at the median (±0.100 to ±0.600). Unreliable, "
        "on fewer than 20 personas or characters: 1 of 4; without an interval: 1. Those of averages are ±0.100 at the "
        "median; unreliable: 1 of 1. Each rests on 3 samples; 4 responses could not be scored."
    )


def test_without_intervals_nothing_is_sure(run: RunData) -> None:
    rows = [{**row, "ci_low": None, "ci_high": None} for row in run.rows("remi", unit="nats_per_token")]
    assert "None of the 9 estimates of R-EMI has an interval." in answer(with_scores(run, remi=rows))[-1]


def test_the_caution_comes_first(run: RunData) -> None:
    cautious = replace(run, manifest={**run.manifest, "caution": "Too small."})
    assert answer(cautious) == ("Caution: Too small.", *answer(run))


@pytest.mark.parametrize("n_bases", [1, 2, 3, 5])
def test_there_are_three_to_six_paragraphs(n_bases: int, mini: Benchmark, tmp_path: Path) -> None:
    bases = tuple(f"base-{place}" for place in range(n_bases))
    made = MadeRun(mini, METHODS, bases, SUBSETS)
    said = answer(read_run(make_run(tmp_path, made)))
    assert 3 <= len(said) <= 6
    assert all(f"on {base}" in " ".join(said) for base in bases if n_bases > 1)


def test_a_run_without_scores_says_so(run: RunData) -> None:
    empty = replace(run, scores=dict.fromkeys(run.scores, ()))
    assert answer(empty) == ("This run has no scores, so it answers neither question.",)
