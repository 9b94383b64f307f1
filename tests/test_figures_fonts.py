"""What figures can show of a text: a font for Chinese, Japanese and Korean, code points for the rest, never boxes."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from reports import fonts
from reports.fonts import CJK_PROBE, cjk_font, drawable, figure_families, figure_fonts, text_columns, without_glyphs
from reports.house_style import house_style, write_image

CACHES = (fonts.cjk_font, fonts.figure_fonts, fonts.figure_families)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    for cached in CACHES:
        cached.cache_clear()
    yield
    for cached in CACHES:
        cached.cache_clear()


def test_the_packages_font_is_found_without_importing_it() -> None:
    if importlib.util.find_spec(fonts.CJK_PACKAGE) is None:
        pytest.skip(f"{fonts.CJK_PACKAGE} is not installed")
    path = cjk_font()
    assert path is not None
    assert path.name == fonts.CJK_FILE
    assert without_glyphs(CJK_PROBE, [path]) == ""
    assert figure_families() == ("DejaVu Sans", "Noto Sans CJK TC")


@pytest.mark.usefixtures("no_package")
def test_a_font_of_the_system_is_taken_where_the_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = importlib.util.find_spec(fonts.CJK_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{fonts.CJK_PACKAGE} is not installed")
    bold, regular = tmp_path / "A-Bold.otf", tmp_path / "Some-Regular.otf"
    for path in (bold, regular):
        shutil.copy(Path(spec.submodule_search_locations[0]) / fonts.CJK_FILE, path)
    (tmp_path / "Broken-Regular.otf").write_bytes(b"no font")
    latin = str(figure_fonts()[0])
    found = [latin, str(bold), str(regular), str(tmp_path / "Broken-Regular.otf")]
    cjk_font.cache_clear()
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    assert cjk_font() == regular


@pytest.mark.usefixtures("no_package")
def test_without_any_such_font_characters_are_named_by_their_code_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    assert cjk_font() is None
    assert figure_families() == ("DejaVu Sans",)
    assert drawable("日本 SFT") == "<U+65E5><U+672C> SFT"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SFT", "SFT"),
        ("", ""),
        ("$x^2$ _a", "$x^2$ _a"),
        (" two\n lines\t", "two lines"),
        ("a\u202eb\x00\ud800", "a<U+202E>b<U+0000><U+D800>"),
        ("x" * 28, "x" * 28),
        ("x" * 29, "x" * 27 + "…"),
        ("x" * 100_000, "x" * 27 + "…"),
        ("中" * 15, "中" * 13 + "…"),
        ("\U000f0000" * 30, "<U+F0000><U+F0000><U+F0000>…"),
    ],
)
def test_a_label_is_one_line_of_signs_that_can_be_shown(text: str, shown: str) -> None:
    assert drawable(text) == shown
    assert text_columns(drawable(text)) <= fonts.LONGEST


def test_what_fonts_lack_is_listed_once_and_in_order() -> None:
    own = figure_fonts()[:1]
    assert without_glyphs("漢a 漢b字", own) == "漢字"
    assert without_glyphs("abc é", own) == ""
    assert without_glyphs("ab", []) == "ab"


def test_labels_in_many_scripts_are_drawn_without_a_missing_glyph(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    if cjk_font() is None:
        pytest.skip("no font with Chinese, Japanese and Korean glyphs is installed")
    with house_style():
        figure = Figure(figsize=(2, 2))
        figure.text(0, 0.5, drawable("漢字 かな 한국어 العربية ไทย\u202e", 60))
    write_image(figure, tmp_path, "scripts")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    assert not figure.texts[0].get_parse_math()
