"""What the PDF and the page are made from: one run's words, tables and figures, gathered once for both."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.case_study import CaseStudy
from reports.house_style import Chart
from reports.run_data import RunData
from reports.table import Table


@dataclass(frozen=True)
class Section:
    """Tables and figures under one heading, in the order in which they are read."""

    heading: str
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    text: tuple[str, ...] = ()
    """Paragraphs above them."""


@dataclass(frozen=True)
class Contents:
    """A report before it is typeset."""

    run: RunData
    title: str
    facts: tuple[tuple[str, str], ...]
    """Of the title block: recipe, models, data, estimator, date, versions."""
    answer: tuple[str, ...]
    """Paragraphs: which method generalises best, where the risk is, how sure that is."""
    answer_chart: Chart | None
    """The one figure of the first page."""
    sections: tuple[Section, ...]
    case: CaseStudy | None
    training: Section
    """The curves of each training; empty where nothing was trained."""
    settings: tuple[Table, ...]
    """The resolved recipes, the estimator and where it all ran."""
    departures: tuple[str, ...]
    """Where the numbers are computed otherwise than the paper says."""
    command: str
    """What makes the run again."""
    missing: tuple[str, ...]
    """A sentence for each thing that is usually shown and is not."""

    @property
    def tables(self) -> Sequence[Table]:
        """All tables of the sections."""
        return [table for section in self.sections for table in section.tables]

    @property
    def charts(self) -> Sequence[Chart]:
        """All figures of the sections."""
        return [chart for section in (*self.sections, self.training) for chart in section.charts]
