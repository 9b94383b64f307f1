"""The table shows what is stored: best in bold, a dash where there is no estimate, notes on what limits it."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.subsets import SUBSETS
from reports.run_data import OPTIONAL_SCORES, SCORES, RunData, read_run
from reports.table import Cell, Table, Value
from reports.table_formats import as_csv, as_latex, as_markdown
from reports.tables.table20 import table20, table20_intervals, write_table20


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


def difference(first: str, second: str, subset: str, p: float | None, **changes: object) -> dict[str, Any]:
    fixed = {"base_model": "m", "unit": "nats_per_token", "difference": 0.1}
    return {**fixed, "first": first, "second": second, "subset": subset, "adjusted_p": p, **changes}


def average(method: str, n_subsets: int, **changes: object) -> dict[str, Any]:
    ends = {"ci_low": -0.25, "ci_high": 0.5, "interval_reliable": True}
    fixed = {"base_model": "m", "unit": "nats_per_token", "average": 0.0, **ends}
    return {**fixed, "method": method, "n_subsets": n_subsets, **changes}


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
        {"name": "responses/sft", "counts": {"samples": 9, "cut_by_length": 2, "empty": 0}},
    ],
}
REMI = [
    row("sft", "id", 0.25),
    row("sft", "korean", None, n_samples=2, n_unscored=1),
    row("icl", "id", -0.5),
    row("icl", "korean", 0.125),
    row("icl", "korean", 99.0, unit="nats_per_response"),
]


def run(
    remi: Sequence[Mapping[str, Any]] = REMI,
    manifest: Mapping[str, Any] = MANIFEST,
    **others: Sequence[Mapping[str, Any]],
) -> RunData:
    nothing: dict[str, Sequence[Mapping[str, Any]]] = dict.fromkeys((*SCORES, *OPTIONAL_SCORES), ())
    return RunData(Path("run"), manifest, {**nothing, "remi": remi, **others}, ())


def cells(table: Table, method: str, base: str | None = "m") -> dict[str, Cell]:
    """Return a method's cells by their columns' keys."""
    keys = [column.key for column in table.columns]
    found = [dict(zip(keys, cells, strict=True)) for cells in table.rows]
    (one,) = [one for one in found if (one["base_model"].value, one["method"].value) == (base, method)]
    return one


def values(table: Table, method: str) -> list[Value]:
    return [cell.value for cell in cells(table, method).values()][3:]


def test_rows_stand_in_the_methods_order_and_columns_in_the_papers() -> None:
    table = table20(run(REMI[::-1]))
    assert [column.key for column in table.columns] == ["base_model", "method", "arithmetic", "id", "korean", "average"]
    assert [row[1].value for row in table.rows] == ["icl", "sft"]


def test_the_average_is_over_all_columns_or_missing() -> None:
    assert values(table20(run()), "icl") == [-0.5, 0.125, (-0.5 + 0.125) / 2]
    assert values(table20(run()), "sft") == [0.25, None, None]


def test_engines_that_differ_are_named_with_whom_they_answered_for() -> None:
    recipes = [{"method": name} for name in ("icl", "sft", "dpo")]
    engines = [{"backend": name} for name in ("transformers", "vllm", "transformers")]
    mixed = as_markdown(table20(run(manifest={**MANIFEST, "recipes": recipes, "backends": engines})))
    assert "more than one engine (transformers: icl, dpo; vllm: sft)" in mixed
    same = as_markdown(table20(run(manifest={**MANIFEST, "recipes": recipes, "backends": engines[:1] * 3})))
    assert "engine" not in same


def test_markdown_bolds_the_best_and_dashes_the_missing() -> None:
    lines = as_markdown(table20(run())).splitlines()
    shown = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lines if "|" in line}
    assert shown["Method"] == ["ID", "U.K.", "Avg."]
    assert shown["SFT"] == ["**0.250**", "–", "–"]
    assert shown["ICL"] == ["-0.500", "**0.125**", "**-0.188**"]


def test_each_base_model_has_its_own_best_and_equals_share_it() -> None:
    other = [row("sft", "id", 0.01, base_model="n"), row("icl", "id", 0.01, base_model="n")]
    table = table20(run([row("sft", "id", 0.25), row("icl", "id", -0.5), *other]))
    assert [cells(table, method, base)["id"].bold for base in "mn" for method in ("icl", "sft")] == [0, 1, 1, 1]
    assert "| Base model | Method |" in as_markdown(table)


def test_a_star_marks_what_differs_from_sft_whichever_comes_first() -> None:
    rows = [
        difference("icl", "sft", "id", 0.049),
        difference("sft", "icl", "korean", 0.001),
        difference("icl", "sft", "average", None),
        difference("sft", "icl", "german", 0.05),
    ]
    remi = [*REMI, row("icl", "german", 0.5)]
    table = table20(run(remi, differences=rows))
    found = cells(table, "icl")
    assert {key: found[key].mark for key in ("id", "german", "korean", "average")} == {
        "id": "*",
        "german": "",
        "korean": "*",
        "average": "",
    }
    assert "".join(cell.mark for cell in cells(table, "sft").values()) == ""
    assert "different from SFT on the same base model" in as_markdown(table)


def test_no_star_comes_from_another_base_unit_or_pair() -> None:
    rows = [
        difference("icl", "sft", "id", 0.0, base_model="n"),
        difference("icl", "sft", "id", 0.0, unit="nats_per_response"),
        difference("icl", "dpo", "id", 0.0),
    ]
    table = table20(run([*REMI, row("dpo", "id", 0.0), row("icl", "id", 0.0, base_model="n")], differences=rows))
    assert [cell.mark for cell in cells(table, "icl").values()] == [""] * 6
    assert cells(table, "icl", "n")["id"].mark == "*"
    assert "On n there is no SFT" in as_markdown(table)


@pytest.mark.parametrize(
    ("remi", "said"), [([row("icl", "id", 0.1)], "the run has no such method"), (REMI, "no methods were compared")]
)
def test_where_nothing_can_be_marked_a_note_says_why(remi: list[dict[str, Any]], said: str) -> None:
    assert said in as_markdown(table20(run(remi)))


def test_a_detail_is_the_interval_and_says_whether_it_is_unreliable() -> None:
    remi = [
        row("icl", "id", 0.0, ci_low=-1.0, ci_high=1.0, interval_reliable=False),
        row("icl", "korean", 0.5, ci_low=0.25, ci_high=0.75, interval_reliable=True),
        row("icl", "german", 0.0),
    ]
    found = cells(table20(run(remi)), "icl")
    shown = [found[key].detail for key in ("id", "german", "korean")]
    assert shown == ["[-1.000, 1.000]°", "", "[0.250, 0.750]"]


@pytest.mark.parametrize(("n_subsets", "detail"), [(2, "[-0.250, 0.500]"), (3, "")])
def test_the_averages_interval_is_the_stored_one_over_the_same_subsets(n_subsets: int, detail: str) -> None:
    found = run(averages=[average("icl", n_subsets), average("sft", 2)])
    assert cells(table20(found), "icl")["average"].detail == detail
    assert cells(table20(found), "sft")["average"].detail == ""  # it has no average
    assert cells(table20(run()), "icl")["average"].detail == ""


def test_notes_carry_the_caution_the_estimator_and_every_count() -> None:
    text = as_markdown(table20(run()))
    for part in (
        "Too small.",
        "base m, w/o Reasoning",
        "Unscored samples of sft on m: 1.",
        "cut by the length limit (scored without an end-of-turn token): icl 4 of 9, sft 2 of 9.",
        "empty (scored as the end-of-turn token alone): icl 1 of 9.",
        "between their tags; the whole text is scored): icl 3 of 9.",
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
    table = table20(run(manifest={**MANIFEST, "estimator": estimator, "stages": stages}))
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
    assert "Reasonings" not in as_markdown(table20(run()))


def test_csv_keeps_full_precision_and_leaves_the_missing_empty() -> None:
    table = table20(run([*REMI, row("icl", "german", 1 / 3)]))
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert float(rows[0]["german"]) == 1 / 3
    assert rows[1]["korean"] == ""


def test_latex_is_a_tabular_with_the_best_in_bold() -> None:
    text = as_latex(table20(run()))
    assert r"\begin{tabular}" in text
    assert r"\textbf{0.250}" in text


def test_the_released_arithmetic_stands_in_every_rendering() -> None:
    table = table20(run([row("sft", "id", 0.25, arithmetic="released")]))
    assert "ARITHMETIC OF THE RELEASED CODE" in as_markdown(table)
    assert "Method (released arithmetic)" in as_markdown(table)
    assert "Method (released arithmetic)" in as_latex(table)
    assert next(csv.DictReader(io.StringIO(as_csv(table))))["arithmetic"] == "released"


def test_the_notes_say_how_wide_and_how_reliable_the_intervals_are() -> None:
    wide = row("sft", "id", 0.0, ci_low=-1.0, ci_high=1.0, interval_reliable=False)
    narrow = row("icl", "id", 0.0, ci_low=-0.25, ci_high=0.25, interval_reliable=True)
    for table in (table20, table20_intervals):
        text = as_markdown(table(run([wide, narrow])))
        assert "+-0.250 to +-1.000 nats a token; 1 of 2 are unreliable" in text
        assert "no intervals" in as_markdown(table(run()))


def test_responses_made_elsewhere_have_no_base_model() -> None:
    table = table20(run([row("sft", "id", 0.25, base_model=None, n_unscored=2)]))
    assert "Unscored samples of sft: 2." in as_markdown(table)
    assert next(csv.DictReader(io.StringIO(as_csv(table))))["base_model"] == ""
    assert "SFT" in as_latex(table)


def test_headings_of_all_subsets_differ() -> None:
    assert len({subset.heading for subset in SUBSETS}) == 12


def test_the_intervals_have_a_column_for_either_end_in_csv_and_one_for_both_elsewhere() -> None:
    remi = [row("icl", "id", 0.0, ci_low=-1 / 3, ci_high=2 / 3, interval_reliable=False), row("icl", "korean", 0.5)]
    table = table20_intervals(run(remi, averages=[average("icl", 2)]))
    (found,) = csv.DictReader(io.StringIO(as_csv(table)))
    ends = [f"{key}_{end}" for key in ("id", "korean", "average") for end in ("low", "high")]
    assert list(found) == ["base_model", "method", *ends]
    assert (float(found["id_low"]), float(found["id_high"])) == (-1 / 3, 2 / 3)
    assert (found["korean_low"], found["korean_high"]) == ("", "")
    assert (float(found["average_low"]), float(found["average_high"])) == (-0.25, 0.5)
    shown = [line for line in as_markdown(table).splitlines() if line.startswith(("| Method", "| ICL"))]
    assert [" ".join(line.split()) for line in shown] == [
        "| Method | ID | U.K. | Avg. |",
        "| ICL | [-0.333, 0.667]° | – | [-0.250, 0.500] |",
    ]


def test_both_tables_name_the_files_that_have_rows() -> None:
    assert table20(run()).sources == ("scores/remi.json", "manifest.json")
    whole = run(averages=[average("icl", 2)], differences=[difference("icl", "sft", "id", 0.5)])
    files = ("scores/remi.json", "scores/averages.json", "scores/differences.json", "manifest.json")
    assert table20(whole).sources == files
    assert table20_intervals(whole).sources == (files[0], files[1], files[3])


def test_a_run_without_scores_has_no_rows() -> None:
    for table in (table20(run([])), table20_intervals(run([]))):
        assert table.rows == ()
        assert "| Method" in as_markdown(table)


def test_every_value_of_a_whole_run_is_that_of_its_score_files(tmp_path: Path, mini: Benchmark) -> None:
    made = MadeRun(mini, methods=("sft", "icl", "grpo"), base_models=("a/b", "c"))
    page = write_table20(make_run(tmp_path, made))
    assert page == tmp_path / "tables" / "table20.md"
    names = sorted(path.name for path in page.parent.iterdir())
    endings = ("csv", "md", "tex")
    assert names == [f"{name}.{ending}" for name in ("table20", "table20_intervals") for ending in endings]
    found = {name: _csv(page.with_name(name)) for name in ("table20.csv", "table20_intervals.csv")}
    stored = json.loads((tmp_path / "scores" / "remi.json").read_text())
    stored = [one for one in stored if one["unit"] == "nats_per_token"]
    assert len(stored) == 72
    for one in stored:
        key, subset = (one["base_model"], one["method"]), one["subset"]
        assert float(found["table20.csv"][key][subset]) == one["remi"]
        ends = [float(found["table20_intervals.csv"][key][f"{subset}_{end}"]) for end in ("low", "high")]
        assert ends == [one["ci_low"], one["ci_high"]]
    for one in read_run(tmp_path).rows("averages", unit="nats_per_token"):
        key = (one["base_model"], one["method"])
        assert float(found["table20.csv"][key]["average"]) == pytest.approx(one["average"], abs=1e-15)
        assert float(found["table20_intervals.csv"][key]["average_low"]) == one["ci_low"]


def _csv(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(newline="") as file:
        return {(row["base_model"], row["method"]): row for row in csv.DictReader(file)}
