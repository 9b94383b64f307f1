"""The PDF has what the contents have, whatever their texts hold, and the same contents give the same bytes."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typst
from document_contents import made_chart, made_contents
from made_run import MadeRun, make_run

from benchmark import Benchmark
from benchmark.run_store import read_json, write_jsonl
from reports.contents import Contents, Section
from reports.document.write import document_data, linked_fonts, prepare_source, write_document
from reports.run_data import RunData, read_run

HOSTILE = (
    '#eval("1+1") #panic("x") *bold* _it_ $x^2$ `raw` @ref <label> // line /* block */ \\ #import "a": b '
    "<script>alert(1)</script> \u202ereversed שלום العربية 日本語の返事。 한국어 ไทย \x00\x1b[31m e\u0301 end"
)
needs_pdftotext = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext, of poppler-utils")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> Path:
    made = MadeRun(mini, ("sft", "dpo", "corl"), subsets=("id", "german", "korean", "gaming"))
    return make_run(tmp_path_factory.mktemp("run"), made)


@pytest.fixture(scope="module")
def run(folder: Path) -> RunData:
    return read_run(folder)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    """Return a run with markup of several kinds in its labels, base model, caution and texts."""
    base = f"org/{HOSTILE}"
    responses = {s.sample_id: HOSTILE for samples in mini.test.values() for s in samples}
    made = MadeRun(mini, ("sft", "dpo"), (base,), ("id", "korean"), responses=responses, caution=HOSTILE)
    folder = make_run(tmp_path_factory.mktemp("hostile"), made)
    samples = [{**row, "user_persona": HOSTILE, "golden_response": "x" * 100_000} for row in read_run(folder).samples()]
    write_jsonl(folder / "samples.jsonl", samples)
    found = read_run(folder)
    methods = found.manifest["methods"]
    labelled = {"sft": {**methods["sft"], "label": HOSTILE}, "dpo": {**methods["dpo"], "label": "d" * 100_000}}
    return replace(found, manifest={**found.manifest, "methods": labelled})


def text_of(path: Path, *options: str) -> str:
    found = subprocess.run(
        ["pdftotext", "-raw", *options, str(path), "-"], capture_output=True, text=True, check=True
    ).stdout
    return " ".join(found.replace("\u200b", "").split())


def headings(contents: Contents, folder: Path) -> list[tuple[int, str]]:
    """Return the outline, which is also what the PDF's bookmarks are."""
    source = prepare_source(contents, folder)
    found = json.loads(typst.query(source, "heading", root=folder, font_paths=linked_fonts(folder)))
    return [(heading["level"], heading["body"]["text"]) for heading in found]


def test_the_outline_names_every_part(run: RunData, tmp_path: Path) -> None:
    assert headings(made_contents(run), tmp_path) == [
        (1, "What this run says"),
        (2, "Figure 1. The first figure"),
        (1, "What is missing"),
        (1, "Where the numbers are made otherwise than the paper says"),
        (1, "Estimates"),
        (2, "Table 1. Made"),
        (2, "Figure 2. The second figure"),
        *[
            heading
            for start, shift in ((2, "User"), (6, "Character"))
            for heading in (
                (1, f"{shift} shift"),
                (2, f"Table {start}. R-EMI under {shift.lower()} shift, nats a token"),
                (2, f"Table {start + 1}. R-EMID under {shift.lower()} shift, nats a token"),
                (2, f"Table {start + 2}. Bounds on R-EMID under {shift.lower()} shift"),
                (2, f"Table {start + 3}. How far the inputs lie away, nats"),
            )
        ],
        (1, "Case study"),
        (1, "Training"),
        (2, "Figure 3. The training/sft figure"),
        (1, "Settings"),
        (2, "Table 10. Settings"),
        (1, "Making this run again"),
    ]


@needs_pdftotext
def test_the_document_says_what_the_contents_say(run: RunData, tmp_path: Path) -> None:
    contents = made_contents(run)
    text = text_of(write_document(contents, tmp_path / "report.pdf"))
    assert contents.case is not None
    for paragraph in (*contents.answer, contents.case.rule, contents.case.sample["golden_response"], contents.command):
        assert "".join(paragraph.split()) in "".join(text.split())
    for response in contents.case.responses.values():
        assert response["response"] in text
    assert "Source: scores/x.json." in text
    assert text.count("[0.400, 0.600]") == 9


@needs_pdftotext
def test_markup_in_texts_is_text(hostile: RunData, tmp_path: Path) -> None:
    contents = made_contents(hostile, title=HOSTILE, command=HOSTILE)
    text = text_of(write_document(contents, tmp_path / "report.pdf"))
    for part in ('#eval("1+1")', "*bold*", "$x^2$", "<label>", "/* block */", "<script>alert(1)</script>"):
        assert text.count(part) > 5
    assert "<U+202E>reversed" in text
    assert "<U+0000><U+001B>[31m" in text
    assert "日本語の返事。" in text
    assert "한국어" in text
    assert "(98,500 more characters)" in text
    assert "THAI CHARACTER SARA AI MAIMALAI" in text


def test_no_character_is_left_without_a_glyph(hostile: RunData, tmp_path: Path) -> None:
    """PDF/A refuses characters without a glyph; all that it asks beyond that is a date."""
    source = prepare_source(made_contents(hostile, title=HOSTILE, command=HOSTILE), tmp_path)
    dated = source.read_text().replace("date: none", "date: datetime(year: 2000, month: 1, day: 1)")
    source.write_text(dated)
    fonts = linked_fonts(tmp_path)
    assert typst.compile(source, root=tmp_path, font_paths=fonts, format="pdf", pdf_standards="a-2b")
    data = tmp_path / "data.json"
    data.write_text(data.read_text().replace("<U+0E44>", "ไ"))
    with pytest.raises(typst.TypstError, match="could not be displayed"):
        typst.compile(source, root=tmp_path, font_paths=fonts, format="pdf", pdf_standards="a-2b")


def test_the_same_contents_give_the_same_bytes(run: RunData, tmp_path: Path) -> None:
    first = write_document(made_contents(run), tmp_path / "first.pdf").read_bytes()
    time.sleep(1.1)  # a time of day in the file would differ
    second = write_document(made_contents(run), tmp_path / "elsewhere" / "second.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert first == second


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def without_samples(folder: Path) -> None:
    write_jsonl(folder / "samples.jsonl", [])


def without_spread(folder: Path) -> None:
    """Leave one method, one subset and no estimate, as of a run with too few samples."""
    row = read_json(folder / "scores" / "remi.json")[0]
    empty = {**row, "remi": None, "ci_low": None, "ci_high": None, "interval_reliable": None}
    shutil.rmtree(folder / "scores")
    (folder / "scores").mkdir()
    (folder / "scores" / "remi.json").write_text(json.dumps([empty]))


@pytest.mark.parametrize(
    "damage",
    [
        *(without(f"scores/{name}.json") for name in ("averages", "remid", "differences", "bounds", "divergences")),
        without("scores/remi.json"),
        without("scores/contributions.jsonl"),
        without("samples.jsonl", "reasoning.jsonl"),
        without("responses/sft.jsonl"),
        without_samples,
        without_spread,
    ],
)
def test_a_run_that_lacks_files_has_a_document_all_the_same(
    damage: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "run")
    damage(tmp_path / "run")
    run = read_run(tmp_path / "run")
    contents = replace(made_contents(run), answer_chart=None, sections=(), settings=(), departures=(), command="")
    assert write_document(contents, tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_section_of_the_first_page_s_figure_alone_has_no_heading(run: RunData, tmp_path: Path) -> None:
    sections = (Section("Nothing else", charts=(made_chart("first"),)),)
    data = document_data(replace(made_contents(run), sections=sections), tmp_path)
    assert "Nothing else" not in json.dumps(data)


def test_the_caution_stands_out(run: RunData, tmp_path: Path) -> None:
    shown = document_data(made_contents(run), tmp_path)["answer"]
    assert shown[0] == {"text": f"Caution: {run.manifest['caution']}", "caution": True}
    assert [paragraph["caution"] for paragraph in shown[1:]] == [False, False, False]


def test_why_there_is_no_case_is_said(run: RunData, tmp_path: Path) -> None:
    data = document_data(replace(made_contents(run), case=None), tmp_path)
    items = [item for page in data["pages"] for item in page["items"]]
    place = next(place for place, item in enumerate(items) if item.get("text") == "Case study")
    assert items[place + 1]["text"].startswith("No sample is shown")


def test_a_case_shows_the_last_turns_and_counts_the_others(run: RunData, tmp_path: Path) -> None:
    contents = made_contents(run)
    assert contents.case is not None
    sample = {**contents.case.sample, "turns": [{"user_query": f"q{n}", "agent_response": f"a{n}"} for n in range(9)]}
    data = document_data(replace(contents, case=replace(contents.case, sample=sample)), tmp_path)
    case = next(item for page in data["pages"] for item in page["items"] if item["kind"] == "case")
    assert case["earlier"] == "3 earlier turns of the dialogue are left out."
    spoken = [(turn["speaker"], turn["text"]) for turn in case["turns"]]
    assert spoken[:2] == [("User", "q3"), ("Agent", "a3")]
    assert spoken[-1] == ("User", sample["last_query"])
    assert len(spoken) == 13


def test_a_case_s_responses_say_how_they_ended_and_what_they_add(run: RunData, tmp_path: Path) -> None:
    contents = made_contents(run)
    assert contents.case is not None
    first, second, *_ = contents.case.responses
    rows = {
        **contents.case.responses,
        first: {**contents.case.responses[first], "finish_reason": "length", "response": ""},
    }
    case = replace(contents.case, responses=rows, contributions={second: -0.25})
    data = document_data(replace(contents, case=case), tmp_path)
    shown = next(item for page in data["pages"] for item in page["items"] if item["kind"] == "case")["responses"]
    assert [response["label"] for response in shown] == ["SFT", "DPO", "CoRL"]
    assert (shown[0]["response"]["text"], shown[0]["ending"]) == ("(empty)", "Ended by: length.")
    assert [response["contribution"] for response in shown] == ["not scored", "-0.250 nats a token", "not scored"]
    assert [response["reasoning"] is not None for response in shown] == [False, False, True]


@needs_pdftotext
@pytest.mark.parametrize(("height", "paragraphs", "page"), [(2.0, 4, 1), (9.0, 4, 1), (30.0, 4, 1), (2.0, 60, 2)])
def test_the_first_figure_is_on_the_first_page_unless_the_answer_fills_it(
    height: float, paragraphs: int, page: int, run: RunData, tmp_path: Path
) -> None:
    answer = ("A sentence of the answer. " * 4,) * paragraphs
    contents = replace(made_contents(run), answer=answer, answer_chart=made_chart("first", (6.0, height)))
    whole = text_of(write_document(contents, tmp_path / "report.pdf"))
    of_page = text_of(tmp_path / "report.pdf", "-f", str(page), "-l", str(page))
    assert "Figure 1. The first figure A line. Source: scores/remi.json." in of_page
    assert whole.count("The first figure A line.") == 1  # the first figure is not shown again in its section


def test_nine_methods_take_less_than_twenty_seconds(mini: Benchmark, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", MadeRun(mini, samples=12, judges=True)))
    contents = made_contents(run)
    start = time.perf_counter()
    write_document(contents, tmp_path / "report.pdf")
    assert time.perf_counter() - start < 20
