"""The sample that is shown is chosen by the stated rule, from what the run has."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.run_store import write_jsonl
from reports.case_study import choose_case, why_no_case
from reports.run_data import MethodKey, RunData, read_run

BASE = "smollm2-135m"
SUBSETS = ("id", "german", "gaming")
SFT, DPO = MethodKey(BASE, "sft"), MethodKey(BASE, "dpo")


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path, MadeRun(mini, ("sft", "dpo"), subsets=SUBSETS))


def ids(run: RunData, subset: str) -> list[str]:
    found: list[str] = run.manifest["test_samples"][subset]
    return found


def contribute(folder: Path, subset: str, values: Mapping[str, list[float | None]]) -> None:
    """Replace the contributions to a subset; methods that are not named have none."""
    run = read_run(folder)
    row = {"base_model": BASE, "subset": subset, "unit": "nats_per_token", "sample_ids": ids(run, subset)}
    write_jsonl(
        folder / "scores" / "contributions.jsonl",
        [{**row, "method": method, "contributions": own} for method, own in values.items()],
    )


def bounded(folder: Path, **bounds: float) -> RunData:
    """Return the run with calibrated bounds of its subsets, equal for all methods."""
    run = read_run(folder)
    rows = [
        {"base_model": BASE, "method": method, "subset": subset, "form": "calibrated", "bound": value}
        for method in ("sft", "dpo")
        for subset, value in bounds.items()
    ]
    return replace(run, scores={**run.scores, "bounds": rows})


def test_the_largest_spread_in_the_riskiest_subset_is_chosen(folder: Path) -> None:
    contribute(folder, "gaming", {"sft": [0.1, 0.5, 0.2], "dpo": [0.4, -0.5, 0.1]})
    run = bounded(folder, german=0.1, gaming=0.2)
    case = choose_case(run)
    assert case is not None
    assert case.sample["sample_id"] == ids(run, "gaming")[1]
    assert case.contributions == {SFT: 0.5, DPO: -0.5}
    assert case.rule == (
        "Chosen by rule: the sample whose contributions differ most between methods (largest less smallest: 1.000 nats "
        "a token), among the 3 samples of the Gaming subset, which has the largest calibrated bound."
    )


def test_a_subset_without_contributions_is_passed_over(folder: Path) -> None:
    contribute(folder, "german", {"sft": [0.1, 0.2, 0.3], "dpo": [0.1, 0.2, 0.9]})
    case = choose_case(bounded(folder, german=0.1, gaming=0.2))
    assert case is not None
    assert case.sample["subset"] == "german"


def test_equal_spreads_go_to_the_smallest_sample_id(folder: Path) -> None:
    contribute(folder, "gaming", {"sft": [0.0, 0.0, 0.0], "dpo": [0.5, -0.5, 0.5]})
    run = bounded(folder, gaming=0.2)
    case = choose_case(run)
    assert case is not None
    assert case.sample["sample_id"] == min(ids(run, "gaming"))


def test_without_bounds_all_subsets_are_searched(folder: Path) -> None:
    contribute(folder, "id", {"sft": [0.0, 0.0, 0.0], "dpo": [0.0, 0.0, 2.0]})
    run = bounded(folder)
    case = choose_case(run)
    assert case is not None
    assert case.sample["sample_id"] == ids(run, "id")[2]
    assert case.rule.endswith("among the 3 samples of all subsets, as the run has no bounds.")


def test_a_single_method_shows_its_lowest_contribution(folder: Path) -> None:
    contribute(folder, "gaming", {"dpo": [0.3, 0.2, -0.1]})
    run = bounded(folder, gaming=0.2)
    case = choose_case(run)
    assert case is not None
    assert case.sample["sample_id"] == ids(run, "gaming")[2]
    assert "lowest contribution to the R-EMI of the run's only method (-0.100 nats a token)" in case.rule


def test_a_sample_that_a_method_leaves_out_has_no_contribution_of_it(folder: Path) -> None:
    contribute(folder, "gaming", {"sft": [0.0, None, 0.0], "dpo": [0.5, 9.0, 0.1]})
    run = bounded(folder, gaming=0.2)
    case = choose_case(run)
    assert case is not None
    assert case.sample["sample_id"] == ids(run, "gaming")[0]


def test_responses_stand_in_the_run_s_order_of_methods(folder: Path) -> None:
    case = choose_case(read_run(folder))
    assert case is not None
    assert list(case.responses) == [SFT, DPO]
    assert all(row["sample_id"] == case.sample["sample_id"] for row in case.responses.values())
    assert case.responses[DPO]["response"].startswith("dpo on smollm2-135m")


def test_a_method_whose_responses_are_lost_is_left_out(folder: Path) -> None:
    (folder / "responses" / "sft.jsonl").unlink()
    case = choose_case(read_run(folder))
    assert case is not None
    assert list(case.responses) == [DPO]
    assert set(case.contributions) == {SFT, DPO}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("samples.jsonl", "no samples.jsonl"), ("scores/contributions.jsonl", "no contributions of its samples")],
)
def test_what_is_missing_for_a_case_is_said(folder: Path, name: str, reason: str) -> None:
    (folder / name).unlink()
    run = read_run(folder)
    assert choose_case(run) is None
    assert reason in why_no_case(run)
