"""The settings of a report: what methods share stands once, what differs says where, and departures follow the run."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark
from reports.departures import departures
from reports.run_data import read_run
from reports.settings import flattened, settings_tables


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path, MadeRun(mini, methods=("icl", "sft", "grpo")))


def change(folder: Path, **manifest: Any) -> None:  # noqa: ANN401
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **manifest}))


def test_nested_settings_are_paths() -> None:
    assert flattened({"a": {"b": 1, "c": {"d": None}}, "e": "x", "f": [1, "y"], "g": {}}) == {
        "a.b": "1",
        "a.c.d": "null",
        "e": "x",
        "f": '[1, "y"]',
        "g": "{}",
    }


def test_a_setting_stands_once_for_all_methods_and_by_value_where_they_differ(folder: Path) -> None:
    recipes = [
        {"method": method, "base_model": "smollm2-135m", "seed": 42, "config": {"rate": rate}}
        for method, rate in (("icl", 1), ("sft", 2), ("grpo", 2))
    ]
    change(folder, recipes=recipes)
    table = settings_tables(read_run(folder))[0]
    shown = [tuple(cell.text for cell in row) for row in table.rows]
    assert shown == [("seed", "42", "all"), ("config.rate", "1", "ICL"), ("config.rate", "2", "SFT, RL")]


def test_tables_without_rows_are_left_out(folder: Path) -> None:
    names = [table.name for table in settings_tables(read_run(folder))]
    assert names == ["settings", "settings_estimator", "settings_run"]
    change(folder, estimator_source="estimators/mine", settings={"pairs": "all"}, recipes=[])
    tables = {table.name: table for table in settings_tables(read_run(folder))}
    assert list(tables) == ["settings_scoring", "settings_estimator", "settings_run"]
    assert [cell.text for cell in tables["settings_estimator"].rows[0]] == ["directory", "estimators/mine"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"fit_on": ["train"], "folds": None}, "fitted on train without folds; the paper"),
        ({"fit_on": ["id", "german"], "folds": None}, "so that scored responses were trained on"),
        ({"fit_on": ["id", "german"], "folds": 4}, "on id, german in 4 folds, so that no scored response"),
    ],
)
def test_what_the_estimator_was_fitted_on_is_said(folder: Path, source: dict[str, Any], said: str) -> None:
    change(folder, estimator_source=source)
    assert said in " ".join(departures(read_run(folder)))


def test_an_untrained_estimator_and_the_released_arithmetic_are_said(folder: Path) -> None:
    change(folder, estimator={"kind": "base", "label": "base m"})
    path = folder / "scores" / "remi.json"
    path.write_text(json.dumps([{**row, "arithmetic": "released"} for row in json.loads(path.read_text())]))
    said = " ".join(departures(read_run(folder)))
    assert "was not trained" in said
    assert "its faults included" in said
    assert "nothing is cut" not in said
