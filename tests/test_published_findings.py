"""The paper's findings get the verdict that the numbers allow, on a run and on the paper's own tables."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.subsets import SUBSET_KEYS, subset
from reports.published.compared import PUBLISHED_BASES
from reports.published.finding import (
    FAILS,
    HOLDS,
    OPEN,
    Finding,
    Verdict,
    joint_verdict,
    verdict_of_interval,
    verdict_of_p,
    verdict_of_signs,
)
from reports.published.findings import published_findings, run_findings
from reports.published.section import findings_table, published_findings_table
from reports.published.shift_gaps import ShiftEstimate, estimates_of, gaps
from reports.run_data import Row, RunData, read_run

QWEN, LLAMA = PUBLISHED_BASES
Maker = Callable[..., RunData]


@pytest.fixture
def make(tmp_path: Path, mini: Benchmark) -> Maker:
    def made(**settings: Any) -> RunData:  # noqa: ANN401 - fields of MadeRun
        return read_run(make_run(tmp_path / "run", MadeRun(mini, **settings)))

    return made


def with_rows(run: RunData, name: str, change: Callable[[Row], Mapping[str, object]]) -> RunData:
    """Return the run with fields of a score file's rows changed."""
    return replace(run, scores={**run.scores, name: [{**row, **change(row)} for row in run.scores[name]]})


def found(findings: tuple[Finding, ...], key: str, start: str = "") -> Finding:
    (one,) = [one for one in findings if one.key == key and one.statement.startswith(start)]
    return one


@pytest.mark.parametrize(
    ("n_for", "n", "verdict"),
    [
        (12, 12, HOLDS),
        (10, 12, HOLDS),
        (9, 12, OPEN),
        (3, 12, OPEN),
        (2, 12, FAILS),
        (5, 5, OPEN),
        (6, 6, HOLDS),
        (0, 0, OPEN),
    ],
)
def test_signs_decide_where_the_sign_test_reaches_its_level(n_for: int, n: int, verdict: Verdict) -> None:
    """Two-sided p of 10 of 12 is 0.039, of 9 of 12 0.146, of 5 of 5 0.0625, of 6 of 6 0.031."""
    assert verdict_of_signs(n_for, n) == verdict


@pytest.mark.parametrize(
    ("low", "high", "reliable", "verdict"),
    [
        (0.1, 0.2, True, HOLDS),
        (-0.2, -0.1, True, FAILS),
        (-0.1, 0.2, True, OPEN),
        (0.0, 0.2, True, OPEN),
        (0.1, 0.2, False, OPEN),
        (-0.2, -0.1, False, OPEN),
        (None, None, True, OPEN),
    ],
)
def test_an_interval_decides_where_it_is_reliable_and_excludes_zero(
    low: float | None, high: float | None, reliable: bool, verdict: Verdict
) -> None:
    assert verdict_of_interval(low, high, reliable=reliable) == verdict


@pytest.mark.parametrize(
    ("value", "p", "reliable", "verdict"),
    [
        (1, 0.05, True, HOLDS),
        (-1, 0.01, True, FAILS),
        (1, 0.051, True, OPEN),
        (1, 0.01, False, OPEN),
        (1, None, True, OPEN),
    ],
)
def test_a_p_value_decides_where_its_interval_is_reliable(
    value: float, p: float | None, reliable: bool, verdict: Verdict
) -> None:
    assert verdict_of_p(value, p, reliable=reliable) == verdict


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [([HOLDS, HOLDS], HOLDS), ([HOLDS, OPEN], OPEN), ([OPEN, FAILS], FAILS), ([HOLDS, FAILS], FAILS), ([], OPEN)],
)
def test_all_parts_must_hold_and_one_can_fail(parts: list[Verdict], verdict: Verdict) -> None:
    assert joint_verdict(parts) == verdict


def shift_row(method: str, key: str, value: float | None, low: float | None, high: float | None) -> Row:
    fields = {"value": value, "ci_low": low, "ci_high": high, "interval_reliable": True}
    return {"method": method, "subset": key, "shift": subset(key).shift, **fields}


def test_gaps_by_hand() -> None:
    """User: mean of 4 and 2; character 1; the ends are opposite."""
    rows = [
        shift_row("a", "german", 4.0, 3.5, 4.5),
        shift_row("a", "korean", 2.0, 1.5, 2.5),
        shift_row("a", "film", 1.0, 0.8, 1.2),
        shift_row("a", "id", 9.0, 9.0, 9.0),
    ]
    (gap,) = gaps(estimates_of(rows, "value", "ci"))
    assert (gap.other, gap.n_above, gap.n_methods, gap.reliable) == ("character", 1, 1, True)
    assert (gap.low, gap.difference, gap.high) == pytest.approx((2.5 - 1.2, 3.0 - 1.0, 3.5 - 0.8))
    (turned,) = gaps(estimates_of(rows, "value", "ci", sign=-1))
    assert (turned.low, turned.difference, turned.high) == pytest.approx((-2.7, -2.0, -1.3))
    assert turned.n_above == 0


def test_methods_without_all_subsets_are_left_out_and_missing_ends_leave_no_interval() -> None:
    rows = [
        shift_row("a", "german", 4.0, None, None),
        shift_row("a", "film", 1.0, 0.5, 1.5),
        shift_row("b", "german", 7.0, 6.0, 8.0),
        shift_row("b", "film", None, None, None),
    ]
    estimates = estimates_of(rows, "value", "ci")
    assert list(estimates) == ["a"]
    (gap,) = gaps(estimates)
    assert (gap.difference, gap.low, gap.high) == (3.0, None, None)


def test_opposite_ends_are_wide_enough_for_any_dependence() -> None:
    """Half the width is at least the margin that the difference of means has, whatever the correlations."""
    rng = np.random.default_rng(0)
    keys = ["german", "korean", "film", "gaming", "theater"]
    weights = np.array([1 / 2, 1 / 2, -1 / 3, -1 / 3, -1 / 3])
    ratios = []
    for _ in range(300):
        errors = rng.uniform(0.1, 2, 5)
        factors = rng.normal(size=(5, rng.integers(1, 6)))
        factors /= np.linalg.norm(factors, axis=1, keepdims=True)
        covariance = np.outer(errors, errors) * (factors @ factors.T)
        margin = 1.96 * math.sqrt(max(0.0, float(weights @ covariance @ weights)))
        of = {key: ShiftEstimate(0.0, -1.96 * error, 1.96 * error) for key, error in zip(keys, errors, strict=True)}
        (gap,) = gaps({"a": of})
        assert gap.low is not None
        assert gap.high is not None
        ratios.append(margin / ((gap.high - gap.low) / 2))
    assert max(ratios) <= 1 + 1e-12
    assert max(ratios) > 0.99, "full dependence reaches the width"


def decided(run: RunData, name: str, field: str, interval: str, user: float, reliable: bool = True) -> RunData:
    """Return the run with a quantity of 0 -+ 0.01, and of another value under user shift."""

    def change(row: Row) -> dict[str, object]:
        value = user if row["shift"] == "user" else 0.0
        ends = {f"{interval}_low": value - 0.01, f"{interval}_high": value + 0.01}
        return {field: value, **ends, "interval_reliable": reliable}

    return with_rows(run, name, change)


@pytest.mark.parametrize(
    ("user", "reliable", "verdict"), [(0.1, True, HOLDS), (-0.1, True, FAILS), (0.015, True, OPEN), (0.1, False, OPEN)]
)
def test_the_bound_under_user_shift_is_tested_by_reliable_intervals(
    make: Maker, user: float, reliable: bool, verdict: Verdict
) -> None:
    run = decided(make(methods=("icl", "sft")), "bounds", "bound", "bound_ci", user, reliable)
    one = found(run_findings(run), "user_shift_bound")
    assert one.verdict == verdict
    assert f"user {user:.4f}, character 0.0000, dialogue 0.0000" in one.evidence


@pytest.mark.parametrize(("user", "verdict"), [(-0.1, HOLDS), (0.1, FAILS), (-0.015, OPEN)])
def test_remid_is_largest_where_remi_is_smallest(make: Maker, user: float, verdict: Verdict) -> None:
    run = decided(make(methods=("icl", "sft")), "remi", "remi", "ci", user)
    one = found(run_findings(run), "user_shift_remid")
    assert one.verdict == verdict
    assert f"user less character shift {-user:.3f} [{-user - 0.02:.3f}, {-user + 0.02:.3f}];" in one.evidence
    n_above = 2 if user < 0 else 0
    assert f"above that under character shift for {n_above} of 2 methods" in one.evidence


def test_a_shift_that_the_run_lacks_leaves_the_finding_open_unless_the_other_refutes_it(make: Maker) -> None:
    run = make(methods=("sft",), subsets=("id", "german", "film"))
    above, below = (decided(run, "bounds", "bound", "bound_ci", user) for user in (0.1, -0.1))
    one = found(run_findings(above), "user_shift_bound")
    assert (one.verdict, one.evidence.endswith("No such numbers under dialogue shift.")) == (OPEN, True)
    assert found(run_findings(below), "user_shift_bound").verdict == FAILS


def test_without_bounds_or_with_a_missing_estimate_the_evidence_says_so(make: Maker) -> None:
    run = make(methods=("icl", "sft"))
    none = with_rows(run, "bounds", lambda row: {"bound": None})
    one = found(run_findings(none), "user_shift_bound")
    assert (one.verdict, one.evidence) == (
        OPEN,
        "No such numbers under user, character, dialogue shift. Left out, as estimates are missing: icl, sft.",
    )
    one = found(run_findings(replace(run, scores={**run.scores, "bounds": []})), "user_shift_bound")
    assert one.evidence == "No such numbers under user, character, dialogue shift."
    lacks = with_rows(
        run, "remi", lambda row: {"remi": None} if (row["method"], row["subset"]) == ("icl", "film") else {}
    )
    one = found(run_findings(lacks), "user_shift_remid")
    assert " of 1 methods" in one.evidence
    assert one.evidence.endswith("Left out, as estimates are missing: icl.")


def with_differences(run: RunData, method: str, n_above: int, **average: object) -> RunData:
    """Return the run with a method above SFT in the first subsets and below it in the others."""

    def change(row: Row) -> dict[str, object]:
        if {row["first"], row["second"]} != {method, "sft"}:
            return {}
        sign = 1 if row["first"] == method else -1
        if row["subset"] == "average":
            given = {"interval_reliable": True, "difference": 0.0, "adjusted_p": 1.0} | average
            return {**given, "difference": sign * float(str(given["difference"]))}
        return {"difference": sign * (1.0 if SUBSET_KEYS.index(row["subset"]) < n_above else -1.0)}

    return with_rows(run, "differences", change)


@pytest.mark.parametrize("methods", [("sft", "grpo"), ("grpo", "sft")])
@pytest.mark.parametrize(("n_above", "verdict"), [(12, HOLDS), (10, HOLDS), (7, OPEN), (1, FAILS)])
def test_rl_is_counted_against_sft_in_either_order(
    make: Maker, methods: tuple[str, str], n_above: int, verdict: Verdict
) -> None:
    run = with_differences(make(methods=methods), "grpo", n_above)
    one = found(run_findings(run), "rl_above_sft")
    assert one.verdict == verdict
    assert one.evidence.startswith(f"Above in {n_above} of 12 subsets")
    assert one.statement == "RL is above SFT in most subsets."


@pytest.mark.parametrize(
    ("average", "verdict"),
    [
        ({"difference": -0.2, "adjusted_p": 0.01}, HOLDS),
        ({"difference": 0.2, "adjusted_p": 0.01}, FAILS),
        ({"difference": -0.2, "adjusted_p": 0.2}, OPEN),
        ({"difference": -0.2, "adjusted_p": None}, OPEN),
        ({"difference": -0.2, "adjusted_p": 0.01, "interval_reliable": False}, OPEN),
    ],
)
def test_thinking_is_tested_by_the_corrected_p_of_the_average(
    make: Maker, average: dict[str, object], verdict: Verdict
) -> None:
    run = with_differences(make(methods=("sft", "thinking_sft", "thinking_rl")), "thinking_sft", 3, **average)
    one = found(run_findings(run), "thinking_below_sft", "ThinkingSFT")
    assert one.verdict == verdict
    assert one.evidence.startswith(f"Below in 9 of 12 subsets (p 0.146); on average {average['difference']:.3f} [")
    assert found(run_findings(run), "thinking_below_sft", "ThinkingRL").verdict == OPEN


def test_one_subset_has_no_average_to_test(make: Maker) -> None:
    run = make(methods=("sft", "thinking_sft"), subsets=("id",))
    alone = replace(
        run,
        scores={**run.scores, "differences": [r for r in run.scores["differences"] if r["subset"] != "average"]},
    )
    one = found(run_findings(alone), "thinking_below_sft", "ThinkingSFT")
    assert one.verdict == OPEN
    assert "no difference of the averages is stored" in one.evidence


def test_another_method_of_the_rl_family_is_tested_and_corl_is_not(make: Maker) -> None:
    run = make(methods=("sft", "corl", "mine"))
    specs = {**run.manifest["methods"]}
    specs["mine"] = {**specs["mine"], "family": "rl", "label": "My <b>RL</b> {sft} | $x$"}
    own = replace(run, manifest={**run.manifest, "methods": specs})
    findings = run_findings(with_differences(own, "mine", 12))
    assert found(findings, "rl_above_sft", "My <b>RL</b> {sft} | $x$ is above SFT").verdict == HOLDS
    assert found(findings, "rl_above_sft", "RL").evidence == "There are no scores of grpo on this base model."
    assert not [one for one in findings if one.statement.startswith("CoRL")]


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        (("icl", "grpo"), "There are no scores of sft on this base model."),
        (("icl", "sft"), "There are no scores of grpo on this base model."),
    ],
)
def test_what_is_not_in_the_run_is_named(make: Maker, methods: tuple[str, ...], reason: str) -> None:
    one = found(run_findings(make(methods=methods)), "rl_above_sft")
    assert (one.verdict, one.evidence) == (OPEN, reason)


def test_methods_that_were_not_compared_are_named(make: Maker) -> None:
    run = make(methods=("sft", "grpo"))
    one = found(run_findings(replace(run, scores={**run.scores, "differences": []})), "rl_above_sft")
    assert (one.verdict, one.evidence) == (
        OPEN,
        "There are no differences of grpo from sft in scores/differences.json.",
    )


def test_each_base_model_is_tested_by_itself(make: Maker) -> None:
    run = make(base_models=("a", "b"))

    def change(row: Row) -> dict[str, object]:
        above = {"a": 1.0, "b": -1.0}[row["base_model"]]
        return {"difference": -above} if (row["first"], row["second"]) == ("sft", "grpo") else {}

    findings = run_findings(with_rows(run, "differences", change))
    assert len(findings) == 10
    rl = {one.base_model: one.verdict for one in findings if one.key == "rl_above_sft"}
    assert rl == {"a": HOLDS, "b": FAILS}


PUBLISHED = (
    (QWEN, "user_shift_bound", "", HOLDS, "user 0.1128, character 0.1088, dialogue 0.1006"),
    (QWEN, "user_shift_bound", "", HOLDS, "30 of 30 pairs of subsets (p 0.004)"),
    (QWEN, "user_shift_bound", "", HOLDS, "bounds for SFT on Qwen3-4B alone"),
    (LLAMA, "user_shift_bound", "", OPEN, "bounds for SFT on Qwen3-4B alone"),
    (QWEN, "user_shift_remid", "", OPEN, "character shift for 3 of 9 methods"),
    (QWEN, "user_shift_remid", "", OPEN, "dialogue shift for 7 of 9 methods"),
    (LLAMA, "user_shift_remid", "", OPEN, "character shift for 7 of 9 methods"),
    (LLAMA, "user_shift_remid", "", OPEN, "dialogue shift for 8 of 9 methods"),
    (QWEN, "user_shift_remid", "", OPEN, "word-level composition R-EMI is above zero for 5 of 9 methods"),
    (LLAMA, "user_shift_remid", "", OPEN, "word-level composition R-EMI is above zero for 5 of 9 methods"),
    (QWEN, "rl_above_sft", "RL", HOLDS, "Above in 10 of 12 subsets (p 0.039); average -0.041 against -0.057"),
    (LLAMA, "rl_above_sft", "RL", OPEN, "Above in 8 of 12 subsets (p 0.388); average -0.087 against -0.093"),
    (QWEN, "thinking_below_sft", "ThinkingSFT", HOLDS, "Below in 10 of 12 subsets"),
    (LLAMA, "thinking_below_sft", "ThinkingSFT", OPEN, "Below in 8 of 12 subsets"),
    (QWEN, "thinking_below_sft", "ThinkingRL", HOLDS, "Below in 12 of 12 subsets"),
    (LLAMA, "thinking_below_sft", "ThinkingRL", HOLDS, "Below in 12 of 12 subsets"),
)


@pytest.mark.parametrize(("base", "key", "start", "verdict", "evidence"), PUBLISHED)
def test_the_papers_own_numbers(base: str, key: str, start: str, verdict: Verdict, evidence: str) -> None:
    one = found(tuple(f for f in published_findings() if f.base_model == base), key, start)
    assert one.verdict == verdict
    assert evidence in one.evidence


def test_findings_stand_in_a_table_with_their_base_where_there_are_several() -> None:
    table = published_findings_table()
    assert (table.name, len(table.rows)) == ("published_findings", 10)
    heads = {column.key: column.head for column in table.columns}
    assert heads["base_model"] == "Base model"
    alone = findings_table(published_findings()[:5])
    assert {column.key: column.head for column in alone.columns}["base_model"] is None
    assert [cell.text for cell in alone.rows[2]][:4] == [
        "rl_above_sft",
        QWEN,
        "RL is above SFT in most subsets.",
        HOLDS,
    ]
    assert not findings_table(()).rows
