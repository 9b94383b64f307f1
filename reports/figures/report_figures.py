"""The figures of a report, in the order in which they are read, and a sentence for each that a run cannot have."""

from collections.abc import Callable
from pathlib import Path

from reports.figures import (
    bound_against_remid,
    correlation_by_samples,
    differences_forest,
    performance_by_severity,
    remi_against_judges,
    remi_by_subset,
    risk_by_method,
)
from reports.house_style import Chart, write_chart
from reports.run_data import RunData

FIGURES: tuple[tuple[Callable[[RunData], Chart | None], str], ...] = (
    (remi_by_subset.remi_by_subset, remi_by_subset.NEEDS),
    (differences_forest.differences_forest, differences_forest.NEEDS),
    (risk_by_method.risk_by_method, risk_by_method.NEEDS),
    (bound_against_remid.bound_against_remid, bound_against_remid.NEEDS),
    (correlation_by_samples.correlation_by_samples, correlation_by_samples.NEEDS),
    (performance_by_severity.performance_by_severity, performance_by_severity.NEEDS),
    (remi_against_judges.remi_against_judges, remi_against_judges.NEEDS),
)
"""What draws a figure, or returns None, and what is then said."""
FOLDER = "figures"


def report_charts(run: RunData) -> tuple[Chart, ...]:
    """Return the figures that the run has what it takes for."""
    return tuple(chart for draw, _ in FIGURES if (chart := draw(run)) is not None)


def charts_not_drawn(run: RunData) -> tuple[str, ...]:
    """Return a sentence for each figure that the run lacks something for."""
    return tuple(needs for draw, needs in FIGURES if draw(run) is None)


def write_charts(run: RunData) -> list[Path]:
    """Write the figures and their numbers into `figures/` of the run; return the files."""
    return [path for chart in report_charts(run) for path in write_chart(chart, run.folder / FOLDER)]
