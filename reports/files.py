"""The files of a report's tables and figures: written in place of those that an earlier report left.

A file is removed only if a report makes one of its name; what else lies in these folders is the user's.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from reports.figures import report_figures
from reports.house_style import CHART_FORMATS, Chart, write_chart
from reports.published import section
from reports.table import Table
from reports.table_formats import FORMATS, write_table
from reports.tables import report_tables

TABLES, FIGURES = "tables", "figures"
"""Folders in a run directory."""


def write_tables(tables: Iterable[Table], run: Path) -> list[Path]:
    """Write tables to `tables/` of a run and return their files; those of a report's other tables are removed.

    Raises:
        RunFailure: a file cannot be written.
    """
    folder = run / TABLES
    written = [path for table in tables for path in write_table(table, folder)]
    _remove(folder, (*report_tables.NAMES, *section.NAMES), FORMATS, written)
    return written


def write_charts(charts: Iterable[Chart], run: Path) -> list[Path]:
    """Write figures and their numbers to `figures/` of a run and return their files, as with tables.

    Raises:
        RunFailure: a file cannot be written.
    """
    folder = run / FIGURES
    written = [path for chart in charts for path in write_chart(chart, folder)]
    _remove(folder, tuple(report_figures.FIGURES), CHART_FORMATS, written)
    return written


def _remove(folder: Path, names: Sequence[str], endings: Sequence[str], written: Sequence[Path]) -> None:
    for path in {folder / f"{name}.{ending}" for name in names for ending in endings} - set(written):
        path.unlink(missing_ok=True)
