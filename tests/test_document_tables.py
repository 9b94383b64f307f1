"""Tables and figures fit their pages, and nothing of them is lost."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from document_contents import made_chart

from reports.document.charts import chart_item
from reports.document.flow import pages
from reports.document.tables import MOST_ROWS, table_item
from reports.table import Cell, Column, Table, number, words


def wide_table(n_numbers: int, *, text: str = "0.500", detail: str = "[0.400, 0.600]", n_rows: int = 3) -> Table:
    columns = (Column("name", "Name", "left"), *(Column(f"c{i}", f"C{i}") for i in range(n_numbers)))
    rows = tuple(
        (words(f"row {row}"), *(Cell(0.5, f"{text}{i}", detail=detail) for i in range(n_numbers)))
        for row in range(n_rows)
    )
    return Table("made", "Made", columns, rows)


def heads(item: dict[str, Any]) -> list[list[str]]:
    return [[column["head"] for column in part["columns"]] for part in item["parts"]]


def test_a_narrow_table_stands_upright_in_the_largest_type() -> None:
    item = table_item(wide_table(3), 7)
    assert (item["wide"], item["size"], item["title"]) == (False, 8.5, "Table 7. Made")
    assert heads(item) == [["Name", "C0", "C1", "C2"]]


def test_thirteen_columns_with_intervals_fit_on_one_page_on_its_side() -> None:
    item = table_item(wide_table(13), 1)
    assert item["wide"]
    assert item["size"] >= 7.5
    assert len(item["parts"]) == 1


def test_the_wider_the_table_the_smaller_its_type_and_the_more_its_parts() -> None:
    items = [table_item(wide_table(n), 1) for n in (3, 11, 13, 16, 18, 40)]
    keys = [(item["wide"], -item["size"], len(item["parts"])) for item in items]
    assert all(before < after for before, after in pairwise(keys))


def test_parts_repeat_the_first_column_and_lose_no_cell() -> None:
    table = wide_table(40)
    item = table_item(table, 1)
    assert [head for part in heads(item) for head in part if head != "Name"] == [f"C{i}" for i in range(40)]
    assert all(part[0] == "Name" for part in heads(item))
    for row, cells in enumerate(table.rows):
        shown = [cell["text"] for part in item["parts"] for cell in part["rows"][row][1:]]
        assert shown == [cell.text for cell in cells[1:]]
    sizes = [len(part) for part in heads(item)]
    assert max(sizes) - min(sizes) <= 1


def test_columns_that_only_csv_files_have_are_left_out() -> None:
    columns = (Column("a", "A", "left"), Column("hidden", None), Column("b", "B"))
    item = table_item(Table("made", "Made", columns, ((words("x"), number(1), number(2)),)), 1)
    assert heads(item) == [["A", "B"]]
    assert [cell["text"] for cell in item["parts"][0]["rows"][0]] == ["x", "2"]


def test_cells_keep_bold_marks_and_details() -> None:
    columns = (Column("a", "A", "left"),)
    item = table_item(Table("made", "Made", columns, ((Cell(1, "1.0", True, "*", "[0, 2]"),),)), 1)
    assert item["parts"][0]["rows"] == [[{"text": "1.0", "bold": True, "mark": "*", "detail": "[0,\u00a02]"}]]


def test_neighbours_of_a_group_share_its_heading() -> None:
    columns = tuple(Column(key, key, group=group) for key, group in [("a", ""), ("b", "G"), ("c", "G"), ("d", "H")])
    item = table_item(Table("made", "Made", columns, ((number(1),) * 4,)), 1)
    assert item["parts"][0]["groups"] == [{"text": "", "span": 1}, {"text": "G", "span": 2}, {"text": "H", "span": 1}]


def test_a_group_s_heading_is_no_wider_than_its_columns() -> None:
    columns = (Column("a", "A", group="a heading of many words"), Column("b", "B", group="a heading of many words"))
    cells = (Cell(1, "0123456789"), Cell(1, "0123456789"))
    item = table_item(Table("made", "Made", columns, (cells,)), 1)
    assert item["parts"][0]["groups"] == [{"text": "a heading of many\nwords", "span": 2}]


def test_a_table_without_columns_of_words_repeats_none() -> None:
    columns = tuple(Column(f"c{i}", f"C{i}") for i in range(60))
    item = table_item(Table("made", "Made", columns, ((number(0.5, 9),) * 60,)), 1)
    assert len(item["parts"]) > 1
    assert [head for part in heads(item) for head in part] == [f"C{i}" for i in range(60)]


def test_rows_that_are_left_out_are_counted() -> None:
    item = table_item(wide_table(2, n_rows=MOST_ROWS + 1), 1)
    assert len(item["parts"][0]["rows"]) == MOST_ROWS
    assert item["notes"] == [["The first 150 of 151 rows; the run's files have all of them."]]
    assert not item["whole"]


def test_a_long_cell_is_cut_and_says_so() -> None:
    item = table_item(Table("made", "Made", (Column("a", "A", "left"),), ((words("x" * 100_000),),)), 1)
    text = item["parts"][0]["rows"][0][0]["text"].replace("\u200b", "")
    assert text == "x" * 600 + "… (99,400 more characters)"
    assert not item["whole"]


def test_many_notes_stand_in_columns_in_their_order() -> None:
    notes = tuple(f"note {place} " + "x" * 30 * (place == 1) for place in range(9))
    table = Table("made", "Made", (Column("a", "A"),), ((number(1),),), notes, ("scores/remi.json",))
    item = table_item(table, 1)
    assert len(item["notes"]) == 2
    assert [note for column in item["notes"] for note in column] == [*notes, "Source: scores/remi.json."]


def test_a_low_table_is_kept_on_one_page() -> None:
    assert table_item(wide_table(3, n_rows=9), 1)["whole"]
    assert not table_item(wide_table(3, n_rows=60), 1)["whole"]


@pytest.mark.parametrize(
    ("size", "wide", "width"),
    [((4.0, 3.0), False, 288.0), ((6.875, 3.0), False, 495.0), ((8.0, 3.0), False, 495.0), ((10.0, 3.0), True, 720.0)],
)
def test_a_figure_is_as_large_as_its_page_allows(
    size: tuple[float, float], wide: bool, width: float, tmp_path: Path
) -> None:
    item = chart_item(made_chart("made", size), 2, tmp_path)
    assert item["wide"] is wide
    assert item["width"] == pytest.approx(width)
    assert item["height"] / item["width"] == pytest.approx(size[1] / size[0])
    assert item["title"] == "Figure 2. The made figure"
    assert item["caption"] == "A line. Source: scores/remi.json."
    assert (tmp_path / item["file"]).read_text().startswith("<?xml")


def test_a_high_figure_fits_below_its_title(tmp_path: Path) -> None:
    item = chart_item(made_chart("made", (5.0, 20.0)), 1, tmp_path)
    assert (item["height"], item["wide"]) == (pytest.approx(570.0), False)


def test_headings_go_with_what_follows_them() -> None:
    def item(name: str, wide: bool | None) -> dict[str, Any]:
        return {"name": name, "wide": wide}

    found = pages([item("h1", None), item("t1", True), item("h2", None), item("p2", None), item("t2", False)])
    assert [(page["wide"], [item["name"] for item in page["items"]]) for page in found] == [
        (True, ["h1", "t1"]),
        (False, ["h2", "p2", "t2"]),
    ]
    assert pages([item("end", None)]) == [{"wide": False, "items": [item("end", None)]}]
