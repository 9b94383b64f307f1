"""Contents of a report put together by hand from a run's data, with a figure and a few tables, for tests."""

from matplotlib.figure import Figure

from reports.case_study import choose_case
from reports.contents import Contents, Section
from reports.house_style import Chart
from reports.run_data import RunData
from reports.table import Cell, Column, Table, label, number
from reports.words import answer


def made_contents(run: RunData, *, title: str = "A comparison", command: str = "rpm-methods compare demo") -> Contents:
    """Return a report with every kind of part."""
    return Contents(
        run=run,
        title=title,
        facts=(("Methods", ", ".join(run.label(key) for key in run.methods)), ("Data", "mini")),
        answer=answer(run),
        answer_chart=made_chart("first"),
        sections=(Section("Estimates", (made_table(run),), (made_chart("first"), made_chart("second")), ("About.",)),),
        case=choose_case(run),
        training=Section("Training", charts=(made_chart("training/sft"),)),
        settings=(Table("settings", "Settings", (Column("key", "Key", "left"),), ((Cell("seed", "seed"),),)),),
        departures=("Nothing is cut.",),
        command=command,
        missing=run.missing,
    )


def made_chart(name: str, size: tuple[float, float] = (6.0, 3.0)) -> Chart:
    """Return a figure of one line."""
    figure = Figure(figsize=size)
    figure.add_subplot().plot([0, 1], [1, 0])
    return Chart(name, f"The {name} figure", "A line.", figure, ({"x": 0, "y": 1},), ("scores/remi.json",))


def made_table(run: RunData, n_columns: int = 3) -> Table:
    """Return a table with a row a method and columns of numbers, the first two of which share a heading."""
    numbers = [Column(f"c{place}", f"C{place}", group="First two" if place < 2 else "") for place in range(n_columns)]
    rows = tuple(
        (
            label(run.label(key)),
            *(number(0.5 + place, mark="*", detail="[0.400, 0.600]") for place in range(n_columns)),
        )
        for key in run.methods
    )
    return Table("made", "Made", (Column("method", "Method", "left"), *numbers), rows, ("A note.",), ("scores/x.json",))
