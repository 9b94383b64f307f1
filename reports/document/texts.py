"""Texts of a run made fit for typesetting: every string stays text, and what cannot be shown is named instead.

Signs that are no text (control characters, halves of pairs, those that turn the direction of what follows) and those
without a glyph in the report's fonts stand as their code points, as in "<U+202E>".
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reports.fonts import without_glyphs
from reports.table import code_point, cut

MOST_NAMED = 40
"""Characters without a glyph that are listed one by one."""
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_BETWEEN_SIGNS = re.compile(r"[^_/.\-]+[_/.\-]?|[_/.\-]")
_PIECE = 8
"""Characters of a long word between places where a line may break."""
_LONG_WORD, _LONG_WORD_OF_CODE = 40, 90
_HANGUL, _KANA, _HAN = (re.compile(f"[{span}]") for span in ("\uac00-\ud7a3", "\u3041-\u30ff", "\u4e00-\u9fff"))


def prose(text: str, most: int = 2_500) -> str:
    """Return a text with its lines, cut where it is longer than `most` characters, which it then says."""
    return breakable(_LINE_ENDS.sub("\n", cut(text, most)))


def one_line(text: str, most: int, *, longest_word: int = _LONG_WORD) -> str:
    """Return the same in one line; a word longer than that many characters may break."""
    return breakable(" ".join(cut(text, most).split()), longest_word)


def code(text: str, most: int = 2_500) -> str:
    """Return code in which only words longer than a line may break, so that others can be copied."""
    return breakable(cut(text, most), _LONG_WORD_OF_CODE)


def breakable(text: str, longest_word: int = _LONG_WORD) -> str:
    """Return a text whose long words may break, by zero-width spaces behind signs such as "_" and "/".

    Where there are none for too long, they stand every few characters. Chinese, Japanese and Korean break anywhere and
    stay as they are.
    """
    long_word = re.compile(rf"[!-\u2e7f]{{{longest_word + 1},}}")
    return long_word.sub(lambda found: "\u200b".join(_pieces(found[0], longest_word)), text)


def typesettable(data: Any, fonts: Sequence[Path]) -> tuple[Any, str]:  # noqa: ANN401 - any plain data
    """Put code points in place of signs that are no text and of characters that no font has.

    Returns:
        The data, and the characters without a glyph, each once, in the order of their code points.
    """
    data = _map_strings(data, lambda text: _NO_TEXT.sub(lambda sign: code_point(sign[0]), text))
    used = "".join(sorted(set().union(*map(set, _strings(data)))))
    lacking = "".join(sign for sign in without_glyphs(used, fonts) if not _is_invisible(sign))
    names = {ord(sign): code_point(sign) for sign in lacking}
    return _map_strings(data, lambda text: text.translate(names)), lacking


def glyph_note(lacking: str) -> str:
    """Say which characters stand as code points for want of a glyph."""
    listed = [f"{code_point(sign)} {unicodedata.name(sign, 'without a name')}" for sign in lacking[:MOST_NAMED]]
    more = f" and {len(lacking) - MOST_NAMED:,} more" if len(lacking) > MOST_NAMED else ""
    return f"No font of this report has these characters; they stand as code points: {', '.join(listed)}{more}."


def language(text: str) -> str:
    """Return the language whose shapes a text's characters are to have, by its script alone; "en" for other scripts."""
    if _HANGUL.search(text):
        return "ko"
    if _KANA.search(text):
        return "ja"
    return "zh" if _HAN.search(text) else "en"


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - any plain data
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_strings(part, change) for key, part in value.items()}
    return [_map_strings(part, change) for part in value] if isinstance(value, list | tuple) else value


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _is_invisible(sign: str) -> bool:
    """Tell signs that need no glyph: joiners, direction marks, soft hyphens, places to break, variation selectors."""
    return unicodedata.category(sign) == "Cf" or 0xFE00 <= ord(sign) <= 0xFE0F


def _pieces(word: str, longest_word: int) -> Iterator[str]:
    for part in _BETWEEN_SIGNS.findall(word):
        step = _PIECE if len(part) > longest_word else len(part)
        yield from (part[start : start + step] for start in range(0, len(part), step))
