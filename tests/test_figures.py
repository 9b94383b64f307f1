"""A report's figures: which a run has, what is said of the others, equal bytes each time, and labels of any kind."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from made_run import MadeRun, make_run
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from benchmark import Benchmark
from benchmark.run_store import read_json, write_json
from reports.figures.report_figures import FIGURES, charts_not_drawn, report_charts
from reports.files import write_charts
from reports.house_style import Chart, write_chart
from reports.run_data import RunData, read_run

NAMES = (
    "remi_by_subset",
    "differences_forest",
    "risk_by_method",
    "bound_against_remid",
    "performance_by_severity",
    "remi_against_judges",
)
"""Figures of a made run, in order; it has no draws of fewer samples."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> Path:
    return make_run(tmp_path_factory.mktemp("figures") / "run", MadeRun(mini, judges=True))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


@pytest.mark.slow
def test_every_figure_that_can_be_drawn_is_written_in_order_with_its_numbers(folder: Path) -> None:
    run = read_run(folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "mine.svg").write_text("a user's own")
    (folder / "figures" / "correlation_by_samples.svg").write_text("an earlier report's")
    written = write_charts(report_charts(run), folder)
    assert [path.name for path in written] == [
        f"{name}.{end}" for name in NAMES for end in ("svg", "pdf", "png", "csv")
    ]
    assert all(path.parent == folder / "figures" and path.stat().st_size > 0 for path in written)
    assert set((folder / "figures").iterdir()) == {*written, folder / "figures" / "mine.svg"}
    for chart in report_charts(run):
        assert len((folder / "figures" / f"{chart.name}.csv").read_text().splitlines()) == 1 + len(chart.data)
        assert len({tuple(row) for row in chart.data}) == 1
        assert all((folder / source).is_file() for source in chart.sources)
        assert chart.caption.endswith("Demo size: too small to rank methods.")


def test_figures_come_in_the_order_in_which_they_are_read(folder: Path) -> None:
    assert tuple(chart.name for chart in report_charts(read_run(folder))) == NAMES


def test_a_figure_that_cannot_be_drawn_is_said(folder: Path) -> None:
    assert [name for name in FIGURES if name != "correlation_by_samples"] == list(NAMES)
    (sentence,) = charts_not_drawn(report_charts(read_run(folder)))
    assert sentence.startswith("The correlation of bound and R-EMID by number of samples is not drawn")


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (("bounds",), {"risk_by_method", "bound_against_remid"}),
        (("differences",), {"differences_forest"}),
        (("divergences",), {"performance_by_severity"}),
        (("judges",), {"remi_against_judges"}),
        (("bounds", "differences", "divergences", "judges", "remid", "averages"), set(NAMES[1:])),
    ],
)
def test_a_missing_file_costs_its_own_figures_alone(folder: Path, missing: tuple[str, ...], lost: set[str]) -> None:
    run = read_run(folder)
    less = RunData(run.folder, run.manifest, {**run.scores, **dict.fromkeys(missing, ())}, ())
    assert {chart.name for chart in report_charts(less)} == set(NAMES) - lost
    assert len(charts_not_drawn(report_charts(less))) == len(lost) + 1


def test_a_run_without_scores_has_no_figures(folder: Path) -> None:
    run = read_run(folder)
    empty = RunData(run.folder, run.manifest, {name: () for name in run.scores}, ())
    assert report_charts(empty) == ()
    assert len(charts_not_drawn(report_charts(empty))) == len(FIGURES)


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        for chart in report_charts(read_run(folder)):
            write_chart(chart, tmp_path / place)
    first = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert len(first) == 4 * len(NAMES)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}


@pytest.mark.slow
def test_labels_of_any_kind_are_drawn_as_they_are_or_named_by_code_point(tmp_path: Path, mini: Benchmark) -> None:
    labels = {
        "icl": "$x^2$ \\frac{",
        "sft": "監督微調 日本語",
        "grpo": "a\u202eb\ud800",
        "weird": "<b>" + "w" * 100_000,
    }
    bases = ("_under/" + "long" * 30, "模型")
    run = make_run(tmp_path / "run", MadeRun(mini, methods=tuple(labels), base_models=bases, judges=True))
    manifest = json.loads((run / "manifest.json").read_text())
    for method, label in labels.items():
        manifest["methods"][method]["label"] = label
    (run / "manifest.json").write_text(json.dumps(manifest))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a missing glyph, or a layout that failed
        charts = report_charts(read_run(run))
        for chart in charts:
            write_chart(chart, tmp_path / "out")
    shown = [text for chart in charts for text in texts(chart.figure)]
    for label in ("$x^2$ \\frac{", "監督微調 日本語", "a<U+202E>b<U+D800>", "模型"):
        assert any(label in text for text in shown), label
    assert max(map(len, shown)) < 120
    every = [text for chart in charts for text in chart.figure.findobj(Text) if "$" in text.get_text()]
    assert every
    assert not any(text.get_parse_math() for text in every)


@pytest.mark.slow
@pytest.mark.parametrize("base_models", [("one",), ("one", "b/two")])
def test_no_text_is_cut_at_the_edge(tmp_path: Path, mini: Benchmark, base_models: tuple[str, ...]) -> None:
    run = read_run(make_run(tmp_path / "run", MadeRun(mini, base_models=base_models, judges=True)))
    for chart in report_charts(run):
        write_chart(chart, tmp_path)
        with Image.open(tmp_path / f"{chart.name}.png") as image:
            grey = image.convert("L")
        width, height = grey.size
        edges = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
        assert all(grey.crop(edge).getextrema() == (255, 255) for edge in edges), chart.name


def few_methods(mini: Benchmark, folder: Path) -> RunData:
    return read_run(make_run(folder, MadeRun(mini, methods=("dpo",), subsets=("id", "korean", "film"))))


def without_id(mini: Benchmark, folder: Path) -> RunData:
    return read_run(make_run(folder, MadeRun(mini, methods=("sft", "dpo"), subsets=("korean", "film"))))


def without_intervals(mini: Benchmark, folder: Path) -> RunData:
    run = make_run(folder, MadeRun(mini, methods=("sft", "dpo")))
    for path in (run / "scores").glob("*.json"):
        rows = read_json(path)
        blank = {name: None for row in rows for name in row if "ci_" in name or name.endswith("interval_reliable")}
        write_json(path, [{**row, **{name: None for name in blank if name in row}} for row in rows])
    return read_run(run)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (few_methods, {"remi_by_subset", "risk_by_method", "bound_against_remid", "performance_by_severity"}),
        (without_id, set(NAMES) - {"bound_against_remid", "remi_against_judges"}),
        (without_intervals, set(NAMES) - {"remi_against_judges"}),
    ],
)
def test_smaller_runs_have_the_figures_they_can(
    make: Callable[[Benchmark, Path], RunData], names: set[str], mini: Benchmark, tmp_path: Path
) -> None:
    charts: dict[str, Chart] = {chart.name: chart for chart in report_charts(make(mini, tmp_path / "run"))}
    assert set(charts) == names
    if make is without_intervals:
        assert "There are no intervals" in charts["remi_by_subset"].caption
        assert "There are no intervals" in charts["risk_by_method"].caption
        assert "R-EMID has no intervals here." in charts["bound_against_remid"].caption
