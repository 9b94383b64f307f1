"""What the studies share: CSV files of numbers, and plain figures that are the same bytes each time."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import house_style

COLOURS = house_style.COLOURS[:4]
STYLE: dict[Any, Any] = {
    **house_style.STYLE,
    "font.size": 11,
    "axes.titlesize": 11,
    "legend.fontsize": "medium",
    "svg.hashsalt": "validation",
}

Row = Mapping[str, str | int | float]
Draw = Callable[[list[Axes]], None]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows with equal keys, floats with six significant digits; makes the folder, returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in row.values())
    return path


def write_figure(path: Path, panels: int, draw: Draw) -> Path:
    """Let `draw` fill a row of panels and write them as SVG; makes the folder, returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8 * panels, 3.8), layout="constrained")
        draw(list(figure.subplots(1, panels, squeeze=False)[0]))
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
