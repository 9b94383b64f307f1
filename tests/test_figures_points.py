"""Scatter figures hold the points of the score files, their captions the correlations, and labels do not collide."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from made_run import MadeRun, make_run
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from benchmark import Benchmark
from benchmark.subsets import subset
from reports.figures.bound_against_remid import bound_against_remid
from reports.figures.correlation_by_samples import correlation_by_samples
from reports.figures.labels import Labelled, label_points
from reports.figures.performance_by_severity import performance_by_severity
from reports.figures.remi_against_judges import remi_against_judges
from reports.run_data import TOKEN, Row, RunData, read_run

SHIFTS = ("user", "character", "dialogue")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    return read_run(make_run(tmp_path_factory.mktemp("points") / "run", MadeRun(mini, judges=True)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    made = MadeRun(mini, ("icl", "sft"), ("a", "b/two"), judges=True)
    return read_run(make_run(tmp_path_factory.mktemp("two") / "run", made))


def changed(run: RunData, **scores: Sequence[Row]) -> RunData:
    return RunData(run.folder, run.manifest, {**run.scores, **scores}, ())


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}


def points(axes: Axes) -> list[NDArray[np.float64]]:
    """Return the points of each kind of marker."""
    return [np.asarray(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)]


def coefficient(x: Sequence[float], y: Sequence[float]) -> str:
    return f"{np.corrcoef(x, y)[0, 1]:.2f} ["


@pytest.mark.parametrize(("form", "name"), [("calibrated", "Calibrated form"), ("theorem", "Theorem 3.4 as written")])
def test_bounds_stand_above_their_remid_by_shift(run: RunData, form: str, name: str) -> None:
    chart = bound_against_remid(run)
    assert chart is not None
    drawn = points(panels(chart.figure)[name])
    for found, shift in zip(drawn, SHIFTS, strict=True):
        rows = run.rows("bounds", form=form, shift=shift)
        assert_allclose(found, [(row["remid"], row["bound"]) for row in rows])
    rows = run.rows("bounds", form=form)
    assert [row for row in chart.data if row["form"] == form] == [{n: row[n] for n in chart.data[0]} for row in rows]
    assert f"{name}: {sum(row['remid'] > row['bound'] for row in rows)}" in chart.caption
    assert f"{name}: {coefficient([r['remid'] for r in rows], [r['bound'] for r in rows])}" in chart.caption
    assert "of 198, 198 cannot be relied on" in chart.caption


def test_the_line_is_where_the_bound_equals_remid_and_is_in_view(run: RunData) -> None:
    chart = bound_against_remid(run)
    assert chart is not None
    for axes in chart.figure.axes:
        (line,) = axes.lines
        assert_allclose(line.get_xdata(), line.get_ydata())
        assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < 0 < axes.get_ylim()[1]


def test_a_row_without_bound_or_remid_has_no_point(run: RunData) -> None:
    rows = [dict(row) for row in run.rows("bounds", form="calibrated")]
    rows[0]["bound"], rows[1]["remid"] = None, None
    chart = bound_against_remid(changed(run, bounds=rows))
    assert chart is not None
    assert sum(map(len, points(chart.figure.axes[0]))) == len(chart.data) == 97


def test_a_correlation_that_the_run_has_is_said_as_it_stands_there(run: RunData) -> None:
    row = {"name": "bound_and_remid", "form": "theorem", "shift": "all", "n_points": 99}
    stored = {**row, "pearson": 0.123, "pearson_low": -0.456, "pearson_high": 0.789}
    chart = bound_against_remid(changed(run, agreement=[stored]))
    assert chart is not None
    assert "Theorem 3.4 as written: 0.12 [-0.46, 0.79] over 99 points" in chart.caption
    of_others = bound_against_remid(changed(run, agreement=[{**stored, "n_points": 98}]))
    assert of_others is not None
    assert "[-0.46, 0.79]" not in of_others.caption


def test_few_points_or_equal_ones_have_no_correlation(run: RunData) -> None:
    rows = run.rows("bounds", form="calibrated")
    few = bound_against_remid(changed(run, bounds=rows[:9]))
    assert few is not None
    assert "not given below 10 points (9)" in few.caption
    equal = bound_against_remid(changed(run, bounds=[{**row, "bound": 0.1} for row in rows]))
    assert equal is not None
    assert "none, as one of the two is the same at all 99 points" in equal.caption


def test_each_base_model_has_panels_of_its_own(two: RunData) -> None:
    chart = bound_against_remid(two)
    assert chart is not None
    names = [f"{form}\n{base}" for base in ("a", "b/two") for form in ("Calibrated form", "Theorem 3.4 as written")]
    assert list(panels(chart.figure)) == names
    rows = two.rows("bounds", form="theorem", base_model="b/two", shift="user")
    assert_allclose(points(panels(chart.figure)[names[-1]])[0], [(row["remid"], row["bound"]) for row in rows])


def test_judges_means_stand_above_remi(run: RunData) -> None:
    rows = [dict(row) for row in run.scores["judges"]]
    rows[0]["value"] = None
    chart = remi_against_judges(changed(run, judges=rows))
    assert chart is not None
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        values.setdefault((row["method"], row["subset"]), []).extend([] if row["value"] is None else [row["value"]])
    remi = run.rows("remi", unit=TOKEN)
    expected = [(row["remi"], sum(v) / len(v)) for row in remi for v in [values[row["method"], row["subset"]]]]
    (axes,) = chart.figure.axes
    assert axes.get_title(loc="left") == "win rate"
    shifts = [subset(row["subset"]).shift for row in remi]
    for found, shift in zip(points(axes), ("none", *SHIFTS), strict=True):
        assert_allclose(found, [point for point, of in zip(expected, shifts, strict=True) if of == shift])
    assert [(row["remi"], row["mean_score"]) for row in chart.data] == expected
    assert f"win rate: {coefficient(*zip(*expected, strict=True))}" in chart.caption
    assert "1 of 324 judgements without a score" in chart.caption


def test_judges_of_each_base_model_are_told_apart_by_the_responses_names(two: RunData) -> None:
    chart = remi_against_judges(two)
    assert chart is not None
    assert list(panels(chart.figure)) == ["win rate\na", "win rate\nb/two"]
    assert {row["base_model"] for row in chart.data} == {"a", "b/two"}
    assert len(chart.data) == 2 * 2 * 12


def test_a_subset_stands_at_its_joint_divergence_and_the_mean_over_methods(run: RunData) -> None:
    chart = performance_by_severity(run)
    assert chart is not None
    remi = {key: [row["remi"] for row in run.rows("remi", unit=TOKEN, subset=key)] for key in run.subsets}
    joint = {row["subset"]: row for row in run.rows("divergences", component="joint")}
    axes = panels(chart.figure)["R-EMI"]
    expected = [(joint[key]["raw"], np.mean(remi[key])) for key in run.subsets if key != "id"]
    assert_allclose(np.concatenate(points(axes)), expected)
    spans = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    assert_allclose([(s[0][1], s[1][1]) for s in spans], [(min(remi[k]), max(remi[k])) for k in run.subsets[1:]])
    in_distribution, floor = axes.lines
    assert_allclose(in_distribution.get_ydata(), np.mean(remi["id"]))
    assert_allclose(floor.get_xdata(), 0.2)
    data = [row for row in chart.data if row["measure"] == "remi"]
    assert [row["subset"] for row in data] == list(run.subsets)
    assert_allclose([row["mean"] for row in data], [np.mean(remi[key]) for key in run.subsets])
    assert data[0]["joint_divergence"] is None
    assert "diverge by 0.200 nats" in chart.caption


def test_severity_has_a_panel_a_metric_and_base_model(two: RunData) -> None:
    chart = performance_by_severity(two)
    assert chart is not None
    assert set(panels(chart.figure)) == {"R-EMI\na", "R-EMI\nb/two", "win rate\na", "win rate\nb/two"}
    assert chart.sources[-1] == "scores/judges.json"


def test_a_subset_without_joint_divergence_is_left_out(run: RunData) -> None:
    rows = [{**row, "raw": None} if row["subset"] == "german" else row for row in run.scores["divergences"]]
    chart = performance_by_severity(changed(run, divergences=rows))
    assert chart is not None
    assert {row["subset"] for row in chart.data} == set(run.subsets) - {"german"}


def converging(**changes: object) -> dict[str, Any]:
    row = {
        "name": "bound_convergence",
        "form": "calibrated",
        "shift": "user",
        "share": 0.5,
        "n_samples": 50,
        "n_points": 45,
        "n_draws": 8,
        "pearson": 0.4,
        "draws_low": 0.2,
        "draws_high": 0.5,
    }
    return {**row, **changes}


def test_correlations_are_drawn_by_number_of_samples(run: RunData) -> None:
    nothing = {"draws_low": None, "draws_high": None}
    rows = [
        converging(n_samples=100, share=1.0, n_draws=1, pearson=0.6, **nothing),
        converging(),
        converging(shift="all", pearson=-0.3),
        converging(shift="dialogue", pearson=None, **nothing),
        converging(name="bound_and_remid", n_samples=7),
    ]
    chart = correlation_by_samples(changed(run, agreement=rows))
    assert chart is not None
    (axes,) = chart.figure.axes
    lines = [line for line in axes.lines if line.get_marker() != "None"]
    assert [line.get_ydata().tolist() for line in lines] == [[0.4, 0.6], [-0.3]]
    assert_allclose(lines[0].get_xdata(), [50, 100], atol=2)
    spans = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    assert [(s[0][1], s[1][1]) for s in spans] == [(0.2, 0.5), (0.2, 0.5)]
    assert axes.get_ylim()[0] < -0.3
    assert len(chart.data) == 3
    (legend,) = chart.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["User shift", "All shifts"]


def test_without_draws_of_fewer_samples_nothing_is_drawn(run: RunData) -> None:
    assert correlation_by_samples(run) is None
    assert correlation_by_samples(changed(run, agreement=[converging(pearson=None)])) is None


def test_labels_have_a_place_of_their_own_or_none() -> None:
    axes = Figure().add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    size = (2.0, 2.0)
    draw = np.random.default_rng(0)
    crowd = [
        Labelled(float(x), float(y), f"P{place:02}") for place, (x, y) in enumerate(draw.uniform(0.4, 0.6, (30, 2)))
    ]
    label_points(axes, [Labelled(0.1, 0.1, "alone"), *crowd], size)
    written = {text.get_text(): text for text in axes.texts}
    assert "alone" in written
    assert 1 < len(written) < 31
    boxes = []
    for text in written.values():
        x, y = (72 * size[0] * place for place in text.xy)
        left, bottom = x + text.xyann[0], y + text.xyann[1]
        boxes.append((left, bottom, left + 0.62 * 7 * len(text.get_text()), bottom + 1.1 * 7))
    for one, other in ((a, b) for place, a in enumerate(boxes) for b in boxes[:place]):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart
    assert math.isclose(written["alone"].xyann[0], 4)
