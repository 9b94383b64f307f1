"""Figures as the template reads them: their vectors in a file, on a page on its side where that shows them larger."""

from pathlib import Path
from typing import Any

from benchmark.run_store import write_bytes
from reports.document.tables import LANDSCAPE_WIDTH, PORTRAIT_WIDTH
from reports.document.texts import one_line, prose
from reports.house_style import Chart

TALLEST_UPRIGHT, TALLEST_SIDEWAYS = 570.0, 360.0
"""Of a figure at most, in points; the rest of the page is for its title and caption."""
LEGIBLE = 0.8
"""A figure that a page upright would make smaller than this share of its own size goes on a page on its side, if that
shows it larger."""


def chart_item(chart: Chart, number: int, folder: Path) -> dict[str, Any]:
    """Write a figure into the folder and return it for the template, its title numbered; sizes are in points."""
    width, height = (72.0 * float(inches) for inches in chart.figure.get_size_inches())
    upright = min(1.0, PORTRAIT_WIDTH / width, TALLEST_UPRIGHT / height)
    sideways = min(1.0, LANDSCAPE_WIDTH / width, TALLEST_SIDEWAYS / height)
    wide = upright < LEGIBLE and sideways > upright
    scale = sideways if wide else upright
    name = f"figure-{number}"
    write_bytes(folder / f"{name}.svg", chart.svg)
    source = f" Source: {', '.join(chart.sources)}." if chart.sources else ""
    return {
        "kind": "chart",
        "wide": wide,
        "title": f"Figure {number}. {one_line(chart.title, 200)}",
        "file": f"{name}.svg",
        "width": scale * width,
        "height": scale * height,
        "caption": prose(chart.caption + source),
    }
