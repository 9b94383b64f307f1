"""What the page's tests share: contents made by hand, and hostile text."""

from typing import Any

from matplotlib.figure import Figure

from reports.contents import Contents, Section
from reports.house_style import Chart, house_style
from reports.run_data import TOKEN, RunData
from reports.table import Column, Table, interval_text, number, words

HOSTILE = (
    '</script><script>window.broken = 1</script><!--<script><img src="x" onerror="window.broken = 2">'
    "<style>body{display:none}</style>{{ 7 * 7 }}{% raw %}\u2028\u2029\u202e' \" & &amp; \ud83d"
)
"""Text that would leave an element, an attribute, a comment, a string or a template, were it not kept text."""


def made_contents(run: RunData, **changes: Any) -> Contents:  # noqa: ANN401 - fields of Contents
    """Return contents with a table of R-EMI, a figure and all that the run lacks."""
    table = remi_table(run)
    fields: dict[str, Any] = {
        "run": run,
        "title": "Nine methods",
        "facts": (("Device", run.manifest["device"]),),
        "answer": ("No method is shown to be best.",),
        "answer_chart": bars(run),
        "sections": (Section("R-EMI", (table,), (), ("What methods add.",)),),
        "case": None,
        "training": Section("Training"),
        "settings": (),
        "departures": ("One departure.",),
        "command": "rpm-methods compare demo",
        "missing": run.missing,
    }
    return Contents(**{**fields, **changes})


def remi_table(run: RunData) -> Table:
    """Return R-EMI on the run's subsets, a row a method, with a column that is not shown."""
    columns = (Column("method", "Method", "left"), *(Column(key, key) for key in run.subsets), Column("x", None))
    rows = []
    for key in run.methods:
        found = [
            run.rows("remi", base_model=key.base_model, method=key.method, subset=name, unit=TOKEN)[0]
            for name in run.subsets
        ]
        cells = [number(row["remi"], detail=interval_text(row["ci_low"], row["ci_high"])) for row in found]
        rows.append((words(run.label(key)), *cells, words("hidden value")))
    return Table("remi", "R-EMI by method and subset", columns, tuple(rows), ("A note.",), ("scores/remi.json",))


def bars(run: RunData, title: str = "Bars") -> Chart:
    """Return a figure with a bar a method."""
    labels = [run.label(key) for key in run.methods]
    with house_style():
        figure = Figure(figsize=(4, 2))
        figure.subplots().barh(range(len(labels)), range(len(labels)))
    data = tuple({"method": label, "length": place / 3} for place, label in enumerate(labels))
    return Chart("bars", title, "Lengths of bars.", figure, data, ("scores/remi.json",))
