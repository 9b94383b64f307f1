"""A report's contents in the order in which they are read, as plain data for the template.

What is wide stands on pages on their side; headings and paragraphs go with what follows them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import Any

from reports.case_study import why_no_case
from reports.contents import Contents, Section
from reports.document.case import case_item
from reports.document.charts import chart_item
from reports.document.shifts import shift_sections
from reports.document.tables import table_item
from reports.document.texts import code, one_line, prose

PROGRAM = "rpm-methods"
LONGEST_FACT = 300
Item = dict[str, Any]
"""What the template shows: its "kind", what that needs, and whether it is "wide"; None goes with what follows."""


class Flow:
    """Numbers tables and figures as they come and writes the figures' files."""

    def __init__(self, folder: Path) -> None:
        """Name the folder that figures are written to."""
        self._folder = folder
        self._tables, self._figures = count(1), count(1)

    def report(self, contents: Contents) -> dict[str, Any]:
        """Return everything that the template reads but for fonts."""
        front = self._front(contents)
        return {**front, "pages": pages([*self._body(contents)])}

    def _front(self, contents: Contents) -> dict[str, Any]:
        chart = contents.answer_chart
        caution = contents.run.manifest.get("caution")
        return {
            "program": PROGRAM,
            "title": one_line(contents.title, 120),
            "description": f"Report of the run {one_line(contents.run.folder.name, 120)}",
            "header": one_line(contents.run.folder.name, 60),
            "facts": [[one_line(name, 60), one_line(value, LONGEST_FACT)] for name, value in contents.facts],
            "answer_heading": "What this run says",
            "answer": [
                {"text": prose(text), "caution": bool(caution) and place == 0 and str(caution) in text}
                for place, text in enumerate(contents.answer)
            ],
            "outline_heading": "Contents",
            "chart": None if chart is None else chart_item(chart, next(self._figures), self._folder),
        }

    def _body(self, contents: Contents) -> Iterator[Item]:
        if contents.missing:
            yield from headed("What is missing", [_list(contents.missing)])
        if contents.departures:
            yield from headed("Where the numbers are made otherwise than the paper says", [_list(contents.departures)])
        shown = contents.answer_chart
        for section in contents.sections:
            yield from self._section(section, without=None if shown is None else shown.name)
        for section in shift_sections(contents.run):
            yield {"kind": "break", "wide": None}
            yield from self._section(section)
        yield {"kind": "break", "wide": None}
        yield from headed("Case study", [_case(contents)])
        yield from self._section(contents.training)
        if contents.settings:
            yield from self._section(Section("Settings", contents.settings))
        if contents.command:
            yield from headed(
                "Making this run again", [{"kind": "code", "wide": False, "text": code(contents.command)}]
            )

    def _section(self, section: Section, without: str | None = None) -> Iterator[Item]:
        tables = (table_item(table, next(self._tables)) for table in section.tables)
        charts = [chart for chart in section.charts if chart.name != without]
        figures = (chart_item(chart, next(self._figures), self._folder) for chart in charts)
        if items := [*_paragraphs(section.text), *tables, *figures]:
            yield from headed(section.heading, items)


def pages(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Group items by how their page lies: {"wide", "items"}; what may lie either way goes with what follows it."""
    wide = False
    lying = []
    for item in reversed(items):
        wide = wide if item["wide"] is None else item["wide"]
        lying.append((wide, item))
    grouped = groupby(reversed(lying), key=lambda pair: pair[0])
    return [{"wide": wide, "items": [item for _, item in run]} for wide, run in grouped]


def headed(heading: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield a heading before items."""
    yield {"kind": "heading", "wide": None, "text": one_line(heading, 150)}
    yield from items


def _paragraphs(texts: Iterable[str]) -> Iterator[Item]:
    for text in texts:
        yield {"kind": "text", "wide": None, "text": prose(text)}


def _list(texts: Iterable[str]) -> Item:
    return {"kind": "list", "wide": False, "items": [prose(text, 600) for text in texts]}


def _case(contents: Contents) -> Item:
    if contents.case is None:
        return {"kind": "text", "wide": False, "text": why_no_case(contents.run)}
    return case_item(contents.run, contents.case)
