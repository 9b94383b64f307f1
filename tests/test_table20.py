"""The table shows what is stored: best in bold, a dash where there is no estimate, notes on what limits it."""

import csv
import io
from typing import Any

from benchmark.subsets import SUBSETS
from reports.tables.table20 import as_csv, as_latex, as_markdown, build_table20


def row(method: str, subset: str, remi: float | None, **changes: object) -> dict[str, Any]:
    fixed = {
        "base_model": "m",
        "unit": "nats_per_token",
        "arithmetic": "exact",
        "pairs": "off_diagonal",
        "n_samples": 3,
        "n_unscored": 0,
        "ci_low": None,
        "ci_high": None,
        "interval_reliable": None,
    }
    return {**fixed, "method": method, "subset": subset, "remi": remi, **changes}


MANIFEST: dict[str, Any] = {
    "methods": {"sft": {"label": "SFT", "order": 20}, "icl": {"label": "ICL", "order": 10}},
    "caution": "Too small.",
    "estimator": {"label": "base m, w/o Reasoning"},
    "stages": [
        {"name": "policy/sft", "counts": {"training_samples": 4}},
        {"name": "policy/grpo", "counts": {"steps": 5, "steps_without_spread": 2}},
        {"name": "policy/rl", "counts": {"steps": 5, "steps_without_spread": 0}},
        {"name": "policy/corl", "counts": {"steps": 4, "steps_without_spread": 0, "iterations": 1, "diverged": 1}},
        {"name": "estimator", "counts": {"folds": 2, "steps": 8, "steps_without_spread": 3}},
        {"name": "responses/icl", "counts": {"samples": 9, "cut_by_length": 4, "empty": 1, "malformed": 3}},
    ],
}
SCORES = [
    row("sft", "id", 0.25),
    row("sft", "korean", None, n_samples=2, n_unscored=1),
    row("icl", "id", -0.5),
    row("icl", "korean", 0.125),
    row("icl", "korean", 99.0, unit="nats_per_response"),
]


def test_rows_stand_in_the_methods_order_and_columns_in_the_papers() -> None:
    table = build_table20(SCORES[::-1], MANIFEST)
    assert table.columns == ("id", "korean")
    assert list(table.rows) == [("m", "icl"), ("m", "sft")]


def test_the_average_is_over_all_columns_or_missing() -> None:
    table = build_table20(SCORES, MANIFEST)
    assert table.rows["m", "icl"] == [-0.5, 0.125, (-0.5 + 0.125) / 2]
    assert table.rows["m", "sft"] == [0.25, None, None]


def test_markdown_bolds_the_best_and_dashes_the_missing() -> None:
    lines = as_markdown(build_table20(SCORES, MANIFEST)).splitlines()
    cells = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lines if "|" in line}
    assert cells["Method"] == ["ID", "U.K.", "Avg."]
    assert cells["SFT"] == ["**0.250**", "–", "–"]
    assert cells["ICL"] == ["-0.500", "**0.125**", "**-0.188**"]


def test_notes_carry_the_caution_the_estimator_and_every_count() -> None:
    text = as_markdown(build_table20(SCORES, MANIFEST))
    for part in (
        "Too small.",
        "base m, w/o Reasoning",
        "Unscored samples of sft on m: 1.",
        "cut by the length limit (scored without an end-of-turn token): 4 of 9",
        "empty (scored as the end-of-turn token alone): 1 of 9",
        "between their tags; the whole text is scored): 3 of 9",
        "Training of grpo learned nothing in 2 of 5 steps",
        "Training of the estimator learned nothing in 3 of 8 steps",
        "Training of corl diverged; its adapter is that of iteration 1.",
        "Samples a subset: 2 to 3",
    ):
        assert part in text
    assert "Training of rl" not in text


def test_notes_count_what_is_wrong_with_the_reasoning_and_tell_what_training_told() -> None:
    counts = {"samples": 36, "unmarked": 3, "empty": 0, "cut_by_length": 5, "prompt_too_long": 1}
    estimator = {"label": "corl m, 2 folds", "notes": ["fold 1: iteration 2\ndiverged", "Two traces are left out."]}
    stages = [{"name": "reasoning", "counts": counts}]
    table = build_table20(SCORES, {**MANIFEST, "estimator": estimator, "stages": stages})
    told = (
        "Reasonings of the estimator, of 36: 3 without their marker (shown whole), 0 empty, 5 cut by the length limit, "
        "1 not given because the prompt was longer than the context (shown as none)."
    )
    for note in (
        told,
        "Training of the estimator: fold 1: iteration 2 diverged.",
        "Training of the estimator: Two traces are left out.",
    ):
        assert f"\n- {note}\n" in as_markdown(table)
        assert f"% {note}\n" in as_latex(table)
    assert "Reasonings" not in as_markdown(build_table20(SCORES, MANIFEST))


def test_csv_keeps_full_precision_and_leaves_the_missing_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(build_table20([*SCORES, row("icl", "german", 1 / 3)], MANIFEST)))))
    assert float(rows[0]["german"]) == 1 / 3
    assert rows[1]["korean"] == ""


def test_latex_is_a_tabular_with_the_best_in_bold() -> None:
    text = as_latex(build_table20(SCORES, MANIFEST))
    assert r"\begin{tabular}" in text
    assert r"\textbf{0.250}" in text


def test_the_released_arithmetic_stands_in_every_rendering() -> None:
    table = build_table20([row("sft", "id", 0.25, arithmetic="released")], MANIFEST)
    assert "ARITHMETIC OF THE RELEASED CODE" in as_markdown(table)
    assert "Method (released arithmetic)" in as_markdown(table)
    assert "Method (released arithmetic)" in as_latex(table)
    assert next(csv.DictReader(io.StringIO(as_csv(table))))["arithmetic"] == "released"


def test_the_notes_say_how_wide_and_how_reliable_the_intervals_are() -> None:
    wide = row("sft", "id", 0.0, ci_low=-1.0, ci_high=1.0, interval_reliable=False)
    narrow = row("icl", "id", 0.0, ci_low=-0.25, ci_high=0.25, interval_reliable=True)
    text = as_markdown(build_table20([wide, narrow], MANIFEST))
    assert "+-0.250 to +-1.000 nats a token; 1 of 2 are unreliable" in text
    assert "no intervals" in as_markdown(build_table20(SCORES, MANIFEST))


def test_responses_made_elsewhere_have_no_base_model() -> None:
    table = build_table20([row("sft", "id", 0.25, base_model=None, n_unscored=2)], MANIFEST)
    assert "Unscored samples of sft: 2." in as_markdown(table)
    assert next(csv.DictReader(io.StringIO(as_csv(table))))["base_model"] == ""
    assert "SFT" in as_latex(table)


def test_headings_of_all_subsets_differ() -> None:
    assert len({subset.heading for subset in SUBSETS}) == 12
