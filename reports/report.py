"""The whole report of a run: tables, figures, the PDF and the page, from nothing but the run directory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from reports.case_study import choose_case
from reports.contents import Contents, Section
from reports.departures import departures
from reports.document.write import write_document
from reports.figures.report_figures import charts_not_drawn, report_charts
from reports.files import write_charts, write_tables
from reports.house_style import Chart
from reports.page.write import write_page
from reports.published.section import published_tables
from reports.run_data import RunData, read_run
from reports.settings import settings_tables
from reports.table import Table
from reports.tables.report_tables import report_tables
from reports.tables.table14 import Price
from reports.training.charts import EXPLANATION, training_charts
from reports.training.page import read_trainings, write_trainings
from reports.words import answer

ANSWER_CHART = "remi_by_subset"
PDF, PAGE = "report.pdf", "report.html"


class Outline(NamedTuple):
    """What stands under a heading, by the names of tables and figures; other tables are files alone."""

    heading: str
    tables: tuple[str, ...]
    charts: tuple[str, ...]


OUTLINE = (
    Outline("How well the methods generalise", ("table20",), ("remi_by_subset", "differences_forest")),
    Outline(
        "Risk under shift",
        ("table12", "table13"),
        ("risk_by_method", "bound_against_remid", "correlation_by_samples", "performance_by_severity"),
    ),
    Outline("Agreement with judges", ("agreement",), ("remi_against_judges",)),
    Outline("What the estimator's training is worth", ("table01",), ()),
    Outline("Data", ("table02",), ()),
    Outline("Cost", ("table14",), ()),
)


def write_report(folder: Path, *, published: bool = False, price: Price | None = None) -> list[Path]:
    """Write `tables/`, `figures/`, `report.pdf` and `report.html` of a run; the same run gives the same bytes.

    What an earlier report left of tables and figures that this one does not make is removed.

    Args:
        folder: the run directory.
        published: whether the paper's numbers stand beside the run's.
        price: what an hour of the machine costs, for the table of costs.

    Returns:
        What was written, the PDF and the page last.

    Raises:
        UserMistakes: the folder is no run directory, or was written by a newer version.
        RunFailure: a file is damaged or cannot be written.
    """
    run = read_run(folder)
    tables, charts = report_tables(run, price), report_charts(run)
    trained = read_trainings(folder)
    curves = training_charts(trained)
    contents = gather(run, tables, charts, curves, published=published)
    beside = [table for section in contents.sections for table in section.tables if table not in tables]
    written = write_tables([*tables, *beside], folder)
    written += write_charts(charts, folder)
    written += write_trainings(trained, curves, folder)
    return [*written, write_document(contents, folder / PDF), write_page(contents, folder / PAGE)]


def gather(
    run: RunData, tables: Iterable[Table], charts: Iterable[Chart], curves: tuple[Chart, ...], *, published: bool
) -> Contents:
    """Return what the PDF and the page are made from; the curves are those of trainings."""
    by_table = {table.name: table for table in tables}
    by_chart = {chart.name: chart for chart in charts}
    sections = tuple(_sections(by_table, by_chart))
    return Contents(
        run=run,
        title=_title(run),
        facts=tuple(_facts(run)),
        answer=answer(run),
        answer_chart=by_chart.get(ANSWER_CHART),
        sections=(*sections, Section("Beside the paper's numbers", published_tables(run))) if published else sections,
        case=choose_case(run),
        training=Section("Training", charts=curves, text=(EXPLANATION,) if curves else ()),
        settings=settings_tables(run),
        departures=departures(run),
        command=str(run.manifest.get("command") or ""),
        missing=(*run.missing, *charts_not_drawn(by_chart.values())),
    )


def _sections(tables: dict[str, Table], charts: dict[str, Chart]) -> Iterator[Section]:
    for outline in OUTLINE:
        own_tables = tuple(tables[name] for name in outline.tables if name in tables)
        own_charts = tuple(charts[name] for name in outline.charts if name in charts)
        if own_tables or own_charts:
            yield Section(outline.heading, own_tables, own_charts)


def _title(run: RunData) -> str:
    count = len(run.methods)
    return f"Comparison of {count} training methods" if count > 1 else "A training method, measured"


def _facts(run: RunData) -> Iterator[tuple[str, str]]:
    manifest = run.manifest
    yield "Methods", ", ".join(run.label(key) for key in run.methods)
    yield "Base models", ", ".join(base or "responses made elsewhere" for base in run.base_models)
    yield "Estimator", str(manifest["estimator"].get("label", ""))
    yield "Data", _data(run)
    yield "Made", str(manifest.get("finished_at") or "at a time that the run does not name")
    yield "On", f"{manifest.get('device', '')}, {_precision(run)}"
    versions = manifest.get("package_versions") or {}
    yield "Versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    if manifest.get("git_revision"):
        yield "Revision", str(manifest["git_revision"])


def _data(run: RunData) -> str:
    source = next(
        (recipe["benchmark"]["source"] for recipe in run.manifest.get("recipes", []) if "benchmark" in recipe), ""
    )
    trained, tested = run.manifest.get("training_samples", []), run.manifest.get("test_samples", {})
    counts = f"{len(trained)} training samples, {sum(map(len, tested.values()))} test samples in {len(tested)} subsets"
    return f"{source}: {counts}" if source else counts


def _precision(run: RunData) -> str:
    compute = run.manifest.get("compute") or {}
    return ", ".join(str(compute[key]) for key in ("device", "dtype") if key in compute)
