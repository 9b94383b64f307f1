"""A shift's section holds that shift's numbers, and says what it has none of."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.subsets import subset
from reports.contents import Section
from reports.document.shifts import shift_sections
from reports.run_data import RunData, read_run
from reports.table import Table

METHODS = ("sft", "dpo")
SUBSETS = ("id", "german", "korean", "gaming")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path_factory.mktemp("run"), MadeRun(mini, METHODS, subsets=SUBSETS)))


def with_scores(run: RunData, **scores: list[dict[str, Any]]) -> RunData:
    return replace(run, scores={**run.scores, **scores})


def tables(section: Section) -> Mapping[str, Table]:
    return {table.name.partition("_")[2]: table for table in section.tables}


def values(table: Table) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in table.rows]


def remi(run: RunData, method: str, key: str) -> float:
    value: float = run.rows("remi", method=method, subset=key, unit="nats_per_token")[0]["remi"]
    return value


def test_shifts_without_subsets_have_no_section(run: RunData) -> None:
    assert [section.heading for section in shift_sections(run)] == ["User shift", "Character shift"]


def test_r_emi_stands_beside_the_in_distribution_test_and_the_mean(run: RunData) -> None:
    table = tables(shift_sections(run)[0])["remi"]
    assert [column.head for column in table.columns] == [
        "Method",
        "In distribution",
        "German",
        "Korean",
        "Mean of shift",
    ]
    for row, method in zip(values(table), METHODS, strict=True):
        own = [remi(run, method, key) for key in ("id", "german", "korean")]
        assert row == [run.spec(method)["label"], *own, pytest.approx((own[1] + own[2]) / 2)]


def test_r_emid_is_that_of_the_shift_s_subsets(run: RunData) -> None:
    table = tables(shift_sections(run)[1])["remid"]
    expected = [[run.spec(m)["label"], remi(run, m, "id") - remi(run, m, "gaming")] for m in METHODS]
    assert values(table) == [[label, pytest.approx(value)] for label, value in expected]
    low = remi(run, "sft", "id") - remi(run, "sft", "gaming") - 0.4
    assert table.rows[0][1].detail == f"[{low:z.3f}, {low + 0.8:z.3f}]°"


def test_bounds_stand_by_form_and_method_where_they_differ(run: RunData) -> None:
    table = tables(shift_sections(run)[0])["bounds"]
    stored = {(r["form"], r["method"], r["subset"]): r["bound"] for r in run.scores["bounds"]}
    assert values(table) == [
        [name, run.spec(method)["label"], stored[form, method, "german"], stored[form, method, "korean"]]
        for form, name in (("calibrated", "Calibrated"), ("theorem", "Theorem 3.4"))
        for method in METHODS
    ]
    assert "Theorem 3.4: the theorem form." in table.notes


def test_bounds_that_are_the_same_for_all_methods_stand_once(run: RunData) -> None:
    same = {"bound": 0.5, "bound_ci_low": 0.4, "bound_ci_high": 0.6}
    rows = [{**row, **same} if row["form"] == "calibrated" else row for row in run.scores["bounds"]]
    table = tables(shift_sections(with_scores(run, bounds=rows))[0])["bounds"]
    assert [row[:3] for row in values(table)][:2] == [
        ["Calibrated", "every method", 0.5],
        ["Theorem 3.4", "SFT", table.rows[1][2].value],
    ]
    assert len(table.rows) == 3


def test_divergences_stand_with_their_floor_and_signs(run: RunData) -> None:
    shown = {("german", "user"): (0.25, False), ("korean", "user"): (0.251, True)}
    rows = [
        {**row, "raw": shown[place][0], "measures_script": shown[place][1]}
        if (place := (row["subset"], row["component"])) in shown
        else row
        for row in run.scores["divergences"]
    ]
    table = tables(shift_sections(with_scores(run, divergences=rows))[0])["divergences"]
    assert [row[0].text for row in table.rows] == ["User persona", "Agent character", "Dialogue", "All jointly"]
    german, korean = table.rows[0][1:]
    assert (german.text, german.mark, german.detail) == ("0.250", "†", "floor 0.200")
    assert (korean.text, korean.mark) == ("0.251", "‡")


def test_the_words_are_those_of_the_numbers(run: RunData) -> None:
    fixed = {("sft", "id"): 0.5, ("dpo", "id"): 0.3, ("sft", "gaming"): 0.25, ("dpo", "gaming"): -0.05}
    rows = [
        {**row, "remi": fixed.get((row["method"], row["subset"]), row["remi"])}
        if row["unit"] == "nats_per_token"
        else row
        for row in run.scores["remi"]
    ]
    remids = [
        {**row, "remid": value, "ci_low": value - 0.3, "ci_high": value + 0.3}
        for row, value in zip(run.rows("remid", subset="gaming", unit="nats_per_token"), (0.25, 0.35), strict=True)
    ]
    section = shift_sections(with_scores(run, remi=rows, remid=remids))[1]
    assert section.text[0] == (
        "Subsets: Gaming (C.G.). R-EMI is 0.100 nats a token on average over methods and subsets, against 0.400 in "
        "distribution. By method its mean goes from -0.050 (DPO) to 0.250 (SFT); these means are not tested."
    )
    assert section.text[1].startswith(
        "The largest of 2 R-EMIDs, falls of R-EMI from the in-distribution test, is 0.350 [0.050, 0.650] (DPO on the "
        "Gaming subset), whose unreliable interval excludes zero. The interval lies above zero for 1 of 2. The largest "
        "of the calibrated bounds is "
    )


def test_the_largest_divergence_is_named(run: RunData) -> None:
    rows = [{**row, "raw": 0.1} for row in run.scores["divergences"]]
    rows = [{**r, "raw": 0.6} if (r["subset"], r["component"]) == ("korean", "dialogue") else r for r in rows]
    said = shift_sections(with_scores(run, divergences=rows))[0].text[2]
    assert said.startswith(
        "Inputs differ most from the in-distribution test in dialogues of the Korean subset: 0.600 nats of at most "
        "0.693, with a floor of 0.200. 5 of 6 divergences"
    )


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("remid", "remid", "There is no R-EMID under this shift."),
        ("bounds", "bounds", "There are no calibrated bounds under this shift."),
        ("divergences", "divergences", ""),
    ],
)
def test_what_a_run_lacks_has_no_table(run: RunData, name: str, table: str, said: str) -> None:
    section = shift_sections(with_scores(run, **{name: []}))[0]
    assert table not in tables(section)
    assert said in " ".join(section.text)


def test_missing_estimates_are_dashes_and_take_no_part_in_words(run: RunData) -> None:
    rows = [
        {**row, "remi": None, "ci_low": None, "ci_high": None, "interval_reliable": None}
        if subset(row["subset"]).shift == "character" and row["method"] == "sft"
        else row
        for row in run.scores["remi"]
    ]
    section = shift_sections(with_scores(run, remi=rows))[1]
    sft, dpo = tables(section)["remi"].rows
    assert [cell.text for cell in sft[2:]] == ["–", "–"]
    assert dpo[2].value == remi(run, "dpo", "gaming")
    assert f"R-EMI is {remi(run, 'dpo', 'gaming'):.3f} nats a token on average" in section.text[0]
    assert "By method" not in section.text[0]
