"""Agreement over a run's points: what is paired with what, and what is said where there is nothing to correlate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_run import MadeRun, make_run
from test_command_line import invoke

from benchmark import Benchmark
from benchmark.run_store import write_jsonl
from recipes.agreement import write_agreement
from reports.judge_means import judge_means
from reports.run_data import TOKEN, MethodKey, RunData, read_run
from reports.tables.agreement import agreement_table


@pytest.fixture
def run(tmp_path: Path, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path / "run", MadeRun(mini, judges=True)))


def only(rows: list[dict[str, Any]], **fields: object) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row.get(key) == value for key, value in fields.items())]
    return row


def test_remi_is_paired_with_the_judges_mean_of_the_same_method_and_subset(run: RunData) -> None:
    row = only(write_agreement(run), name="remi_and_judges", metric="win_rate")
    remi = {(r["method"], r["subset"]): r["remi"] for r in run.rows("remi", unit=TOKEN)}
    judged: dict[tuple[str, str], list[float]] = {}
    for r in run.scores["judges"]:
        judged.setdefault((r["method"], r["subset"]), []).append(r["value"])
    points = list(remi)
    expected = np.corrcoef([remi[p] for p in points], [np.mean(judged[p]) for p in points])[0, 1]
    assert row["n_points"] == 9 * 12
    assert row["pearson"] == pytest.approx(expected)
    assert row["pearson_low"] < row["pearson"] < row["pearson_high"]


def test_remid_is_paired_with_what_the_judges_mean_loses_from_id(run: RunData) -> None:
    row = only(write_agreement(run), name="remid_and_loss_by_judges")
    means = judge_means(run, "win_rate")
    rows = run.rows("remid", unit=TOKEN)
    keys = [MethodKey(r["base_model"], r["method"]) for r in rows]
    lost = [means[key, "id"] - means[key, r["subset"]] for key, r in zip(keys, rows, strict=True)]
    assert row["pearson"] == pytest.approx(np.corrcoef([r["remid"] for r in rows], lost)[0, 1])


def test_unscored_answers_leave_the_mean_and_the_ensemble_goes_before_its_judges(run: RunData) -> None:
    fixed = {"method": "sft", "subset": "id", "metric": "points", "reason": None}
    rows = [
        {**fixed, "sample_id": "a", "judge": "one", "value": 1.0},
        {**fixed, "sample_id": "a", "judge": "two", "value": 0.0},
        {**fixed, "sample_id": "b", "judge": "one", "value": None},
        {**fixed, "sample_id": "b", "judge": "two", "value": 1.0},
    ]
    key = MethodKey("smollm2-135m", "sft")
    judged = RunData(run.folder, run.manifest, {**run.scores, "judges": rows}, ())
    assert judge_means(judged, "points") == {(key, "id"): 0.75}
    ensemble = [*rows, {**fixed, "sample_id": "a", "judge": "ensemble", "value": 0.2}]
    judged = RunData(run.folder, run.manifest, {**run.scores, "judges": ensemble}, ())
    assert judge_means(judged, "points") == {(key, "id"): 0.2}


def test_bounds_are_paired_by_form_and_shift_and_few_points_have_none(tmp_path: Path, mini: Benchmark) -> None:
    few = read_run(make_run(tmp_path, MadeRun(mini, methods=("icl", "sft"))))
    rows = write_agreement(few)
    assert {row["name"] for row in rows} == {"bound_and_remid"}
    assert only(rows, form="calibrated", shift="dialogue")["n_points"] == 4
    assert only(rows, form="calibrated", shift="dialogue")["pearson"] is None
    assert only(rows, form="theorem", shift="all")["n_points"] == 22
    assert only(rows, form="theorem", shift="all")["pearson"] is not None
    table = agreement_table(read_run(tmp_path))
    assert table is not None
    assert any("fewer than 10 points" in note for note in table.notes)


def test_the_mean_over_draws_is_that_of_each_draws_correlation(run: RunData) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {
            "share": share,
            "draw": number,
            "base_model": key.base_model,
            "method": key.method,
            "subset": subset,
            "shift": "user",
            "n_samples": round(12 * share),
            "remid": float(draw.normal()),
            "bound": float(draw.normal()),
        }
        for share, draws in ((0.5, 3), (1.0, 1))
        for number in range(draws)
        for key in run.methods
        for subset in ("german", "korean")
    ]
    write_jsonl(run.folder / "scores" / "convergence.jsonl", rows)
    found = only(write_agreement(run), name="bound_convergence", shift="user", share=0.5)
    values = [
        np.corrcoef(*(([r[f] for r in rows if (r["share"], r["draw"]) == (0.5, n)]) for f in ("bound", "remid")))[0, 1]
        for n in range(3)
    ]
    assert found["pearson"] == pytest.approx(np.mean(values))
    assert (found["n_draws"], found["n_samples"], found["n_points"]) == (3, 6, 18)
    assert found["draws_low"] < found["pearson"] < found["draws_high"]
    whole = only(write_agreement(run), name="bound_convergence", shift="user", share=1.0)
    assert (whole["n_draws"], whole["draws_low"]) == (1, None)


def test_the_command_writes_the_table_and_says_what_is_missing(
    tmp_path: Path, mini: Benchmark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", MadeRun(mini))
    assert invoke(monkeypatch, "agreement", str(folder)) == 0
    shown = capsys.readouterr().out
    assert "There are no judges' scores" in shown
    assert "Bound and R-EMID" in (folder / "tables" / "agreement.md").read_text()
    assert len(json.loads((folder / "scores" / "agreement.json").read_text())) == 3 * 4
    assert invoke(monkeypatch, "agreement", str(tmp_path)) == 2
