"""Counts of samples, costs, and all tables of a run together: whole, without parts, and with hostile names."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark, RunFailure
from reports.files import write_tables
from reports.published import section
from reports.published.section import published_tables
from reports.run_data import RunData, read_run
from reports.table import Table
from reports.table_formats import FORMATS, as_csv, as_latex, as_markdown
from reports.tables.report_tables import NAMES, report_tables
from reports.tables.table02 import table02
from reports.tables.table14 import Price, duration, table14
from reports.tables.table20 import table20

GPU = Price(per_hour=3.6, currency="EUR", watts=500.0)
NASTY = '=cmd|"<b>&_\\$^~{}\u202e日本 '


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini, methods=("icl", "sft")))


def rows(table: Table | None) -> list[dict[str, str]]:
    assert table is not None
    return list(csv.DictReader(io.StringIO(as_csv(table), newline="")))


def change(folder: Path, **changes: object) -> RunData:
    """Change the manifest and read the run."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return read_run(folder)


def stage(name: str, seconds: float | None, tokens: int = 0, **changes: object) -> dict[str, Any]:
    return {"name": name, "seconds": seconds, "tokens": tokens, "peak_memory": 10**9, "counts": {}, **changes}


# Samples


def test_samples_personas_and_characters_are_counted(folder: Path, mini: Benchmark) -> None:
    first, second, third = mini.train[:3]
    korean = mini.test["korean"][0]
    samples = [
        first,
        replace(second, user_persona=first.user_persona),
        replace(third, agent_character=first.agent_character, turns=(), golden_response="one two  three"),
        korean,
        replace(korean, sample_id="other", turns=korean.turns[:1], golden_response="짧은 답"),
    ]
    lines = [json.dumps(asdict(sample), ensure_ascii=False) for sample in samples]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    table = table02(read_run(folder))
    found = {(row["split"], row["subset"]): row for row in rows(table)}
    assert list(found) == [("IDTrain", ""), ("User shift", ""), ("User shift", "korean")]
    train, of_shift, of_subset = found.values()
    counted = ("samples", "user_personas", "agent_characters")
    assert [train[key] for key in counted] == ["3", "2", "2"]
    assert [of_shift[key] for key in counted] == ["2", "1", "1"]
    assert {**of_shift, "subset": ""} == {**of_subset, "subset": ""}
    turns = [len(first.turns) + 1, len(second.turns) + 1, 1]
    assert float(train["turns"]) == pytest.approx(sum(turns) / 3)
    lengths = [len(sample.golden_response.split()) for sample in (first, second)]
    assert float(train["response_words"]) == pytest.approx((sum(lengths) + 3) / 3)
    assert table is not None
    assert table.sources == ("samples.jsonl",)


def test_without_samples_there_is_no_table_and_damaged_ones_are_named(folder: Path) -> None:
    (folder / "samples.jsonl").write_text('{"sample_id": "a"}\n')
    with pytest.raises(RunFailure, match=r"samples\.jsonl: is damaged"):
        table02(read_run(folder))
    (folder / "samples.jsonl").unlink()
    assert table02(read_run(folder)) is None


# Costs


def test_time_tokens_and_memory_are_those_of_the_stages(folder: Path) -> None:
    stages = [
        stage("policy/icl", 1.5, 10),
        stage("policy/sft", 7200.0, 20, peak_memory=3 * 10**9),
        stage("responses/icl", 60.0, 30),
        stage("estimator", 600.0, 40),
        stage("reasoning", 30.0, 50),
        stage("likelihoods", 90.0, 60),
        stage("scores", 0.25),
        stage("embeddings/icl", 0.5, peak_memory=2 * 10**9),
    ]
    table = table14(change(folder, stages=stages))
    found = rows(table)
    assert [(row["stage"], row["method"]) for row in found] == [
        *[("policy", "icl"), ("policy", "sft"), ("responses", "icl")],
        *[(name, "") for name in ("estimator", "reasoning", "likelihoods", "rest", "total")],
    ]
    assert [float(row["seconds"]) for row in found] == [1.5, 7200.0, 60.0, 600.0, 30.0, 90.0, 0.75, 7982.25]
    assert [int(row["tokens"]) for row in found] == [10, 20, 30, 40, 50, 60, 0, 210]
    assert [float(row["peak_memory_gb"]) for row in found] == [1, 3, 1, 1, 1, 1, 2, 3]
    assert {row["base_model"] for row in found[:3]} == {"smollm2-135m"}
    assert [row[3].text for row in table.rows[1:]][-1] == "2 h 13 min 2 s"
    page = as_markdown(table)
    assert "- The rest: scores, embeddings." in page
    assert "Cost" not in page
    assert "Energy" not in page


def test_a_price_gives_money_and_energy(folder: Path) -> None:
    run = change(folder, stages=[stage("policy/icl", 1800.0), stage("likelihoods", 900.0)])
    found = rows(table14(run, GPU))
    assert [float(row["cost"]) for row in found] == pytest.approx([1.8, 0.9, 2.7])
    assert [float(row["energy_kwh"]) for row in found] == pytest.approx([0.25, 0.125, 0.375])
    assert {row["currency"] for row in found} == {"EUR"}
    page = as_markdown(table14(run, GPU))
    assert "Cost, EUR | Energy, kWh |" in page
    assert "time at 3.6 EUR an hour" in page
    assert "time at 500 W" in page


def test_without_a_rate_its_column_is_empty_and_csv_keeps_its_keys(folder: Path) -> None:
    run = read_run(folder)
    tables = [table14(run, price) for price in (None, Price(1.0, "USD", None), Price(None, "USD", 9.0), GPU)]
    assert len({tuple(rows(table)[0]) for table in tables}) == 1
    nothing, money, energy, _ = (rows(table)[0] for table in tables)
    assert (nothing["cost"], nothing["currency"], nothing["energy_kwh"]) == ("", "", "")
    assert (money["currency"], money["energy_kwh"]) == ("USD", "")
    assert (energy["cost"], energy["currency"]) == ("", "")
    assert "Cost" not in as_markdown(tables[2])


@pytest.mark.parametrize("rates", [(-1.0, None), (float("nan"), None), (None, -1.0), (None, float("inf"))])
def test_a_price_below_zero_or_without_end_is_refused(rates: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match="give a number from 0 up"):
        Price(rates[0], "USD", rates[1])


def test_reused_stages_are_marked_and_explained(folder: Path) -> None:
    stages = [stage("policy/icl", 5.0, reused=True), stage("policy/sft", 7.0, reused=False)]
    table = table14(change(folder, stages=stages))
    assert [row["reused"] for row in rows(table)] == ["yes", "no", "some"]
    assert "their numbers are those of the run that made them" in as_markdown(table)
    assert "Reused stages" not in as_markdown(table14(change(folder, stages=stages[1:])))


def test_a_stage_without_its_time_leaves_sums_empty(folder: Path) -> None:
    found = rows(table14(change(folder, stages=[stage("policy/icl", None), stage("scores", 1.0)]), GPU))
    assert [row["seconds"] for row in found] == ["", "1.0", ""]
    assert [row["cost"] for row in found] == ["", "0.001", ""]
    assert table14(change(folder, stages=[])).rows == ()


def test_stages_on_two_bases_have_their_methods_and_parents_too(tmp_path: Path, mini: Benchmark) -> None:
    folder = make_run(tmp_path, MadeRun(mini, methods=("icl", "sft"), base_models=("a/qwen", "llama")))
    stages = [stage("policy/a_qwen/sft", 1.0), stage("policy/llama/thinking_sft", 1.0), stage("policy/x/y", 1.0)]
    found = rows(table14(change(folder, stages=stages, parents=[{"base_model": "llama", "method": "thinking_sft"}])))
    places = [(row["base_model"], row["method"]) for row in found]
    assert places == [("a/qwen", "sft"), ("llama", "thinking_sft"), ("x", "y"), ("", "")]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *[(0.0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s")],
        *[(3599.6, "1 h 0 min 0 s"), (3661.0, "1 h 1 min 1 s"), (360_000.0, "100 h 0 min 0 s")],
    ],
)
def test_times_are_shown_as_they_are_read(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


# All of them


def test_a_whole_run_has_all_tables_but_what_was_not_asked_for_and_each_names_its_sources(folder: Path) -> None:
    tables = report_tables(read_run(folder), GPU)
    paths = write_tables(tables, folder)
    assert [table.name for table in tables] == [name for name in NAMES if name not in ("table01", "agreement")]
    assert [path.name for path in paths] == [f"{table.name}.{ending}" for table in tables for ending in FORMATS]
    assert sorted(path.name for path in (folder / "tables").iterdir()) == sorted(path.name for path in paths)
    for table in tables:
        assert table.sources
        assert all((folder / source).is_file() for source in table.sources)
    before = [path.read_bytes() for path in paths]
    again = write_tables(report_tables(read_run(folder), GPU), folder)
    assert [path.read_bytes() for path in again] == before


def test_keys_of_csv_files_are_all_different(folder: Path) -> None:
    for table in report_tables(read_run(folder), GPU):
        keys = [column.key for column in table.columns]
        assert len(set(keys)) == len(keys), table.name


def test_tables_that_the_run_no_longer_has_are_removed(folder: Path) -> None:
    write_tables(report_tables(read_run(folder)), folder)
    (folder / "tables" / "mine.csv").write_text("a\n")
    (folder / "samples.jsonl").unlink()
    (folder / "scores" / "bounds.json").unlink()
    write_tables(report_tables(read_run(folder)), folder)
    names = {path.stem for path in (folder / "tables").iterdir()}
    assert names == {"table20", "table20_intervals", "table14", "mine"}


def test_published_tables_of_an_earlier_report_are_removed_unless_asked_for_again(folder: Path) -> None:
    run = read_run(folder)
    own, published = report_tables(run), published_tables(run)
    assert tuple(table.name for table in published) == section.NAMES
    write_tables([*own, *published], folder)
    assert {path.stem for path in (folder / "tables").iterdir()} == {table.name for table in (*own, *published)}
    write_tables(own, folder)
    assert {path.stem for path in (folder / "tables").iterdir()} == {table.name for table in own}


@pytest.mark.parametrize("name", ["remi", "averages", "remid", "differences", "bounds", "divergences"])
def test_any_score_file_can_be_missing(folder: Path, name: str) -> None:
    (folder / "scores" / f"{name}.json").unlink()
    tables = report_tables(read_run(folder))
    assert write_tables(tables, folder)
    assert all(f"scores/{name}.json" not in table.sources for table in tables)


def test_an_estimators_run_has_its_costs_alone(folder: Path) -> None:
    for path in (folder / "scores").iterdir():
        path.unlink()
    (folder / "samples.jsonl").unlink()
    run = change(folder, methods={}, responses={}, recipes=[], stages=[stage("estimator", 3.0)])
    assert [table.name for table in report_tables(run)] == ["table14"]


def test_hostile_names_break_no_table_in_any_format(tmp_path: Path, mini: Benchmark) -> None:
    base = f"{NASTY}\n| base"
    made = MadeRun(mini, methods=("sft", NASTY), base_models=(base, "b"), caution=f"{NASTY}\n# x")
    folder = make_run(tmp_path, replace(made, responses={}))
    run = read_run(folder)
    assert {row["method"].removeprefix("'") for row in rows(table20(run))} == {"sft", NASTY}
    assert {row["base_model"].removeprefix("'") for row in rows(table20(run))} == {base, "b"}
    for table in report_tables(run, GPU):
        assert {None not in row and len(row) == len(table.columns) for row in rows(table)} == {True}
        shown = [column for column in table.columns if column.head is not None]
        lines = [line for line in as_latex(table).splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
        assert len(lines) == len(table.rows) + 1
        assert {line.replace(r"\&", "").count("&") for line in lines} == {len(shown) - 1}
        parts = as_markdown(table).split("\n\n")
        for part in parts:
            pipes = {line.replace("\\|", "").count("|") for line in part.splitlines() if line.startswith("|")}
            assert len(pipes) <= 1
        assert "\u202e" not in as_markdown(table) + as_latex(table)
