"""Figure and tables of a study of degradations, from made numbers: what is drawn, called fallen, and left empty."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from benchmark.degradation import KINDS, SHARES
from recipes.degradation_report import WIDTH, publish_study, write_study
from recipes.degradation_tables import (
    average_table,
    damage_table,
    points_table,
    rising_table,
    side_by_side_table,
    subset_table,
    verdict_table,
)
from reports.figures.degradations import AXES, degradation_chart
from reports.house_style import COLOURS
from reports.table import Table
from reports.table_formats import as_csv, as_markdown

SUBSETS = ("id", "korean")
REMI_UNITS = ["nats_per_token", "nats_per_response"]
MEASURES = (
    {"name": "plain", "quantity": "R-EMI", "label": "base m, w/o Reasoning", "units": REMI_UNITS},
    {"name": "trained", "quantity": "R-EMI", "label": "corl _m_ | 4 folds", "units": REMI_UNITS},
    {"name": "baseline", "quantity": "EMI", "label": "Gaussian CLUB on e", "units": ["nats_per_embedding"]},
)
LEVELS: dict[str, tuple[float | None, ...]] = {
    "swapped": (0.0, -0.1, -0.2, -0.3, -0.4),
    "wrong_character": (0.0, -0.1, 0.05, -0.2, -0.2),
    "wrong_language": (0.0, -0.3, -0.6, -0.9, -1.2),
    "shuffled": (0.0, -0.05, -0.1, -0.1, -0.2),
    "truncated": (0.0, 0.1, 0.2, 0.3, 0.4),
    "filler_added": (0.0, 0.01, -0.01, 0.0, 0.01),
    "filler_only": (None,) * 5,
}
"""Kind -> value at each share: `wrong_character` rises once, `truncated` always, `filler_only` has no estimate."""
HALF = 0.06
"""Of every interval."""


def interval(value: float | None, *, reliable: bool) -> dict[str, Any]:
    if value is None:
        return dict.fromkeys(("ci_low", "ci_high", "interval_reliable"))
    return {"ci_low": value - HALF, "ci_high": value + HALF, "interval_reliable": reliable}


def rows_of(measure: dict[str, Any], unit: str, kind: str, subset: str) -> dict[str, list[dict[str, Any]]]:
    scale = {"nats_per_token": 1.0, "nats_per_response": 50.0, "nats_per_embedding": 0.1}[unit]
    reliable = measure["name"] != "trained"
    levels = [None if level is None else scale * level for level in LEVELS[kind]]
    named = {"measure": measure["name"], "kind": kind, "subset": subset, "unit": unit}
    slope = None if levels[0] is None or levels[-1] is None else levels[-1] - levels[0]
    tested = {"p_value": None if slope is None else 0.01, "adjusted_p": None if slope is None else 0.07}
    counted = {"n_samples": 12, "n_clusters": 9, "n_subsets": 2 if subset == "average" else None}
    steps = [
        {"smaller": s, "larger": t, "difference": high - low, "rises": high > low, "rises_surely": high - low > HALF}
        | interval(high - low, reliable=reliable)
        for s, t, low, high in zip(SHARES, SHARES[1:], levels, levels[1:], strict=False)
        if low is not None and high is not None
    ]
    return {
        "slopes": [{**named, "slope": slope, **interval(slope, reliable=reliable), **tested, **counted}],
        "points": [
            {**named, "share": share, "column": f"{kind}-{share}", "value": level, **interval(level, reliable=reliable)}
            for share, level in zip(SHARES, levels, strict=True)
        ],
        "steps": [{**named, **step} for step in steps],
    }


def made_content(*kinds: str) -> dict[str, Any]:
    found = [
        rows_of(dict(measure), unit, kind, subset)
        for measure in MEASURES
        for unit in measure["units"]
        for kind in kinds or KINDS
        for subset in (*SUBSETS, "average")
    ]
    return {
        "benchmark": "mini",
        "settings": {"kinds": list(kinds or KINDS), "shares": list(SHARES)},
        "subsets": {"id": {"n_samples": 12}, "korean": {"n_samples": 12}},
        "measures": [dict(measure) for measure in MEASURES],
        **{name: [row for rows in found for row in rows[name]] for name in ("slopes", "points", "steps")},
        "notes": ["a note with *stars*"],
    }


def panels(figure: Figure) -> dict[tuple[str, str], Axes]:
    """Return the panels by the name of their row's axis and their kind."""
    titles = [title for axes in figure.axes if (title := axes.get_title(loc="left"))]
    found = {}
    for place, axes in enumerate(figure.axes):
        row, column = divmod(place, len(titles))
        found[figure.axes[row * len(titles)].get_ylabel(), titles[column]] = axes
    return found


def offsets(found: Collection) -> NDArray[np.float64]:
    return np.asarray(found.get_offsets(), dtype=np.float64)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def cells(table: Table, **of_row: str) -> dict[str, str]:
    """Return the shown cells of the one row that has these, by column key."""
    rows = [{c.key: cell.text for c, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    (row,) = [row for row in rows if all(row[key] == text for key, text in of_row.items())]
    return row


# The figure


def test_a_panel_a_kind_with_an_estimate_and_a_row_a_unit() -> None:
    chart = degradation_chart(made_content())
    assert chart is not None
    drawn = [kind.replace("_", " ").capitalize() for kind in KINDS if kind != "filler_only"]
    assert list(panels(chart.figure)) == [(name, title) for name in AXES.values() for title in drawn]
    assert {row["kind"] for row in chart.data} == set(KINDS) - {"filler_only"}
    assert len(chart.data) == 6 * 3 * len(SHARES)
    assert len({tuple(row) for row in chart.data}) == 1


def test_markers_stand_at_the_averages_a_little_apart_and_hollow_where_unreliable() -> None:
    chart = degradation_chart(made_content())
    assert chart is not None
    axes = panels(chart.figure)["R-EMI (nats a token)", "Swapped"]
    plain, trained = [found for found in axes.collections if len(offsets(found)) == len(SHARES)]
    for line, shift in ((plain, -2), (trained, 2)):
        assert offsets(line)[:, 0] == pytest.approx([100 * share + shift for share in SHARES])
        assert offsets(line)[:, 1] == pytest.approx(LEVELS["swapped"])
    assert {to_hex(colour) for colour in np.asarray(plain.get_facecolor())} == {COLOURS[0].lower()}
    assert {to_hex(colour) for colour in np.asarray(trained.get_facecolor())} == {"#ffffff"}
    assert "their markers are hollow" in chart.caption
    assert any(text.startswith("hollow: ") for text in texts(chart.figure))


def test_whiskers_are_the_intervals() -> None:
    chart = degradation_chart(made_content())
    assert chart is not None
    axes = panels(chart.figure)["EMI (nats an embedding)", "Truncated"]
    ends = [found.get_segments()[0][:, 1] for found in axes.collections if hasattr(found, "get_segments")]
    expected = [(0.1 * level - HALF, 0.1 * level + HALF) for level in LEVELS["truncated"] if level is not None]
    assert [pytest.approx(tuple(pair)) for pair in expected] == [tuple(pair) for pair in ends]


@pytest.mark.parametrize(
    ("title", "dashed"), [("Swapped", []), ("Wrong character", [1]), ("Truncated", [0, 1, 2, 3]), ("Shuffled", [])]
)
def test_a_step_that_rises_is_dashed(title: str, dashed: list[int]) -> None:
    chart = degradation_chart(made_content())
    assert chart is not None
    axes = panels(chart.figure)["R-EMI (nats a token)", title]
    steps = [line for line in axes.lines if line.get_color() == COLOURS[0]]
    assert len(steps) == len(SHARES) - 1
    assert [place for place, line in enumerate(steps) if line.get_linestyle() == "--"] == dashed


def test_without_a_value_there_is_no_figure() -> None:
    assert degradation_chart(made_content("filler_only")) is None


def test_labels_are_drawn_as_text_and_a_measure_keeps_its_colour_in_every_row() -> None:
    chart = degradation_chart(made_content())
    assert chart is not None
    assert "R-EMI, corl _m_ | 4 folds" in texts(chart.figure)
    axes = panels(chart.figure)["EMI (nats an embedding)", "Swapped"]
    assert {line.get_color() for line in axes.lines if np.size(line.get_xdata()) == 2} - {"0.55"} == {COLOURS[2]}


# The tables


def test_a_kind_fell_or_rose_where_its_whole_interval_lies_on_one_side() -> None:
    table = verdict_table(made_content())
    plain = cells(table, measured_by="R-EMI, base m, w/o Reasoning", unit="nats a token")
    assert plain["fell"] == "swapped, wrong character, wrong language, shuffled"
    assert (plain["rose"], plain["undecided"], plain["no_estimate"]) == ("truncated", "filler added", "filler only")
    trained = cells(table, measured_by="R-EMI, corl _m_ | 4 folds", unit="nats a response")
    assert trained["rose"] == "truncated°, filler added°"
    emi = cells(table, measured_by="EMI, Gaussian CLUB on e")
    assert emi["fell"] == "wrong language"  # a tenth of the slopes, the same intervals
    assert "id 12, korean 12" in table.notes[0]


def test_averages_have_slope_interval_values_and_the_steps_that_rise() -> None:
    table = average_table(made_content())
    row = cells(table, kind="wrong character", measured_by="R-EMI, base m, w/o Reasoning")
    assert (row["slope"], row["adjusted_p"]) == ("-0.200", "0.070")
    assert [row[f"share_{share}"] for share in (0, 25, 50, 75, 100)] == ["0.000", "-0.100", "0.050", "-0.200", "-0.200"]
    assert row["rises"] == "25 to 50 % (surely)"
    (slope,) = [row[2] for row in table.rows if row[0].value == "wrong_character" and row[1].text.endswith("Reasoning")]
    assert slope.detail == "[-0.260, -0.140]"
    assert cells(table, kind="filler added", measured_by="R-EMI, base m, w/o Reasoning")["rises"] == (
        "0 to 25 %; 50 to 75 %; 75 to 100 %"
    )
    assert cells(table, kind="filler only", measured_by="EMI, Gaussian CLUB on e")["share_0"] == "–"
    response = average_table(made_content(), per_response=True)
    assert {row[1].text[:5] for row in response.rows} == {"R-EMI"}
    assert cells(response, kind="swapped", measured_by="R-EMI, base m, w/o Reasoning")["slope"] == "-20.00"


def test_measures_stand_side_by_side_with_how_many_steps_rise() -> None:
    table = side_by_side_table(made_content())
    names = [measure["name"] for measure in MEASURES]
    assert [c.key for c in table.columns] == [
        "kind",
        *(f"{key}_{name}" for name in names for key in ("slope", "steps")),
    ]
    row = cells(table, kind="wrong character")
    assert [row[f"slope_{name}"] for name in names] == ["-0.200", "-0.200", "-0.0200"]
    assert [row[f"steps_{name}"] for name in names] == ["1 of 4, 1 surely"] * 2 + ["1 of 4"]
    marks = {r[0].value: [cell.mark for cell in r[1::2]] for r in table.rows}
    assert (marks["truncated"], marks["wrong_language"], marks["filler_added"]) == (["*", "*", ""], ["*"] * 3, [""] * 3)
    assert {r[3].detail[-1] for r in table.rows if r[3].detail} == {"°"}
    assert cells(table, kind="filler only")["steps_plain"] == ""
    rules = [line for line in as_markdown(table, WIDTH).splitlines() if line.startswith("|-")]
    assert len(rules) == 1
    assert rules[0].count("|") == 8


def test_slopes_by_subset_carry_their_marks() -> None:
    table = subset_table(made_content())
    marks = {(row[0].value, row[1].text[:6]): row[3].mark for row in table.rows}
    assert marks["swapped", "R-EMI,"] == "*°"  # the last of its measures is the unreliable one
    assert marks["filler_added", "EMI, G"] == ""
    assert cells(table, kind="truncated", measured_by="R-EMI, base m, w/o Reasoning")["korean"] == "0.400"


def test_every_step_that_rises_is_named_with_its_subset() -> None:
    table = rising_table(made_content())
    named = {(row[0].value, row[1].text, row[2].value): row[3].text for row in table.rows}
    key = ("wrong_character", "R-EMI, base m, w/o Reasoning")
    assert named[*key, "korean"] == named[*key, "average"] == "25 to 50 % (surely) +0.150"
    assert not [of for of in named if of[0] in ("swapped", "wrong_language", "shuffled")]
    main = [step for step in made_content()["steps"] if step["unit"] != "nats_per_response"]
    assert sum(len(text.split(";")) for text in named.values()) == sum(step["rises"] for step in main)


def test_the_csv_file_has_every_value_with_its_step_and_nothing_for_zero_where_it_is_missing() -> None:
    content = made_content()
    rows = list(csv.DictReader(io.StringIO(as_csv(points_table(content)))))
    assert len(rows) == len(content["points"]) == 5 * 7 * 3 * 5
    of = {(r["measure"], r["kind"], r["subset"], r["share"]): r for r in rows if r["unit"] != "nats_per_response"}
    rising = of["plain", "wrong_character", "korean", "0.5"]
    assert (rising["value"], rising["step_rises"], rising["step_rises_surely"]) == ("0.05", "True", "True")
    assert float(rising["step"]) == pytest.approx(0.15)
    assert (of["plain", "swapped", "id", "0.0"]["step"], of["plain", "swapped", "id", "0.0"]["value"]) == ("", "0.0")
    missing = of["plain", "filler_only", "id", "0.5"]
    assert (missing["value"], missing["slope"], missing["step"]) == ("", "", "")


def test_names_and_notes_are_text_in_markdown() -> None:
    content = made_content()
    assert r"corl \_m\_ \| 4 folds" in as_markdown(average_table(content))
    assert r"- a note with \*stars\*" in as_markdown(damage_table(content))


def test_an_older_figure_goes_when_there_is_nothing_to_draw(tmp_path: Path) -> None:
    full, empty = made_content("swapped"), made_content("filler_only")
    summary, files = write_study(tmp_path, full)
    assert [path.name for path in files] == [f"degradations.{end}" for end in ("md", "json", "csv", "svg", "png")]
    assert "![Values as more golden responses are damaged](degradations.svg)" in files[0].read_text(encoding="utf-8")
    assert summary.startswith("## What fell")
    assert [path.name for path in write_study(tmp_path, empty)[1]] == [path.name for path in files[:3]]
    assert not files[3].exists()
    assert "degradations.svg" not in files[0].read_text(encoding="utf-8")


def test_page_figure_and_numbers_are_published_without_the_rest_and_leave_no_older_ones(tmp_path: Path) -> None:
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "mine.svg").write_text("a user's own")
    write_study(tmp_path, made_content("swapped"))
    made = publish_study(tmp_path, documents)
    assert [path.name for path in made] == ["degradations.md", "degradations.csv", "degradations.svg"]
    assert [path.read_bytes() for path in made] == [(tmp_path / path.name).read_bytes() for path in made]
    write_study(tmp_path, made_content("filler_only"))
    publish_study(tmp_path, documents)
    assert {path.name for path in documents.iterdir()} == {"degradations.md", "degradations.csv", "mine.svg"}
