"""A run stands beside the right published numbers, over equal methods and subsets; agreement is counted right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.published import published_remi
from benchmark.subsets import SUBSET_KEYS
from reports.published.beside import beside_table
from reports.published.compared import PUBLISHED_BASES, published_beside
from reports.published.order_and_signs import order_and_signs_table
from reports.published.section import published_tables
from reports.run_data import MethodKey, Row, RunData, read_run
from reports.table import Cell, Table
from reports.table_formats import as_csv, as_latex, as_markdown

QWEN, LLAMA = PUBLISHED_BASES
PUBLISHED = {(row.base_model, row.method): row for row in published_remi()}
Maker = Callable[..., RunData]


@pytest.fixture
def make(tmp_path: Path, mini: Benchmark) -> Maker:
    def made(**settings: Any) -> RunData:  # noqa: ANN401 - fields of MadeRun
        return read_run(make_run(tmp_path / "run", MadeRun(mini, **settings)))

    return made


def with_values(run: RunData, value: Callable[[str | None, str, str], float | None]) -> RunData:
    """Return the run with R-EMI by base model, method and subset, and differences that fit."""

    def of(base: str | None, method: str, key: str) -> float:
        values = [value(base, method, one) for one in (run.subsets if key == "average" else (key,))]
        return sum(one for one in values if one is not None) / len(values)

    def difference(row: Row) -> float:
        first, second = (of(row["base_model"], row[name], row["subset"]) for name in ("first", "second"))
        return first - second

    remi = [{**row, "remi": value(row["base_model"], row["method"], row["subset"])} for row in run.scores["remi"]]
    differences = [{**row, "difference": difference(row)} for row in run.scores["differences"]]
    return replace(run, scores={**run.scores, "remi": remi, "differences": differences})


def as_published(base: str, sign: int = 1) -> Callable[[str | None, str, str], float]:
    return lambda _, method, key: sign * PUBLISHED[base, method].remi[key]


def cells(table: Table, **wanted: object) -> dict[str, Cell]:
    """Return the one row whose cells have these values, by column."""
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in table.rows]
    (found,) = [row for row in rows if all(row[key].value == value for key, value in wanted.items())]
    return found


@pytest.mark.parametrize(
    ("base_model", "expected"),
    [
        ("Qwen/Qwen3-4B-Base", (QWEN,)),
        ("/models/qwen3-4b-base/", (QWEN,)),
        ("meta-llama/Meta-Llama-3-8B", (LLAMA,)),
        ("Qwen/Qwen3-4B", (QWEN, LLAMA)),
        ("meta-llama/Meta-Llama-3-8B-Instruct", (QWEN, LLAMA)),
        ("smollm2-135m", (QWEN, LLAMA)),
        (None, (QWEN, LLAMA)),
    ],
)
def test_a_pretrained_base_stands_beside_itself_and_any_other_beside_both(
    base_model: str | None, expected: tuple[str, ...]
) -> None:
    assert published_beside(base_model) == expected


def test_averages_and_ranks_stand_beside_the_printed_ones(make: Maker) -> None:
    run = with_values(make(), lambda _, method, key: len(method) + SUBSET_KEYS.index(key) / 100)
    table = beside_table(run)
    for row in published_remi():
        found = cells(table, method=row.method)
        assert found[{QWEN: "qwen3_4b", LLAMA: "meta_llama_3_8b"}[row.base_model]].value == row.average
        assert found["measured"].value == pytest.approx(len(row.method) + 0.055)
        assert not found["measured"].bold
    assert cells(table, method="thinking_sft")["measured_rank"].value == 1
    assert cells(table, method="thinking_rl")["measured_rank"].value == 2
    assert cells(table, method="da")["measured_rank"].value == 9
    assert [cells(table, method="corl")[f"{base}_rank"].value for base in ("qwen3_4b", "meta_llama_3_8b")] == [1, 1]
    assert [cells(table, method="rft")[f"{base}_rank"].value for base in ("qwen3_4b", "meta_llama_3_8b")] == [9, 7]


def test_equal_averages_share_the_better_rank(make: Maker) -> None:
    run = with_values(make(methods=("icl", "sft", "da")), lambda _, method, key: float(method == "da"))
    assert [cells(beside_table(run), method=m)["measured_rank"].value for m in ("da", "icl", "sft")] == [1, 2, 2]


def test_each_base_of_the_paper_stands_beside_its_own(make: Maker) -> None:
    run = make(methods=("sft", "grpo"), base_models=("Qwen/Qwen3-4B-Base", "meta-llama/Meta-Llama-3-8B"))
    table = beside_table(run)
    qwen, llama = (cells(table, base_model=base, method="grpo") for base in run.base_models)
    assert (qwen["qwen3_4b"].value, qwen["meta_llama_3_8b"].value) == (-0.041, None)
    assert (llama["qwen3_4b"].value, llama["meta_llama_3_8b"].value) == (None, -0.087)
    assert "the same pretrained model" in " ".join(table.notes)
    assert (
        cells(order_and_signs_table(run), base_model="Qwen/Qwen3-4B-Base", over="id")["meta_llama_3_8b_p"].text == "–"
    )


def test_one_published_base_alone_has_columns_where_the_run_has_that_base(make: Maker) -> None:
    run = make(base_models=("Qwen3-4B-Base",))
    assert not [column for column in beside_table(run).columns if "llama" in column.key]
    assert not [column for column in order_and_signs_table(run).columns if "llama" in column.key]


def test_methods_that_one_side_lacks_are_shown_and_named_and_not_ranked(make: Maker) -> None:
    run = with_values(make(methods=("sft", "mine", "corl")), lambda _, method, key: float(len(method)))
    table = beside_table(run)
    mine = cells(table, method="mine")
    assert (mine["measured"].value, mine["measured_rank"].value) == (4.0, None)
    assert (mine["qwen3_4b"].value, mine["qwen3_4b_rank"].value) == (None, None)
    assert (cells(table, method="corl")["measured_rank"].value, cells(table, method="sft")["qwen3_4b_rank"].value) == (
        1,
        2,
    )
    assert "Published and not in this run: icl, da, dpo, rft, grpo, thinking_sft, thinking_rl." in table.notes
    assert "In this run and not published: mine." in table.notes


def test_published_averages_are_over_the_runs_subsets(make: Maker) -> None:
    table = beside_table(make(subsets=("id", "german")))
    assert cells(table, method="sft")["qwen3_4b"].value == pytest.approx((-0.067 - 0.047) / 2)
    assert "Published averages are over the run's subsets too: id, german." in table.notes


def test_a_missing_estimate_leaves_average_and_rank_empty(make: Maker) -> None:
    run = with_values(make(), lambda _, method, key: None if (method, key) == ("icl", "film") else float(len(method)))
    table = beside_table(run)
    assert (cells(table, method="icl")["measured"].value, cells(table, method="icl")["measured_rank"].value) == (
        None,
        None,
    )
    assert cells(table, method="icl")["qwen3_4b"].value == -0.265
    assert cells(table, method="icl")["qwen3_4b_rank"].value is None
    assert cells(table, method="rft")["qwen3_4b_rank"].value == 8
    assert cells(order_and_signs_table(run), over="film")["points"].value == 8


def test_a_run_that_repeats_the_paper_agrees_wholly(make: Maker) -> None:
    table = order_and_signs_table(with_values(make(), as_published(QWEN)))
    for over, points, signs in (("average", 9, 8), ("korean", 9, 8), ("all", 108, 96)):
        found = cells(table, over=over)
        assert (found["points"].value, found["qwen3_4b_signs"].value, found["qwen3_4b_signs_of"].value) == (
            points, signs, signs,
        )  # fmt: skip
        assert found["qwen3_4b_signs"].text == f"{signs} of {signs}"
        assert (found["qwen3_4b_spearman"].value, found["qwen3_4b_kendall"].value) == pytest.approx((1.0, 1.0))
    assert cells(table, over="average")["qwen3_4b_p"].value == pytest.approx(2 / 2**8)
    assert cells(table, over="all")["qwen3_4b_p"].text == "<0.001"


def test_a_run_that_turns_the_paper_round_agrees_nowhere(make: Maker) -> None:
    found = cells(order_and_signs_table(with_values(make(), as_published(QWEN, -1))), over="all")
    assert (found["qwen3_4b_signs"].value, found["qwen3_4b_signs_of"].value) == (0, 96)
    assert found["qwen3_4b_kendall"].value == pytest.approx(-1)


def test_agreement_with_the_other_base_is_that_of_the_published_columns(make: Maker) -> None:
    table = order_and_signs_table(with_values(make(), as_published(QWEN)))
    methods = [row.method for row in published_remi() if row.base_model == QWEN]
    for over, keys in (("gaming", ["gaming"]), ("all", list(SUBSET_KEYS))):
        ours, theirs = ([PUBLISHED[base, m].remi[key] for m in methods for key in keys] for base in (QWEN, LLAMA))
        found = cells(table, over=over)
        assert found["meta_llama_3_8b_spearman"].value == pytest.approx(scipy.stats.spearmanr(ours, theirs).statistic)
        assert found["meta_llama_3_8b_kendall"].value == pytest.approx(scipy.stats.kendalltau(ours, theirs).statistic)
        signs = [
            (PUBLISHED[QWEN, m].remi[key] > PUBLISHED[QWEN, "sft"].remi[key])
            == (PUBLISHED[LLAMA, m].remi[key] > PUBLISHED[LLAMA, "sft"].remi[key])
            for m in methods
            for key in keys
            if m != "sft"
        ]
        assert (found["meta_llama_3_8b_signs"].value, found["meta_llama_3_8b_signs_of"].value) == (
            sum(signs),
            len(signs),
        )
    whole = cells(table, over="all")
    low, value, high = (whole[f"meta_llama_3_8b_spearman{end}"].value for end in ("_low", "", "_high"))
    assert low < value < high
    assert cells(table, over="gaming")["meta_llama_3_8b_spearman_low"].value is None


def test_a_difference_of_zero_has_no_sign(make: Maker) -> None:
    def value(base: str | None, method: str, key: str) -> float:
        return as_published(QWEN)(base, "sft" if (method, key) == ("rft", "film") else method, key)

    table = order_and_signs_table(with_values(make(), value))
    assert [cells(table, over=over)["qwen3_4b_signs_of"].value for over in ("film", "all")] == [7, 95]


def test_without_sft_there_are_correlations_and_no_signs(make: Maker) -> None:
    table = order_and_signs_table(make(methods=("icl", "da", "dpo", "corl")))
    found = cells(table, over="average")
    assert found["qwen3_4b_spearman"].value is not None
    assert (found["qwen3_4b_signs"].value, found["qwen3_4b_p"].text) == (None, "–")
    assert any(note.startswith("No signs:") for note in table.notes)


def test_two_methods_have_no_order_and_few_points_no_interval(make: Maker) -> None:
    table = order_and_signs_table(make(methods=("sft", "corl"), subsets=("id", "german", "film")))
    found = cells(table, over="average")
    assert (found["points"].value, found["qwen3_4b_spearman"].value) == (2, None)
    whole = cells(table, over="all")
    assert (whole["points"].value, whole["qwen3_4b_spearman"].value, whole["qwen3_4b_signs_of"].value) == (6, None, 3)


def test_methods_that_are_all_unpublished_leave_an_empty_comparison(make: Maker) -> None:
    run = make(methods=("mine", "yours"))
    assert all(row["points"].value == 0 for row in (cells(order_and_signs_table(run), over=o) for o in ("id", "all")))
    assert cells(beside_table(run), method="mine")["measured"].value is not None


@pytest.mark.parametrize(
    "settings", [{}, {"base_models": ("a/b", "c"), "methods": ("sft", "grpo")}, {"subsets": ("id",)}]
)
def test_all_tables_render_in_every_format(make: Maker, settings: dict[str, Any]) -> None:
    tables = published_tables(make(**settings))
    assert [t.name for t in tables] == ["published_beside", "published_agreement", "findings", "published_findings"]
    for table in tables:
        assert table.title in as_markdown(table)
        assert len(as_csv(table).splitlines()) == len(table.rows) + 1
        assert as_latex(table).count(r"\\") >= len(table.rows)


@pytest.mark.parametrize("gone", ["remid", "differences", "bounds", "averages", "divergences"])
def test_a_run_without_a_score_file_still_has_its_tables(make: Maker, gone: str) -> None:
    run = make(methods=("icl", "sft", "grpo"))
    without = replace(run, scores={**run.scores, gone: []})
    assert len(published_tables(without)) == 4


def test_a_run_without_scores_has_the_papers_own_findings_alone(make: Maker) -> None:
    run = make()
    empty = replace(run, scores=dict.fromkeys(run.scores, ()))
    assert [table.name for table in published_tables(empty)] == ["published_findings"]


def test_responses_made_elsewhere_are_compared_by_their_methods_names(make: Maker) -> None:
    run = make()
    elsewhere = {
        name: [{**row, "base_model": None} if "base_model" in row else row for row in rows]
        for name, rows in run.scores.items()
    }
    table = beside_table(replace(run, scores=elsewhere))
    assert len(table.rows) == 9
    assert MethodKey(None, "sft") in replace(run, scores=elsewhere).methods
    assert any(note.startswith("Responses made elsewhere: none of the paper's") for note in table.notes)


def test_the_same_run_gives_the_same_table(make: Maker) -> None:
    run = make()
    assert as_csv(order_and_signs_table(run)) == as_csv(order_and_signs_table(replace(run)))
