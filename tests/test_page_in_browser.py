"""The page in a real browser: what is listed, found, sorted, opened by keys and addresses, and what text cannot do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from made_run import MadeRun, make_run
from page_helpers import HOSTILE, made_contents, remi_table
from page_window import IN_BROWSER, Keys, Window, browser

from benchmark import AgentCharacter, Benchmark
from reports.page.write import write_page
from reports.run_data import RunData, read_run
from reports.table import words

pytestmark = IN_BROWSER
HOSTILE_ID = "IDTest-02"
JAPANESE = "OOD1Test-japanese-01"
FOUND_WORD = "zeppelin"
OTHERS = "OOD2Test-film-02"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield Window(driver)


@pytest.fixture
def window(opened: Window) -> Iterator[Window]:
    """Return the browser; at the end nothing was complained of."""
    opened.complaints()
    yield opened
    assert opened.complaints() == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> RunData:
    responses = {HOSTILE_ID: HOSTILE.replace("\ud83d", ""), OTHERS: f"A {FOUND_WORD.upper()} over the sea."}
    folder = tmp_path_factory.mktemp("run")
    return read_run(make_run(folder, MadeRun(mini, judges=True, responses=responses)))


@pytest.fixture(scope="module")
def page(run: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(made_contents(run), tmp_path_factory.mktemp("page") / "page.html")


def test_the_report_opens_with_its_picture_drawn(window: Window, page: Path) -> None:
    window.open(page)
    assert window.one("h1").is_displayed()
    assert not window.one("#list").is_displayed()
    script = "return [...document.images].every((one) => one.complete && one.naturalWidth > 100)"
    assert window.driver.execute_script(script)


def test_a_table_is_sorted_by_its_numbers_and_back(window: Window, page: Path, run: RunData) -> None:
    window.open(page)
    values = {row[0].text: row[3].value for row in remi_table(run).rows}
    down = sorted(values, key=lambda label: -values[label])
    head = ".table thead tr.heads th:nth-child(4)"
    names = ".table tbody th"
    for expected, order in [(down, "descending"), (down[::-1], "ascending"), (list(values), None)]:
        window.one(f"{head} button").click()
        assert window.texts(names) == expected
        assert window.one(head).get_attribute("aria-sort") == order


def test_a_table_is_sorted_by_keyboard_with_missing_values_last(window: Window, run: RunData, tmp_path: Path) -> None:
    table = remi_table(run)
    without = tuple(replace(cell, value=None) for cell in table.rows[4])
    rows = (*table.rows[:4], (words("AA"), *without[1:]), *table.rows[5:])
    contents = made_contents(run, sections=(), settings=(replace(table, rows=rows),))
    window.open(write_page(contents, tmp_path / "page.html"))
    window.driver.execute_script("document.querySelector('.table th:nth-child(3) button').focus()")
    for _ in range(2):
        window.press(Keys.ENTER)
        assert window.texts(".table tbody th")[-1] == "AA"
    window.driver.execute_script("document.querySelector('.table th button').focus()")
    window.press(Keys.SPACE)
    assert window.texts(".table tbody th")[0] == "AA"
    assert window.texts(".table [aria-sort]") == ["Method"]


def test_an_address_opens_a_japanese_sample(window: Window, page: Path, run: RunData) -> None:
    window.open(page, f"#{JAPANESE}")
    window.wait_for_sample(JAPANESE)
    sample = next(row for row in run.samples() if row["sample_id"] == JAPANESE)
    assert window.one("#sample .golden .text").text == sample["golden_response"]
    assert window.one("#sample .golden .text").get_attribute("lang") == "ja"
    assert window.texts(".speech .text")[-1] == sample["last_query"]
    assert window.texts("#sample .card h3")[1:] == [run.label(key) for key in run.methods]
    shares = [run.contributions(key)[JAPANESE] for key in run.methods]
    shown = [text.replace("−", "-").removesuffix(" nats a token") for text in window.texts("#sample .contribution")]
    assert [float(text) for text in shown] == pytest.approx(shares, abs=6e-5)
    window.driver.execute_script("location.hash = 'OOD1Test-korean-02'")
    window.wait_for_sample("OOD1Test-korean-02")


@pytest.mark.parametrize(("address", "said"), [("#no%20such", "no such"), ("#%3Cb%3Ex", "<b>x"), ("#100%", "100%")])
def test_an_address_that_names_nothing_is_said(window: Window, page: Path, address: str, said: str) -> None:
    window.open(page, address)
    assert f"no part called “{said}”" in " ".join(window.texts("#notices .notice"))
    assert window.texts("#sample h2") == ["IDTest-01"]


def test_the_list_is_filtered_by_subset_and_sorted_by_contribution(window: Window, page: Path, run: RunData) -> None:
    window.open(page, "#view:samples")
    window.choose("subset", "Japanese (U.J.): 3")
    assert window.texts("#status") == ["3 of 36 samples"]
    key = run.methods[2]
    window.choose("sorting", f"contribution to R-EMI of {run.label(key)}")
    shares = run.contributions(key)
    wanted = sorted(run.manifest["test_samples"]["japanese"], key=lambda sample_id: -shares[sample_id])
    assert window.texts("#list .id") == wanted
    window.choose("direction", "lowest")
    assert window.texts("#list .id") == wanted[::-1]


def test_methods_that_are_not_chosen_are_neither_shown_nor_searched(window: Window, page: Path) -> None:
    window.open(page, f"#{OTHERS}")
    window.wait_for_sample(OTHERS)
    window.one("#none").click()
    assert window.texts("#sample .card h3") == ["Golden response"]
    window.search(FOUND_WORD)
    assert window.texts("#status") == ["0 of 36 samples found"]
    window.one("#methods input[value='1']").click()
    window.wait(lambda: window.texts("#status") == ["1 of 36 samples found"])
    assert window.texts("#sample .card h3") == ["Golden response", "SFT"]


def test_search_finds_a_word_that_stands_in_a_response_alone(window: Window, page: Path) -> None:
    window.open(page, "#view:samples")
    window.search(FOUND_WORD)
    assert window.texts("#list .id") == [OTHERS]
    window.one("#list .row").click()
    window.wait_for_sample(OTHERS)
    assert window.texts("#sample mark") == [FOUND_WORD.upper()] * 9
    window.search("三万円 も".replace(" ", ""))
    assert window.texts("#list .id") == [JAPANESE]
    window.search("over the  [sea")
    assert window.texts("#status") == ["0 of 36 samples found"]
    window.one("#query").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE)
    window.wait(lambda: window.texts("#status") == ["36 samples"])


def test_what_is_found_in_reasoning_is_open(window: Window, page: Path) -> None:
    window.open(page, "#view:samples")
    window.wait_for_sample("IDTest-01")
    assert not window.driver.execute_script("return document.querySelector('#sample details[open]')")
    window.search("what does the user want")
    script = "return document.querySelectorAll('#sample .card details[open]').length"
    window.wait(lambda: window.driver.execute_script(script) == 3)


@pytest.mark.parametrize("how", ["harmless", "searched"])
def test_a_response_that_is_markup_does_nothing(window: Window, page: Path, how: str) -> None:
    window.open(page, f"#{HOSTILE_ID}")
    window.wait_for_sample(HOSTILE_ID)
    if how == "searched":
        window.search("onerror")
        window.wait(lambda: window.texts("#sample mark"))
    assert window.texts("#sample .card:nth-child(2) .text") == [HOSTILE.replace("\ud83d", "")]
    assert window.driver.execute_script("return window.broken ?? null") is None
    assert window.driver.execute_script("return document.querySelectorAll('#sample img, #sample script').length") == 0


def test_hostile_names_everywhere_do_nothing(window: Window, tmp_path: Path, mini: Benchmark) -> None:
    whole = HOSTILE.replace("\ud83d", "")
    character = AgentCharacter(*[whole] * 6)
    hostile = replace(mini.test["id"][0], sample_id=whole, agent_character=character, last_query=whole)
    benchmark = replace(mini, test={"id": (hostile,)})
    made = make_run(
        tmp_path / "run", MadeRun(benchmark, methods=("sft",), subsets=("id",), base_models=("a", whole[:60]))
    )
    run = read_run(made)
    contents = made_contents(run, title=HOSTILE, answer=(HOSTILE,), facts=((HOSTILE, HOSTILE),), command=HOSTILE)
    window.open(write_page(contents, tmp_path / "page.html"), "#view:samples")
    window.wait_for_sample(whole)
    window.press(Keys.ESCAPE)
    assert window.driver.execute_script("return window.broken ?? null") is None
    assert window.one("body").is_displayed()
    window.driver.refresh()
    window.wait_for_sample(whole)


def test_the_policy_stops_what_would_get_in(window: Window, page: Path) -> None:
    window.open(page)
    window.driver.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"x:\" onerror=\"window.broken = 1\">');"
        "const script = document.createElement('script'); script.textContent = 'window.broken = 2';"
        "document.body.append(script)"
    )
    fetched = "fetch('data:,x').then(() => arguments[0]('let in'), () => arguments[0]('refused'))"
    assert window.driver.execute_async_script(fetched) == "refused"
    assert window.driver.execute_script("return window.broken ?? null") is None
    assert sum("Content Security Policy" in complaint for complaint in window.complaints()) >= 3


def test_keys_move_between_samples_and_open_what_they_should(window: Window, page: Path, run: RunData) -> None:
    tested = [sample_id for ids in run.manifest["test_samples"].values() for sample_id in ids]
    window.open(page, "#view:samples")
    window.wait_for_sample(tested[0])
    for keys, place in [("jjj", 3), ("k", 2), ("kkkk", 0)]:
        window.press(*keys)
        window.wait_for_sample(tested[place])
    assert window.driver.execute_script("return location.hash") == f"#{tested[0]}"
    window.driver.execute_script("document.getElementById('list').focus()")
    for key, place in [(Keys.ARROW_DOWN, 1), (Keys.END, 35), (Keys.ARROW_UP, 34), (Keys.HOME, 0)]:
        window.press(key)
        window.wait_for_sample(tested[place])
    assert window.texts("#list [aria-selected='true'] .id") == [tested[0]]
    window.press("r")
    assert window.driver.execute_script("return document.querySelectorAll('#sample details[open]').length") == 4
    window.press("?")
    assert window.one("#help").is_displayed()
    window.press("j", Keys.ESCAPE)
    assert not window.one("#help").is_displayed()
    window.press("/", "j")
    assert window.driver.execute_script("return document.activeElement.id") == "query"
    assert window.one("#query").get_attribute("value") == "j"
    assert window.texts("#sample h2") == [tested[0]]


def test_keys_of_one_letter_can_be_switched_off(window: Window, page: Path) -> None:
    window.open(page, "#view:samples")
    window.wait_for_sample("IDTest-01")
    window.one("#keys").click()
    window.one("#single").click()
    window.press(Keys.ESCAPE)
    window.driver.execute_script("document.activeElement.blur()")
    window.press("j")
    assert window.texts("#sample h2") == ["IDTest-01"]


def test_dark_is_chosen_and_kept(window: Window, page: Path) -> None:
    window.open(page)
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = window.driver.execute_script(colour)
    window.one("#dark").click()
    assert window.one("#dark").get_attribute("aria-pressed") == "true"
    assert window.driver.execute_script(colour) != before

    def kept() -> bool:
        window.driver.refresh()
        return bool(window.driver.execute_script(colour) != before)

    window.wait(kept)  # a busy browser may load the page again before it has put the choice away
    window.one("#dark").click()
    assert window.driver.execute_script(colour) == before


@pytest.mark.parametrize("address", ["", f"#{JAPANESE}", "#table:remi"])
@pytest.mark.parametrize("width", [400, 800, 1600])
def test_no_width_needs_scrolling_to_the_side(window: Window, page: Path, width: int, address: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.open(page, address)
    if address == f"#{JAPANESE}":
        window.wait_for_sample(JAPANESE)
        assert window.one("#sample h2").is_displayed()
    assert window.driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_browser_that_cannot_unpack_says_so(window: Window, page: Path) -> None:
    script = {"source": "delete window.DecompressionStream"}
    added = window.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    window.open(page, "#view:samples")
    window.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert "DecompressionStream" in window.texts("#notices .notice")[0]
    assert window.texts("#list .id")[0] == "IDTest-01"
