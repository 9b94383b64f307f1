"""Texts are typeset as they are, or say what was cut and what cannot be shown."""

from pathlib import Path

import pytest

from reports.document.texts import breakable, code, glyph_note, language, one_line, prose, typesettable
from reports.fonts import figure_fonts

FONTS = figure_fonts()


def test_a_long_text_is_cut_and_says_so() -> None:
    assert prose("ab " * 50_000, 5) == "ab ab… (149,995 more characters)"
    assert prose("abcde", 5) == "abcde"


@pytest.mark.parametrize("end", ["\r\n", "\r", "\u2028", "\u2029", "\x85", "\v", "\f", "\n"])
def test_every_kind_of_line_end_is_one(end: str) -> None:
    assert prose(f"one{end}two") == "one\ntwo"
    assert one_line(f"one{end}two", 20) == "one two"


def test_a_long_word_breaks_behind_its_signs() -> None:
    assert breakable("config.training.batch_size", 10) == "config.\u200btraining.\u200bbatch_\u200bsize"
    assert breakable("short_word", 10) == "short_word"


def test_a_word_without_signs_breaks_every_few_characters() -> None:
    assert breakable("a" * 20, 19) == "\u200b".join(["a" * 8, "a" * 8, "a" * 4])
    assert breakable("日" * 50, 10) == "日" * 50


def test_code_can_be_copied() -> None:
    command = "rpm-methods compare demo --out /a/path/of/many/folders/that/is/longer/than/a/word/of/prose"
    assert code(command) == command
    assert "\u200b" in code("x" * 91)


def test_signs_that_are_no_text_stand_as_code_points() -> None:
    data = {"texts": ["a\x00b\x1b\ud800", {"more": "\u202eright\u2066"}], "number": 1, "none": None, "kind": "text"}
    shown, lacking = typesettable(data, FONTS)
    assert shown == {
        "texts": ["a<U+0000>b<U+001B><U+D800>", {"more": "<U+202E>right<U+2066>"}],
        "number": 1,
        "none": None,
        "kind": "text",
    }
    assert lacking == ""


def test_characters_without_a_glyph_are_named_once_and_in_order() -> None:
    shown, lacking = typesettable(["ไทย", "ไ é 日 한 あ"], FONTS)
    assert shown[1] == "<U+0E44> é 日 한 あ"
    assert lacking == "ทยไ"
    note = glyph_note(lacking)
    assert "<U+0E17> THAI CHARACTER THO THAHAN, <U+0E22> THAI CHARACTER YO YAK, <U+0E44>" in note


def test_invisible_signs_need_no_glyph() -> None:
    text = "a\u200bb\u200dc\u00add\u200fe\ufe0f"
    assert typesettable([text], FONTS) == ([text], "")


def test_without_a_font_every_character_is_lacking() -> None:
    assert typesettable("ab", [Path("/no/font")]) == ("<U+0061><U+0062>", "ab")


def test_many_characters_without_a_glyph_are_counted() -> None:
    lacking = "".join(map(chr, range(0x13000, 0x13000 + 45)))
    note = glyph_note(lacking)
    assert note.count("EGYPTIAN") == 40
    assert note.endswith("and 5 more.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("한국어 漢字", "ko"), ("かな 漢字", "ja"), ("汉字 only", "zh"), ("Deutsch", "en"), ("", "en")],
)
def test_a_text_s_script_tells_the_shapes_of_its_characters(text: str, expected: str) -> None:
    assert language(text) == expected
