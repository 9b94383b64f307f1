"""The table of an ablation holds what its file holds, with marks where a variant differs from the first."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run

from benchmark import Benchmark, RunFailure, UserMistakes
from reports.run_data import RunData, read_run
from reports.table import Table
from reports.table_formats import as_csv, as_markdown
from reports.tables.table01 import FORMAT_VERSION, table01

VARIANTS = {"full": "both models", "without_corl": "after the cold start", "untrained": "the base model"}
GROUPS = ("id", "user", "dialogue")


def perplexity(variant: str, group: str, value: float | None, **changes: object) -> dict[str, Any]:
    nothing = value is None
    ends = {"ci_low": None if nothing else value - 1 / 3, "ci_high": None if nothing else value + 0.5}  # type: ignore[operator]
    found = {"variant": variant, "group": group, "perplexity": value, **ends}
    return {**found, "interval_reliable": None if nothing else True, "n_samples": 4, **changes}


def ablation(**changes: object) -> dict[str, Any]:
    """Return an ablation whose values tell their place: 10 for the first variant, 1 more for each group."""
    rows = [
        perplexity(name, group, 10.0 * (v + 1) + g) for v, name in enumerate(VARIANTS) for g, group in enumerate(GROUPS)
    ]
    fixed = {
        "format_version": FORMAT_VERSION,
        "base_model": "some/model",
        "n_folds": 3,
        "folds_used": [0, 2],
        "counts": {"held_out": 12, "compared": 11, "unscored": {}},
        "variants": VARIANTS,
        "perplexity": rows,
        "differences": [],
        "notes": ["fold 2: diverged"],
    }
    return {**fixed, **changes}


@pytest.fixture
def run(tmp_path: Path, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path, MadeRun(mini, methods=("sft",), subsets=("id", "german"))))


def write(run: RunData, content: object) -> None:
    path = run.folder / "ablation" / "ablation.json"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def made(run: RunData, content: object) -> Table:
    write(run, content)
    table = table01(run)
    assert table is not None
    return table


def test_a_run_without_an_ablation_has_no_table(run: RunData) -> None:
    assert table01(run) is None


def test_csv_holds_perplexities_and_intervals_in_the_files_order(run: RunData) -> None:
    table = made(run, ablation())
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    ends = [f"{group}{end}" for group in GROUPS for end in ("", "_low", "_high")]
    assert list(rows[0]) == ["variant", "description", *ends]
    assert [row["variant"] for row in rows] == list(VARIANTS)
    assert [row["description"] for row in rows] == list(VARIANTS.values())
    assert [float(row["dialogue"]) for row in rows] == [12.0, 22.0, 32.0]
    assert (float(rows[1]["user_low"]), float(rows[1]["user_high"])) == (21 - 1 / 3, 21.5)
    assert table.sources == ("ablation/ablation.json",)


def test_markdown_shows_intervals_and_what_they_rest_on(run: RunData) -> None:
    rows = ablation()["perplexity"]
    rows[0]["interval_reliable"] = False
    page = as_markdown(made(run, ablation(perplexity=rows)))
    assert "| without corl | 20.000 [19.667, 20.500] | 21.000 [20.667, 21.500] | 22.000 [21.667, 22.500] |" in page
    assert "10.000 [9.667, 10.500]° |" in page
    for part in (
        "| Variant ",
        " ID |",
        "User shift |",
        "Dialogue shift |",
        "Base model: some/model; folds 0, 2 of 3; 11 of 12 held-out samples",
        "- without corl: after the cold start.",
        "- fold 2: diverged",
    ):
        assert part in page


def test_a_star_marks_the_variant_that_differs_from_the_first(run: RunData) -> None:
    differences = [
        {"group": "id", "first": "full", "second": "without_corl", "adjusted_p": 0.01},
        {"group": "user", "first": "full", "second": "without_corl", "adjusted_p": 0.05},
        {"group": "user", "first": "full", "second": "untrained", "adjusted_p": None},
        {"group": "id", "first": "untrained", "second": "full", "adjusted_p": 0.0},
    ]
    table = made(run, ablation(differences=differences))
    keys = [column.key for column in table.columns]
    marked = [(row[0].value, keys[i]) for row in table.rows for i, cell in enumerate(row) if cell.mark]
    assert marked == [("without_corl", "id"), ("untrained", "id")]
    assert "A star behind a value: different from full" in as_markdown(table)


def test_what_was_not_measured_is_a_dash(run: RunData) -> None:
    rows = [*ablation()["perplexity"][:2], perplexity("untrained", "id", None)]
    table = made(run, ablation(perplexity=rows))
    assert [cell.value for cell in table.rows[1][2:]] == [None] * 6
    assert [cell.text for cell in table.rows[1][2:]] == ["–"] * 6


def test_hostile_names_of_variants_and_groups_are_shown_cut(run: RunData) -> None:
    table = made(run, ablation(perplexity=[perplexity("<b>|x" * 100_000, "=1+1", 2.0)], variants={}))
    assert len(as_markdown(table)) < 10_000
    assert "'=1+1" in as_csv(table).splitlines()[0]


def test_a_newer_file_is_a_mistake(run: RunData) -> None:
    write(run, ablation(format_version=FORMAT_VERSION + 1))
    with pytest.raises(UserMistakes, match="written by a newer version"):
        table01(run)


@pytest.mark.parametrize(
    "content", ["[", "[]", "{}", '{"format_version": 1}', '{"format_version": 1, "perplexity": 2}']
)
def test_a_damaged_file_is_named(run: RunData, content: str) -> None:
    write(run, content)
    with pytest.raises(RunFailure, match=r"ablation\.json"):
        table01(run)
