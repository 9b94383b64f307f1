"""Markdown, CSV and LaTeX show a table's cells as they are, whatever names and notes hold."""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from reports.table import Cell, Column, Table, Value, cut, interval_detail, interval_text, label, number, words
from reports.table_formats import WIDTH, as_csv, as_latex, as_markdown, write_table

HOSTILE = (
    "a|b",
    "a\\|b",
    "ends in a backslash\\",
    "\\*not\\*",
    "**bold** *slanted* __bold__ _slanted_",
    "snake_case_name",
    "`code`",
    "~~struck~~",
    "<script>alert(1)</script>",
    "<b>bold</b> 1 < 2 > 0",
    "[link](javascript:alert(1)) ![image](http://x/y.png)",
    "[one][two] [three]: http://x",
    "<http://example.org>",
    "&lt;entity&#33; R&D",
    "$x^2$ and 5$",
    "ein “Zitat” – 日本語 한국어 العربية",
    "{braces} # % & ^ ~ \\ \\\\",
    "# no heading",
    "C # ##",
)
NOT_OPENING = ("- x", "+ x", "* x", "1. x", "2) x", "# x", "> x", "---", "```", "    code", "[x]: http://y", "=== x")


def table(*cells: Cell, head: str | None = "Name", **changes: object) -> Table:
    """Return a table of one column of words before one of numbers."""
    columns = (Column("name", head, "left"), Column("value", "Value"))
    fields = {"name": "t", "title": "Title", "columns": columns, "rows": tuple((cell, number(0.5)) for cell in cells)}
    return Table(**{**fields, **changes})  # type: ignore[arg-type]


def parsed(text: str) -> list[dict[str, Value]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def rendered(markdown: str) -> Iterator[tuple[str, str]]:
    """Yield what holds text and the text itself, as a renderer sees a page; nothing but plain text may be there."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    for before, token in pairwise(tokens):
        if token.type == "inline":
            kinds = {child.type for child in token.children or [] if child.content}
            assert kinds <= {"text"}, kinds
            yield before.type, "".join(child.content for child in token.children or [])
        else:
            assert token.type not in ("html_block", "fence", "code_block", "hr")


# CSV


def test_numbers_come_back_as_they_were() -> None:
    drawn = np.random.default_rng(0).normal(0, 1, 200) * 10.0 ** np.arange(-100, 100)
    floats = [*drawn.tolist(), 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1 / 3]
    found = parsed(as_csv(table(*(Cell(value, "x") for value in floats))))
    assert [float(str(row["name"])).hex() for row in found] == [value.hex() for value in floats]
    assert parsed(as_csv(table(Cell(10**20, "x"))))[0]["name"] == str(10**20)
    assert parsed(as_csv(table(Cell(np.float64(0.1), "x"))))[0]["name"] == "0.1"


def test_a_missing_value_is_an_empty_cell_and_zero_is_not() -> None:
    found = parsed(as_csv(table(Cell(None, "–"), Cell(0, "0"), Cell(0.0, "0"))))
    assert [row["name"] for row in found] == ["", "0", "0.0"]


def test_negative_numbers_stay_numbers() -> None:
    assert [row["name"] for row in parsed(as_csv(table(Cell(-0.5, "x"), Cell(-3, "x"))))] == ["-0.5", "-3"]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "'=1", "''=1", "\t=1", "\tx", "\r=1", "\nx", "＝1", "＠x", "-", "=a,b\n"],
)
def test_no_text_is_a_formula_and_its_apostrophe_comes_off(text: str) -> None:
    (found,) = parsed(as_csv(table(words(text))))
    assert found["name"] == f"'{text}"


@pytest.mark.parametrize(
    "text", ["a=b", "1-2", "'quoted'", "–", "", " x", 'say "x", y', "a\nb", "a\rb", "a\u2028b", "日本"]
)
def test_other_texts_come_back_as_they_were(text: str) -> None:
    (found,) = parsed(as_csv(table(words(text, value=text))))
    assert found["name"] == text


def test_csv_has_the_columns_that_are_shown_nowhere_else() -> None:
    hidden = table(words("a"), head=None)
    assert as_csv(hidden).splitlines() == ["name,value", "a,0.5"]
    assert "Name" not in as_markdown(hidden) + as_latex(hidden)
    assert [line.count("|") for line in as_markdown(hidden).splitlines()[2:]] == [2, 2, 2]


# Markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_shown_as_it_is_in_cells_heads_notes_titles_and_groups(text: str) -> None:
    columns = (Column("name", text, "left"), Column("value", "Value", group=text))
    page = as_markdown(table(words(text), words("b"), title=text, columns=columns, notes=(text,)))
    plain = " ".join(text.split())
    assert list(rendered(page)) == [
        ("heading_open", plain),
        ("paragraph_open", f"{plain}: Value"),
        *[("th_open", plain), ("th_open", "Value")],
        *[("td_open", plain), ("td_open", "0.500"), ("td_open", "b"), ("td_open", "0.500")],
        ("paragraph_open", plain),
    ]


@pytest.mark.parametrize("text", NOT_OPENING)
def test_a_note_is_a_paragraph_however_it_begins(text: str) -> None:
    (*_, last) = rendered(as_markdown(table(words("a"), notes=("first", text))))
    assert last == ("paragraph_open", text.strip())


def test_line_ends_and_what_steers_a_terminal_are_left_out() -> None:
    text = "a\n b\r\n\tc\u2028d \x1b[31mred\x07\x9b1m \u202eturned\u202c \u2066x\u2069"
    for page in (as_markdown(table(words(text), notes=(text,))), as_latex(table(words(text), notes=(text,)))):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", page)
        assert "a b c d [31mred1m turned x" in page


def test_bold_marks_and_details_stand_around_the_text() -> None:
    cell = number(0.25, bold=True, mark="*", detail="[-0.100, 0.600]°")
    page = as_markdown(table(cell))
    assert "| **0.250*** [-0.100, 0.600]° |" in page
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert "<strong>0.250</strong>* [-0.100, 0.600]°" in html


def wide(n_columns: int, detail: str = "", size: int = 6) -> Table:
    """Return a table with a name and groups of that many columns, every cell with a text of its own."""
    columns = [Column("name", "Name", "left")]
    columns += [Column(f"c{i}", f"c{i}", group=f"g{i // size}" if i else "") for i in range(n_columns)]
    rows = tuple(
        (words(f"row{r}"), *(Cell(i, f"{r}.{i:03d}", detail=detail) for i in range(n_columns))) for r in (1, 2)
    )
    return Table("wide", "Wide", tuple(columns), rows)


def test_a_wide_table_goes_on_below_with_its_names_and_every_cell_stands_once() -> None:
    page = as_markdown(wide(40))
    lines = page.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line.startswith("| row1 |") for line in lines].count(True) == 4
    found = re.findall(r"\d\.\d{3}", page)
    assert sorted(found) == sorted(f"{r}.{i:03d}" for r in (1, 2) for i in range(40))


def test_neighbours_of_a_group_stay_together_and_their_group_stands_above() -> None:
    parts = as_markdown(wide(20, size=8)).split("\n\n")[1:]
    assert parts[0] == "g0: c1, c2, c3, c4, c5, c6, c7"
    assert parts[2] == "g1: c8, c9, c10, c11, c12, c13, c14, c15; g2: c16, c17, c18, c19"
    group = as_markdown(wide(40, size=40)).split("\n\n")[1]
    assert group.startswith("g0: c1, c2")


def test_details_are_shown_unless_they_would_take_more_than_three_parts() -> None:
    few, many = wide(12, "[-0.100, 0.600]"), wide(30, "[-0.100, 0.600]")
    assert "1.003 [-0.100, 0.600]" in as_markdown(few)
    assert "1.003 [-0.100, 0.600]" in as_latex(few)
    assert "[-0.100" not in as_markdown(many) + as_latex(many)
    assert "1.003" in as_markdown(many)


def test_lines_are_equally_wide_also_with_wide_signs() -> None:
    page = as_markdown(table(words("日本語モデル"), words("x"), words("e\u0301")))
    lines = [line for line in page.splitlines() if line.startswith("|")]
    places = {
        sum(2 if unicodedata.east_asian_width(c) in "WF" else unicodedata.category(c) != "Mn" for c in line)
        for line in lines
    }
    assert len(places) == 1


def test_a_very_long_cell_does_not_widen_the_others() -> None:
    page = as_markdown(table(words("x" * 100_000), words("y")))
    assert len(page) < 101_000
    shown = label("x" * 100_000)
    assert shown.text == "x" * 120 + "… (99,880 more characters)"
    assert shown.value == "x" * 100_000


def test_long_names_leave_room_for_numbers() -> None:
    names = tuple(Column(f"n{i}", "N", "left") for i in range(3))
    numbers = tuple(Column(f"v{i}", "V") for i in range(4))
    row = (*(words("n" * 60) for _ in names), *(number(0.5) for _ in numbers))
    page = as_markdown(Table("t", "T", (*names, *numbers), (row,)))
    assert page.count("| N") == 3


def test_a_table_without_rows_has_its_heads() -> None:
    assert as_markdown(table()) == "# Title\n\n| Name | Value |\n|------|------:|\n"
    assert as_csv(table()) == "name,value\n"
    assert "Name & Value" in as_latex(table())


# LaTeX


def unescaped(line: str) -> str:
    """Return a line of LaTeX without the commands that are expected there, so that every other one is left."""
    known = r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\text(less|greater|bar)\{\}|\\[_&%#${}]"
    return re.sub(known, "", line)


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_escapes_all_its_signs(text: str) -> None:
    page = as_latex(
        table(words(text), notes=(f"{text}\n\\input{{x}}",), columns=(Column("n", text, "left"), Column("v", "V")))
    )
    body = [line for line in page.splitlines() if line.endswith(r" \\")]
    assert len(body) == 2
    for line in body:
        name, separator, rest = unescaped(line.removesuffix(r" \\")).rpartition(" & ")
        assert separator
        assert rest in ("V", "0.500")
        assert not re.search(r"[\\~^<>|_&%#${}]", name.removeprefix("{}"))
    assert [line for line in page.splitlines() if "input" in line] == [f"% {' '.join(text.split())} \\input{{x}}"]


def test_a_row_that_begins_with_a_bracket_or_star_is_no_option_of_the_line_before() -> None:
    lines = as_latex(table(words("[1pt]"), words("* x"))).splitlines()
    assert lines[4:6] == [r"{}[1pt] & 0.500 \\", r"{}* x & 0.500 \\"]


def test_latex_sets_bold_marks_and_groups() -> None:
    columns = (Column("n", "N", "left"), *(Column(key, key, group="G & H") for key in "ab"), Column("c", "c"))
    row = (words("x"), number(0.5, bold=True, mark="*"), number(1.0), number(None))
    page = as_latex(Table("t", "T", columns, (row,), ("note",), ("scores/x.json",)))
    assert page.splitlines() == [
        "% note",
        "% Source: scores/x.json.",
        r"\begin{tabular}{lrrr}",
        r"\hline",
        r" & \multicolumn{2}{c}{G \& H} &  \\",
        r"N & a & b & c \\",
        r"\hline",
        r"x & \textbf{0.500}\textsuperscript{*} & 1.000 & – \\",
        r"\hline",
        r"\end{tabular}",
    ]


# Cells and files


def test_numbers_are_shown_with_their_decimals_and_zero_without_a_sign() -> None:
    assert [number(v).text for v in (0.12345, -0.0001, 1234567, None, -2.0)] == [
        "0.123",
        "0.000",
        "1,234,567",
        "–",
        "-2.000",
    ]
    assert number(1234.56, 1).text == "1234.6"
    assert number(None, bold=True, mark="*", detail="[0, 1]") == Cell(None, "–")
    assert interval_text(-0.0001, 0.5) == "[0.000, 0.500]"
    assert interval_text(None, 0.5) == interval_text(0.5, None) == ""
    assert [interval_detail(0.0, 1.0, known) for known in (True, False, None)] == [
        "[0.000, 1.000]",
        "[0.000, 1.000]°",
        "[0.000, 1.000]",
    ]
    assert interval_detail(None, None, False) == ""


def test_a_name_that_is_not_there_is_a_dash_without_a_value() -> None:
    assert label(None) == Cell(None, "–")
    assert label("") == Cell("", "")
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… (1 more characters)"


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 columns and rows of"):
        table(rows=((words("a"),),))


def test_the_same_table_gives_the_same_files(tmp_path: Path) -> None:
    made = table(words("a"), notes=("n",), sources=("scores/remi.json",))
    first, second = write_table(made, tmp_path / "1"), write_table(made, tmp_path / "2")
    assert [path.name for path in first] == ["t.md", "t.csv", "t.tex"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_text().endswith("- n\n- Source: scores/remi.json.\n")
    assert math.isclose(float(str(parsed(first[1].read_text())[0]["value"])), 0.5)
