"""What a study of degradations leaves: its numbers as JSON and CSV, the page about them, and the figure.

The same content gives the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.run_store import write_bytes, write_json, write_text
from recipes.degradation_tables import (
    average_table,
    damage_table,
    points_table,
    rising_table,
    side_by_side_table,
    subset_table,
    verdict_table,
)
from reports.figures.degradations import degradation_chart
from reports.house_style import Chart, write_image
from reports.table import Table
from reports.table_formats import as_csv, as_markdown

NAME = "degradations"
FORMATS = ("svg", "png")
PUBLISHED = ("md", "csv", "svg")
"""Endings of what is copied to a folder of documents."""
WIDTH = 200
"""Characters of a line of the page's tables before they are split."""
_INTRODUCTION = (
    "Golden responses are damaged step by step, on nested sets of growing share, so that it is known without a judge "
    "what is worse. A metric that notices a damage falls as its share grows."
)


def write_study(out: Path, content: Mapping[str, Any]) -> tuple[str, list[Path]]:
    """Write `degradations.{md,json,csv,svg,png}`; return the summary, as Markdown, and the files, the page first.

    Without a value to draw there is no figure, and an older one goes.
    """
    chart = degradation_chart(content)
    paths = [out / f"{NAME}.{ending}" for ending in ("md", "json", "csv")]
    write_text(paths[0], _page(content, chart))
    write_json(paths[1], content)
    write_text(paths[2], as_csv(points_table(content)))
    if chart is None:
        for ending in FORMATS:
            (out / f"{NAME}.{ending}").unlink(missing_ok=True)
    else:
        paths += write_image(chart.figure, out, NAME, FORMATS)
    return "\n".join(_section(table) for table in (verdict_table(content), side_by_side_table(content))), paths


def publish_study(out: Path, folder: Path) -> list[Path]:
    """Copy the page, its figure and the numbers of a study to a folder of documents, and return the copies.

    Files of an earlier study that this one has not are removed there.

    Raises:
        RunFailure: a copy cannot be written.
    """
    made, left = [], [folder / f"{NAME}.{ending}" for ending in PUBLISHED]
    for target in left:
        source = out / target.name
        if source.is_file():
            write_bytes(target, source.read_bytes())
            made.append(target)
        else:
            target.unlink(missing_ok=True)
    return made


def _page(content: Mapping[str, Any], chart: Chart | None) -> str:
    parts = ["# How the metrics answer to known damage\n", f"{_INTRODUCTION}\n"]
    parts += [_section(verdict_table(content)), _section(side_by_side_table(content))]
    if chart is not None:
        parts.append(f"![{chart.title}]({NAME}.svg)\n\n{chart.caption}\n")
    parts += [_section(average_table(content)), _section(subset_table(content)), _section(rising_table(content))]
    parts += [_section(average_table(content, per_response=True)), _section(damage_table(content))]
    return "\n".join(parts)


def _section(table: Table) -> str:
    """Return a table as Markdown below a heading of the second level."""
    return f"#{as_markdown(table, WIDTH)}"
