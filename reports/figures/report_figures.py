"""The figures of a report, in the order in which they are read, and a sentence for each that a run cannot have."""

from collections.abc import Callable, Collection, Mapping

from reports.figures import (
    bound_against_remid,
    correlation_by_samples,
    differences_forest,
    performance_by_severity,
    remi_against_judges,
    remi_by_subset,
    risk_by_method,
)
from reports.house_style import Chart
from reports.run_data import RunData

FIGURES: Mapping[str, tuple[Callable[[RunData], Chart | None], str]] = {
    "remi_by_subset": (remi_by_subset.remi_by_subset, remi_by_subset.NEEDS),
    "differences_forest": (differences_forest.differences_forest, differences_forest.NEEDS),
    "risk_by_method": (risk_by_method.risk_by_method, risk_by_method.NEEDS),
    "bound_against_remid": (bound_against_remid.bound_against_remid, bound_against_remid.NEEDS),
    "correlation_by_samples": (correlation_by_samples.correlation_by_samples, correlation_by_samples.NEEDS),
    "performance_by_severity": (performance_by_severity.performance_by_severity, performance_by_severity.NEEDS),
    "remi_against_judges": (remi_against_judges.remi_against_judges, remi_against_judges.NEEDS),
}
"""What draws each figure, or returns None, and what is then said."""


def report_charts(run: RunData) -> tuple[Chart, ...]:
    """Return the figures that the run has what it takes for."""
    return tuple(chart for draw, _ in FIGURES.values() if (chart := draw(run)) is not None)


def charts_not_drawn(charts: Collection[Chart]) -> tuple[str, ...]:
    """Return a sentence for each figure that is not among these."""
    drawn = {chart.name for chart in charts}
    return tuple(needs for name, (_, needs) in FIGURES.items() if name not in drawn)
