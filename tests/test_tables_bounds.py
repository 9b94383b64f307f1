"""The tables of bounds hold what the score files hold, and correlations are over the points that have both values."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from made_run import MadeRun, make_run

from benchmark import Benchmark
from reports.run_data import RunData, read_run
from reports.table import Cell, Table
from reports.table_formats import as_markdown
from reports.tables.table12 import table12, table12_all
from reports.tables.table13 import table13

Edit = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini, methods=("icl", "sft", "grpo")))


def edit(folder: Path, name: str, change: Edit) -> RunData:
    """Change the rows of a score file and read the run."""
    path = folder / "scores" / f"{name}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return read_run(folder)


def by_key(table: Table | None, *keys: str) -> dict[Any, dict[str, Cell]]:
    """Return a table's rows by the values of these columns, each a cell by its column's key."""
    assert table is not None
    names = [column.key for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in table.rows]
    found = {tuple(row[key].value for key in keys) if len(keys) > 1 else row[keys[0]].value: row for row in rows}
    assert len(found) == len(rows)
    return found


def values(row: Mapping[str, Cell], *keys: str) -> list[object]:
    return [row[key].value for key in keys]


# One method's terms


def test_the_terms_of_sft_are_those_of_the_score_files(folder: Path) -> None:
    run = read_run(folder)
    table = table12(run)
    found = by_key(table, "subset")
    assert list(found) == list(run.subsets[1:])
    assert table is not None
    assert table.title.endswith(": SFT on smollm2-135m")
    assert table.sources == ("scores/bounds.json", "scores/divergences.json", "manifest.json")
    parts = ("user", "character", "dialogue")
    for subset, row in found.items():
        theorem, calibrated = (
            run.rows("bounds", method="sft", subset=subset, form=form)[0] for form in ("theorem", "calibrated")
        )
        assert row["shift"].value == theorem["shift"]
        fields = [f"jsd_{name}" for name in (*parts, "null")]
        assert values(row, *fields) == [theorem[field] for field in fields]
        less = [run.rows("divergences", subset=subset, component=part)[0]["bias_removed"] for part in parts]
        assert values(row, *(f"jsd_{part}_bias_removed" for part in parts)) == less
        assert row["theorem_bound_bias_removed"].value == theorem["bound_bias_removed"]
        for form, stored in (("theorem", theorem), ("calibrated", calibrated)):
            for own, its in (("bound", "bound_ci"), ("remid", "remid_ci")):
                keys = [f"{form}_{own}", f"{form}_{own}_low", f"{form}_{own}_high"]
                assert values(row, *keys) == [stored[own], stored[f"{its}_low"], stored[f"{its}_high"]]
                assert row[keys[0]].detail.endswith("]°")


@pytest.mark.parametrize(
    ("methods", "bases", "title"),
    [
        (("icl", "grpo"), ("b", "a"), ": ICL on a"),
        (("icl", "sft"), ("b", "a"), ": SFT on a"),
    ],
)
def test_the_title_says_whose_terms_they_are(
    tmp_path: Path, mini: Benchmark, methods: tuple[str, ...], bases: tuple[str, ...], title: str
) -> None:
    table = table12(read_run(make_run(tmp_path, MadeRun(mini, methods=methods, base_models=bases))))
    assert table is not None
    assert table.title.endswith(title)


def test_sft_on_a_later_base_model_goes_before_other_methods(folder: Path) -> None:
    def renamed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "base_model": "z" if row["method"] == "sft" else "a"} for row in rows]

    edit(folder, "remi", renamed)
    table = table12(edit(folder, "bounds", renamed))
    assert table is not None
    assert table.title.endswith(": SFT on z")


def test_what_is_missing_is_a_dash_and_no_zero(folder: Path) -> None:
    def emptied(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = [row for row in rows if (row["subset"], row["form"]) != ("german", "calibrated")]
        nothing = dict.fromkeys(("jsd_user", "bound", "remid", "bound_bias_removed"))
        return [{**row, **nothing} if row["subset"] == "korean" else row for row in kept]

    edit(folder, "divergences", lambda rows: [])
    found = by_key(table12(edit(folder, "bounds", emptied)), "subset")
    without = ("jsd_user", "theorem_bound", "theorem_bound_low", "calibrated_remid", "calibrated_remid_high")
    assert values(found["korean"], *without) == [None] * 5
    assert found["korean"]["theorem_bound"] == Cell(None, "–")
    assert values(found["german"], "calibrated_bound", "jsd_user_bias_removed") == [None, None]
    assert found["german"]["theorem_bound"].value is not None


def test_without_the_two_forms_that_it_shows_there_is_no_table_of_terms(folder: Path) -> None:
    run = edit(folder, "bounds", lambda rows: [row for row in rows if row["form"] == "corrected"])
    assert table12(run) is None
    assert table12_all(run) is not None


def test_units_stand_over_the_columns_and_forms_are_explained(folder: Path) -> None:
    table = table12(read_run(folder))
    assert table is not None
    heads = {column.key: f"{column.group} {column.head}" for column in table.columns}
    assert "nats" in heads["jsd_user"]
    assert "nats" in heads["jsd_user_bias_removed"]
    assert "nats a response" in heads["theorem_bound"]
    assert "nats a response" in heads["theorem_remid"]
    assert "nats a token" in heads["calibrated_remid"]
    assert "scaled" in heads["calibrated_bound"]
    page = as_markdown(table)
    assert "Theorem form: the theorem form." in page
    assert "corrected" not in page


def test_a_script_that_the_embedding_cannot_read_is_named(folder: Path) -> None:
    def unread(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "measures_script": (row["subset"], row["component"]) == ("korean", "user")} for row in rows]

    said = "The embedding cannot read the script of these texts, so that divergences measure it: Korean (user)."
    before, after = table12(read_run(folder)), table12(edit(folder, "divergences", unread))
    assert before is not None
    assert after is not None
    assert set(after.notes) - set(before.notes) == {said}


# All of them


def test_all_methods_subsets_and_forms_are_there_in_full(tmp_path: Path, mini: Benchmark) -> None:
    run = read_run(make_run(tmp_path, MadeRun(mini, methods=("icl", "sft"), base_models=("a", "b"))))
    found = by_key(table12_all(run), "base_model", "method", "subset", "form")
    assert len(found) == len(run.scores["bounds"]) == 2 * 2 * 11 * 3
    for stored in run.scores["bounds"]:
        row = found[stored["base_model"], stored["method"], stored["subset"], stored["form"]]
        fields = ("unit", "jsd_user", "jsd_character", "jsd_dialogue", "jsd_null", "h_hat", "delta", "bound", "remid")
        assert values(row, *fields) == [stored[field] for field in fields]
        ends = [stored[f"{name}_ci_{end}"] for name in ("bound", "remid") for end in ("low", "high")]
        assert values(row, "bound_low", "bound_high", "remid_low", "remid_high") == ends
        assert row["bound_bias_removed"].value == stored["bound_bias_removed"]


def test_without_bounds_there_is_no_table(folder: Path) -> None:
    run = edit(folder, "bounds", lambda rows: [])
    assert (table12(run), table12_all(run), table13(run)) == (None, None, None)


# Correlations


def test_correlations_are_those_of_the_points_that_have_both_values(tmp_path: Path, mini: Benchmark) -> None:
    def emptied(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "remid": None} if row["subset"] == "film" else row for row in rows]

    folder = make_run(tmp_path, MadeRun(mini))
    run = edit(folder, "bounds", emptied)
    found = by_key(table13(run), "form", "shift")
    assert len(found) == 3 * 4
    for (form, shift), row in found.items():
        of_shift = {} if shift == "all" else {"shift": shift}
        rows = [one for one in run.rows("bounds", form=form, **of_shift) if one["remid"] is not None]
        assert row["n_points"].value == len(rows) == {"user": 45, "character": 27, "dialogue": 18, "all": 90}[shift]
        x, y = np.array([[one["bound"], one["remid"]] for one in rows]).T
        expected = [float(of(x, y)[0]) for of in (scipy.stats.pearsonr, scipy.stats.spearmanr, scipy.stats.kendalltau)]
        assert values(row, "pearson", "spearman", "kendall") == pytest.approx(expected)
        assert row["unit"].value == rows[0]["unit"]
        low, high = values(row, "pearson_low", "pearson_high")
        assert isinstance(low, float)
        assert isinstance(high, float)
        assert -1 <= low < high <= 1
        assert row["pearson"].detail == f"[{low:z.3f}, {high:z.3f}]"


def test_the_same_run_gives_the_same_intervals(folder: Path) -> None:
    run = read_run(folder)
    assert table13(run) == table13(read_run(folder))


def test_below_ten_points_there_is_no_correlation_and_a_note_says_so(folder: Path) -> None:
    table = table13(read_run(folder))
    found = by_key(table, "form", "shift")
    assert found["theorem", "dialogue"]["n_points"].value == 6
    assert values(found["theorem", "dialogue"], "pearson", "pearson_low", "kendall") == [None] * 3
    assert found["theorem", "user"]["pearson"].value is not None
    assert table is not None
    assert "fewer than 10 points no correlation is given" in as_markdown(table)


def test_with_points_enough_everywhere_no_note_speaks_of_too_few(tmp_path: Path, mini: Benchmark) -> None:
    table = table13(read_run(make_run(tmp_path, MadeRun(mini))))
    assert table is not None
    assert "fewer than" not in as_markdown(table)
