"""The page holds everything, escaped, in the same bytes each time; its texts can be unpacked to what the run has."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_run import MadeRun, make_run
from page_helpers import HOSTILE, bars, made_contents, remi_table

from benchmark import Benchmark
from benchmark.run_store import read_jsonl, write_json, write_jsonl
from reports.case_study import CaseStudy
from reports.contents import Section
from reports.page import view
from reports.page.embedding import packed, script_json
from reports.page.reader import CHUNK_CHARACTERS, UNKNOWN, gather_reader
from reports.page.write import LONGEST_TEXT, write_page
from reports.run_data import RunData, read_run
from reports.table import Cell, Column, Table


class Page(HTMLParser):
    """Elements of a page with their attributes, and the text in scripts and styles."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        """Keep the text of scripts and styles."""
        if self.elements and self.elements[-1][0] in ("script", "style") and self.cdata_elem:
            self.raw[-1] = (self.raw[-1][0], self.raw[-1][1] + data)


@pytest.fixture
def folder(tmp_path: Path, mini: Benchmark) -> Path:
    return make_run(tmp_path / "run", MadeRun(mini, judges=True))


@pytest.fixture
def run(folder: Path) -> RunData:
    return read_run(folder)


def written(run: RunData, target: Path, **changes: Any) -> str:  # noqa: ANN401 - fields of Contents
    return write_page(made_contents(run, **changes), target).read_text(encoding="utf-8", errors="replace")


def unpacked(chunk: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(gzip.decompress(base64.b64decode(chunk)).decode("utf-8", "surrogatepass"))


def test_the_same_run_gives_the_same_bytes(run: RunData, tmp_path: Path) -> None:
    first, second = (write_page(made_contents(run), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_everything_of_the_contents_stands_in_the_page(run: RunData, tmp_path: Path) -> None:
    text = written(run, tmp_path / "page.html", settings=(remi_table(run),))
    for said in ("Nine methods", "No method is shown", "What methods add.", "One departure.", "A note.", *run.missing):
        assert said in text
    assert "rpm-methods compare demo" in text
    assert "Lengths of bars." in text
    assert "scores/remi.json" in text
    assert "hidden value" not in text


def test_the_answers_figure_is_drawn_once_where_a_section_has_it_too(run: RunData, tmp_path: Path) -> None:
    chart = bars(run)
    section = Section("Figures", (), (chart, replace(bars(run, "Other bars"), name="other")))
    text = written(run, tmp_path / "page.html", answer_chart=chart, sections=(section,))
    assert text.count("<img ") == 2
    assert '<a href="#figure:bars">Bars</a> is drawn above' in text


def test_every_address_is_inside_the_page(run: RunData, tmp_path: Path) -> None:
    page = Page(written(run, tmp_path / "page.html"))
    addresses = [v for _, attrs in page.elements for k, v in attrs.items() if k in ("src", "href", "action", "data")]
    assert len(addresses) > 5
    assert all(address and address.startswith(("#", "data:")) for address in addresses)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in addresses if address and address.startswith("#")} <= set(ids)


def test_the_policy_allows_the_pages_own_script_and_style_alone(run: RunData, tmp_path: Path) -> None:
    page = Page(written(run, tmp_path / "page.html"))
    (policy,) = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    inline = [text for attrs, text in page.raw if "type" not in attrs]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    assert len(hashes) == 3
    assert sorted(hashes) == sorted(re.findall(r"'sha256-([^']+)'", policy))


def test_hostile_text_makes_no_element(run: RunData, tmp_path: Path) -> None:
    harmless = Page(written(run, tmp_path / "harmless.html", answer=("words",)))
    table = Table(
        HOSTILE,
        HOSTILE,
        (Column("k", HOSTILE, "left", HOSTILE),),
        ((Cell(HOSTILE, HOSTILE, False, HOSTILE, HOSTILE),),),
    )
    changes: dict[str, Any] = {"title": HOSTILE, "answer": (HOSTILE,), "facts": ((HOSTILE, HOSTILE),)}
    changes |= {"departures": (HOSTILE,), "command": HOSTILE, "answer_chart": bars(run, HOSTILE)}
    changes |= {"settings": (table,)}
    hostile = Page(written(run, tmp_path / "hostile.html", **changes))
    for tag in ("script", "style", "img"):
        assert sum(one == tag for one, _ in hostile.elements) == sum(one == tag for one, _ in harmless.elements)
    assert not [attrs for _, attrs in hostile.elements if any(name.startswith("on") for name in attrs)]


@pytest.mark.parametrize("sign", ["</script>", "<!--", "]]>", "&lt;", "\u2028", "\u2029"])
def test_json_in_a_script_holds_no_sign_of_html(sign: str) -> None:
    text = str(script_json({"a": sign}))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": sign}


def test_chunks_hold_their_texts_and_no_time() -> None:
    assert unpacked(packed(['{"a":"é"}', "2"])) == [{"a": "é"}, 2]
    assert base64.b64decode(packed(["1"]))[4:8] == bytes(4)


def test_the_reader_holds_what_the_run_has(run: RunData) -> None:
    reader = gather_reader(run)
    chunks = [unpacked(chunk) for chunk in reader.chunks]
    samples = {row["sample_id"]: row for row in run.samples()}
    tested = [sample_id for ids in run.manifest["test_samples"].values() for sample_id in ids]
    assert [row[0] for row in reader.index["samples"]] == tested
    for number, (sample_id, subset, name, opening, chunk, place) in enumerate(reader.index["samples"]):
        sample, texts = samples[sample_id], chunks[chunk][place]
        assert reader.index["subsets"][subset]["key"] == sample["subset"]
        assert name == sample["agent_character"]["character_name"]
        assert sample["last_query"].startswith(opening.removesuffix("…"))
        assert texts["sample"]["golden_response"] == sample["golden_response"]
        assert texts["reasoning"] == run.reasonings()[sample_id]
        for method, key in enumerate(run.methods):
            assert texts["answers"][method] == run.responses(key)[sample_id]
            share = run.contributions(key)[sample_id]
            assert reader.index["contributions"][method][number] == pytest.approx(share, abs=5e-7)
            ((judge, metric, value, reason),) = texts["judged"][method]
            (row,) = run.rows("judges", method=run.responses_name(key), sample_id=sample_id)
            assert (judge, metric, value, reason) == (row["judge"], row["metric"], row["value"], None)
    assert reader.index["lacking"] == []
    names = [(one["name"], one["shift"]) for one in reader.index["subsets"]]
    assert names[:2] == [("ID", "In distribution"), ("German (U.G.)", "User shift")]


def test_chunks_are_limited_and_a_long_sample_has_its_own(folder: Path) -> None:
    path = folder / "responses" / "sft.jsonl"
    rows = read_jsonl(path)
    rows[5]["response"] = "long " * CHUNK_CHARACTERS
    write_jsonl(path, rows)
    reader = gather_reader(read_run(folder))
    places = [(row[4], row[5]) for row in reader.index["samples"]]
    assert places == sorted(places)
    assert [row[5] for row in reader.index["samples"] if row[4] == places[5][0]] == [0]
    assert len(unpacked(reader.chunks[places[5][0]])) == 1
    assert len(reader.chunks) == 3


def test_two_base_models_are_told_apart(tmp_path: Path, mini: Benchmark) -> None:
    run = read_run(make_run(tmp_path, MadeRun(mini, methods=("sft", "icl"), base_models=("a", "b/two"))))
    reader = gather_reader(run)
    assert reader.index["methods"] == ["SFT (a)", "ICL (a)", "SFT (b/two)", "ICL (b/two)"]
    answers = unpacked(reader.chunks[0])[0]["answers"]
    assert [answer["response"].split(" answers")[0] for answer in answers] == [
        "sft on a", "icl on a", "sft on b/two", "icl on b/two",
    ]  # fmt: skip


def test_what_a_run_lacks_is_said_and_the_rest_is_there(folder: Path, tmp_path: Path) -> None:
    (folder / "samples.jsonl").unlink()
    (folder / "reasoning.jsonl").unlink()
    (folder / "scores" / "contributions.jsonl").unlink()
    (folder / "responses" / "dpo.jsonl").unlink()
    run = read_run(folder)
    reader = gather_reader(run)
    said = " ".join(reader.index["lacking"])
    assert "samples.jsonl" in said
    assert "contributions.jsonl" in said
    assert "no reasoning of its estimator" in said
    assert "responses of DPO" in said
    first = unpacked(reader.chunks[0])[0]
    assert first["sample"] is None
    assert [answer is None for answer in first["answers"]] == [key.method == "dpo" for key in run.methods]
    assert reader.index["samples"][0][2:4] == [None, None]
    assert {value for of_method in reader.index["contributions"] for value in of_method} == {None}
    assert "samples.jsonl" in written(run, tmp_path / "page.html")


def test_a_run_without_scores_shows_its_responses(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "scores")
    run = read_run(folder)
    reader = gather_reader(run)
    assert reader.index["methods"][0] == "icl (no scores)"
    assert unpacked(reader.chunks[0])[0]["answers"][0]["response"].startswith("icl on")
    assert "What methods add." in written(run, tmp_path / "page.html", answer_chart=None)


def test_a_sample_that_nothing_places_is_of_an_unknown_subset(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, "test_samples": {}})
    rows = read_jsonl(folder / "responses" / "sft.jsonl")
    write_jsonl(folder / "responses" / "sft.jsonl", [*rows, {**rows[0], "sample_id": "elsewhere"}])
    index = gather_reader(read_run(folder)).index
    assert [one["key"] for one in index["subsets"]] == [*manifest["test_samples"], UNKNOWN]
    assert index["samples"][-1][:2] == ["elsewhere", 12]
    assert not {row[0] for row in index["samples"]} & set(manifest["training_samples"])


def test_a_case_study_is_cut_with_a_sign(run: RunData, tmp_path: Path) -> None:
    sample = next(row for row in run.samples() if row["subset"] == "japanese")
    key = run.methods[1]
    long = {"response": "y" * (LONGEST_TEXT + 1234), "reasoning": HOSTILE, "finish_reason": "length"}
    case = CaseStudy("By a rule.", sample, {key: long}, {key: -0.25})
    text = written(run, tmp_path / "page.html", case=case)
    assert "By a rule." in text
    assert sample["golden_response"] in text
    assert "y" * LONGEST_TEXT + "… (1,234 more characters)" in text
    assert "y" * (LONGEST_TEXT + 1) not in text
    assert "−0.2500 nats a token" in text
    assert f'href="#{sample["sample_id"]}"' in text


def test_groups_span_the_columns_that_are_shown() -> None:
    columns = [Column("m", "Method"), Column("a", "A", group="x"), Column("b", "B", group="x"), Column("c", "C")]
    assert view.groups(columns) == [("", 1), ("x", 2), ("", 1)]
    assert view.groups([replace(column, group="") for column in columns]) == []


def test_numbers_of_a_figure_are_a_table(run: RunData) -> None:
    table = view.numbers(bars(run))
    assert [column.align for column in table.columns] == ["left", "right"]
    assert [row[1].text for row in table.rows[:3]] == ["0", "0.3333", "0.6667"]
    assert table.rows[1][1].value == 1 / 3


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of WCAG 2 between two colours written as #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "behind"),
    [(text, behind) for text in ("ink", "soft", "link") for behind in ("paper", "raised", "chosen")]
    + [("ink", behind) for behind in ("golden", "notice", "found")]
    + [("soft", "golden")],
)
def test_text_is_told_from_what_is_behind_it(text: str, behind: str, theme: int) -> None:
    style = (Path(view.__file__).parent / "assets" / "style.css").read_text()
    colours = dict(re.findall(r"--([a-z-]+): light-dark\((#\w{6}, #\w{6})\)", style))
    assert contrast(colours[text].split(", ")[theme], colours[behind].split(", ")[theme]) >= 4.5
