"""Figures of R-EMI, differences and bounds: what their artists hold is what the score files hold."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_run import LABELS, MadeRun, make_run
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from numpy.testing import assert_allclose

from benchmark import Benchmark
from reports.figures.differences_forest import differences_forest
from reports.figures.estimates import Estimate, view
from reports.figures.remi_by_subset import remi_by_subset
from reports.figures.risk_by_method import bound_terms, risk_by_method
from reports.figures.words import SHIFTS, subset_words
from reports.run_data import TOKEN, Row, RunData, read_run
from scoring.bound import remid_upper_bound
from scoring.calibrated_bound import calibrated_bound, calibration

BASES = ("a", "b/two")
HOLLOW = "#ffffff"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path_factory.mktemp("one") / "run", MadeRun(mini)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    methods = ("icl", "sft", "grpo")
    return read_run(make_run(tmp_path_factory.mktemp("two") / "run", MadeRun(mini, methods, BASES)))


def changed(run: RunData, **scores: Sequence[Row]) -> RunData:
    return RunData(run.folder, run.manifest, {**run.scores, **scores}, ())


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}


def points(axes: Axes) -> list[list[float]]:
    """Return place and height of each marker."""
    found = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    return [point for offsets in found for point in np.asarray(offsets).tolist()]


def bars(axes: Axes) -> list[list[float]]:
    """Return left end and width of each bar."""
    found = [p for p in axes.patches if isinstance(p, Rectangle) and math.isclose(p.get_height(), 0.7)]
    return [[bar.get_x(), bar.get_width()] for bar in found]


def insides(axes: Axes) -> list[str]:
    return [to_hex(c) for one in axes.collections if isinstance(one, PathCollection) for c in one.get_facecolor()]


def whiskers(axes: Axes) -> list[list[float]]:
    """Return low, high and height of each horizontal line."""
    segments = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    return [[float(s[0][0]), float(s[1][0]), float(s[0][1])] for s in segments]


def row_names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def title(subset: str, shift: str) -> str:
    words = subset_words(subset)
    return words if subset == "id" else f"{words}\n{SHIFTS[shift]}"


def test_each_panel_of_remi_holds_its_subsets_rows(one: RunData) -> None:
    chart = remi_by_subset(one)
    assert chart is not None
    found = panels(chart.figure)
    assert len(found) == 12
    assert (
        row_names(found["In distribution"]) == row_names(found["Literature\nCharacter shift"]) == list(LABELS.values())
    )
    for subset in one.subsets:
        rows = one.rows("remi", unit=TOKEN, subset=subset)
        axes = found[title(subset, rows[0]["shift"])]
        assert_allclose(points(axes), [(row["remi"], place) for place, row in enumerate(rows)])
        assert_allclose(whiskers(axes), [(r["ci_low"], r["ci_high"], place) for place, r in enumerate(rows)])
        assert set(insides(axes)) == {HOLLOW}
    assert chart.data == tuple({name: row[name] for name in chart.data[0]} for row in one.rows("remi", unit=TOKEN))
    assert "108 of 108 intervals cannot be relied on" in chart.caption
    assert "their markers are hollow" in chart.caption


def test_missing_estimates_and_intervals_are_left_out_and_counted(one: RunData) -> None:
    rows = [dict(row) for row in one.rows("remi", unit=TOKEN)]
    rows[0] |= {"remi": None, "ci_low": None, "ci_high": None, "interval_reliable": None}
    rows[1] |= {"ci_low": None, "ci_high": None, "interval_reliable": None}
    rows[2]["interval_reliable"] = True
    chart = remi_by_subset(changed(one, remi=rows))
    assert chart is not None
    in_distribution, german, spanish = (panels(chart.figure)[title(r["subset"], r["shift"])] for r in rows[:3])
    assert len(points(in_distribution)) == 8
    assert (len(points(german)), len(whiskers(german))) == (9, 8)
    assert [inside == HOLLOW for inside in insides(spanish)] == [False] + [True] * 8
    assert "105 of 106 intervals" in chart.caption
    assert "1 estimate without an interval" in chart.caption
    assert "1 estimate missing" in chart.caption
    assert len(chart.data) == 107


def test_two_base_models_share_a_row_with_markers_of_their_own(two: RunData) -> None:
    chart = remi_by_subset(two)
    assert chart is not None
    axes = panels(chart.figure)["In distribution"]
    rows = [row for base in BASES for row in two.rows("remi", unit=TOKEN, subset="id", base_model=base)]
    assert [x for x, _ in points(axes)] == pytest.approx([row["remi"] for row in rows])
    heights = [height for _, height in points(axes)]
    assert [round(height) for height in heights] == [0, 1, 2] * 2
    assert len(set(heights)) == 6
    drawn = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert drawn[0].get_paths()[0].vertices.shape != drawn[1].get_paths()[0].vertices.shape
    (legend,) = chart.figure.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == list(BASES)


def test_one_far_wider_interval_does_not_flatten_the_others() -> None:
    ordinary = [Estimate(0.1, (-1.0, 1.0), hollow=False)] * 30
    assert view(ordinary) == pytest.approx((-1.12, 1.12))
    assert view([*ordinary, Estimate(0.1, (-50.0, 50.0), hollow=False)]) == pytest.approx((-1.12, 1.12))
    low, high = view([*ordinary, Estimate(40.0, (-50.0, 50.0), hollow=False)])
    assert low == pytest.approx(-1.0 - 0.06 * 41)
    assert high == pytest.approx(40.0 + 0.06 * 41)
    assert view([Estimate(0.0, None, hollow=True)]) == (-1.0, 1.0)


def test_intervals_that_leave_the_panel_are_marked_and_counted(one: RunData) -> None:
    rows = [dict(row) for row in one.rows("remi", unit=TOKEN)]
    rows[0] |= {"ci_low": -90.0, "ci_high": 90.0}
    chart = remi_by_subset(changed(one, remi=rows))
    assert chart is not None
    axes = panels(chart.figure)["In distribution"]
    low, high = axes.get_xlim()
    here = rows[::12]
    heads = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines if line.get_marker() in ("<", ">")}
    assert heads["<"] == [[low, place] for place, row in enumerate(here) if row["ci_low"] < low]
    assert heads[">"] == [[high, place] for place, row in enumerate(here) if row["ci_high"] > high]
    assert heads["<"][0] == [low, 0]
    outside = sum(row["ci_low"] < low or row["ci_high"] > high for row in rows)
    assert f"{outside} intervals wider than the panel" in chart.caption
    assert whiskers(axes)[0] == [-90.0, 90.0, 0.0]


@pytest.mark.parametrize("base", BASES)
def test_differences_are_turned_so_that_sft_is_what_is_taken_away(two: RunData, base: str) -> None:
    rows = two.rows("differences", unit=TOKEN, subset="average", base_model=base)
    of = {(row["first"], row["second"]): row for row in rows}
    icl, grpo = of["icl", "sft"], of["sft", "grpo"]
    chart = differences_forest(two)
    assert chart is not None
    axes = panels(chart.figure)[base]
    assert row_names(axes) == ["ICL", "RL"]
    assert_allclose(points(axes), [(icl["difference"], 0), (-grpo["difference"], 1)])
    expected = [(icl["ci_low"], icl["ci_high"], 0), (-grpo["ci_high"], -grpo["ci_low"], 1)]
    assert_allclose(whiskers(axes), expected)
    data = {row["method"]: row for row in chart.data if row["base_model"] == base}
    assert data["grpo"]["difference"] == -grpo["difference"]
    assert data["grpo"]["ci_low"] == -grpo["ci_high"]
    assert data["icl"]["adjusted_p"] == icl["adjusted_p"]
    notes = [text.get_text() for text in axes.texts if isinstance(text, Annotation)]
    assert f"{-grpo['difference']:+.3f}" in notes[1]
    assert f"p = {grpo['adjusted_p']:.3f}" in notes[1]


def test_a_marker_is_filled_where_the_corrected_p_is_below_five_percent(one: RunData) -> None:
    rows = [dict(row) for row in one.rows("differences", unit=TOKEN, subset="average")]
    given = {"icl": 0.049, "da": 0.05, "dpo": None, "rft": 0.9}
    for row in rows:
        other = ({row["first"], row["second"]} - {"sft"}).pop() if "sft" in (row["first"], row["second"]) else ""
        row["adjusted_p"] = given.get(other, 1.0)
    chart = differences_forest(changed(one, differences=rows))
    assert chart is not None
    (axes,) = panels(chart.figure).values()
    assert [inside != HOLLOW for inside in insides(axes)] == [True] + [False] * 7
    assert {row["method"]: row["significant"] for row in chart.data}["da"] is False
    assert "averages: 1 of 8." in chart.caption
    assert "8 of 8 intervals cannot be relied on" in chart.caption


def test_there_is_no_comparison_with_sft_without_sft(one: RunData) -> None:
    rows = [row for row in one.scores["differences"] if "sft" not in (row["first"], row["second"])]
    assert rows
    assert differences_forest(changed(one, differences=rows)) is None


def exact_bounds(run: RunData) -> list[dict[str, Any]]:
    """Return the rows of the two drawn forms with bounds that follow from their terms; intervals are +- 5 %."""
    rows = []
    for row in run.scores["bounds"]:
        terms = {name: row[name] for name in ("jsd_user", "jsd_character", "jsd_dialogue")}
        if row["form"] == "calibrated":
            bound = calibrated_bound(**terms)
        elif row["form"] == "theorem":
            bound = remid_upper_bound(**terms, h_hat=row["h_hat"], delta=row["delta"])
        else:
            continue
        removed = None if row["bound_bias_removed"] is None else bound / 2
        ends = {"bound_ci_low": 0.95 * bound, "bound_ci_high": 1.05 * bound}
        rows.append({**row, "bound": bound, "bound_bias_removed": removed, **ends})
    return rows


def test_the_terms_of_theorem_3_4_are_its_summands() -> None:
    row = {
        "form": "theorem",
        "jsd_user": 0.25,
        "jsd_character": 0.16,
        "jsd_dialogue": 0.09,
        "h_hat": 3.0,
        "delta": 1e-4,
    }
    scale = math.sqrt(2 / 3) * 3
    expected = {"constant": 0.8, "user": 0.5 * scale, "character": 0.4 * scale, "dialogue": 0.3 * scale}
    assert bound_terms({**row, "bound": 0.8 + 1.2 * scale}) == pytest.approx(expected)
    assert bound_terms({**row, "bound": 0.8 + 1.3 * scale}) is None
    assert bound_terms({**row, "bound": None}) is None
    assert bound_terms({**row, "bound": 1.0, "delta": None}) is None
    assert bound_terms({**row, "bound": 1.0, "jsd_user": 0.9}) is None


def test_the_terms_of_the_calibrated_form_are_those_of_its_line() -> None:
    line = calibration()
    row = {"form": "calibrated", "jsd_user": 0.25, "jsd_character": 0.16, "jsd_dialogue": 0.09, "h_hat": None}
    found = bound_terms({**row, "delta": None, "bound": line.intercept + 1.2 * line.slope})
    scaled = {"user": 0.5 * line.slope, "character": 0.4 * line.slope, "dialogue": 0.3 * line.slope}
    assert found == pytest.approx({"constant": line.intercept, **scaled})


def test_bars_stack_to_the_largest_bound_of_their_shift(one: RunData) -> None:
    run = changed(one, bounds=exact_bounds(one))
    chart = risk_by_method(run)
    assert chart is not None
    grid = np.array(chart.figure.axes).reshape(2, 3)
    for line, form in zip(grid, ("calibrated", "theorem"), strict=True):
        for axes, shift in zip(line, ("user", "character", "dialogue"), strict=True):
            assert axes.get_title(loc="left").endswith(SHIFTS[shift])
            of = [run.rows("bounds", form=form, shift=shift, method=key.method) for key in run.methods]
            largest = [max(rows, key=lambda row: row["bound"]) for rows in of]
            bars_M_T_2 = np.array(bars(axes)).reshape(9, 4, 2)
            ends_M_T = bars_M_T_2.sum(axis=2)
            assert_allclose(ends_M_T[:, -1], [row["bound"] for row in largest])
            assert_allclose(bars_M_T_2[:, 1:, 0], ends_M_T[:, :-1])
            expected = [(r["bound_ci_low"], r["bound_ci_high"], place) for place, r in enumerate(largest)]
            assert_allclose(whiskers(axes), expected)
            removed = [
                (r["bound_bias_removed"], p) for p, r in enumerate(largest) if r["bound_bias_removed"] is not None
            ]
            assert_allclose(points(axes), removed)
            assert [text.get_text() for text in axes.texts] == [subset_words(row["subset"]) for row in largest]
            data = [row for row in chart.data if (row["form"], row["shift"]) == (form, shift)]
            assert [row["bound"] for row in data] == [row["bound"] for row in largest]
            assert [sum(row[f"term_{n}"] for n in ("constant", "user", "character", "dialogue")) for row in data] == (
                pytest.approx([row["bound"] for row in largest])
            )
    assert "not split" not in chart.caption


def test_a_form_that_is_the_same_for_every_method_has_one_bar(one: RunData) -> None:
    rows = exact_bounds(one)
    first = {(r["form"], r["subset"]): r for r in rows if r["method"] == "icl"}
    same = [{**first[r["form"], r["subset"]], "method": r["method"]} if r["form"] == "calibrated" else r for r in rows]
    chart = risk_by_method(changed(one, bounds=same))
    assert chart is not None
    assert row_names(chart.figure.axes[0]) == ["every method"]
    assert len(row_names(chart.figure.axes[3])) == 9
    assert "it sees the inputs alone, so it is the same for every method" in chart.caption
    assert len(chart.data) == 2 * 3 * 9


def test_a_bound_that_its_terms_do_not_add_up_to_is_drawn_whole(one: RunData) -> None:
    chart = risk_by_method(one)
    assert chart is not None
    assert "54 bounds not split" in chart.caption
    found = one.rows("bounds", form="calibrated", shift="user")
    largest = [max(r["bound"] for r in found if r["method"] == key.method) for key in one.methods]
    assert_allclose(bars(chart.figure.axes[0]), [[0, bound] for bound in largest])
    assert all(row["term_user"] is None for row in chart.data)


def test_a_method_without_a_bound_has_no_bar_and_a_form_without_one_no_row(one: RunData) -> None:
    rows = [{**r, "bound": None} if r["form"] == "theorem" or r["method"] == "icl" else r for r in exact_bounds(one)]
    chart = risk_by_method(changed(one, bounds=rows))
    assert chart is not None
    assert len(chart.figure.axes) == 3
    assert row_names(chart.figure.axes[0]) == [label for label in LABELS.values() if label != "ICL"]


def test_several_base_models_stand_one_below_the_other(two: RunData, tmp_path: Path) -> None:
    chart = risk_by_method(changed(two, bounds=exact_bounds(two)))
    assert chart is not None
    assert row_names(chart.figure.axes[0]) == [f"{name} ({base})" for base in BASES for name in ("ICL", "SFT", "RL")]
