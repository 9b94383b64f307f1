"""Which fonts figures and documents have, and what of a text these can show.

A font with Chinese, Japanese and Korean glyphs is found without importing the package that it comes in.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from matplotlib import font_manager, get_data_path
from matplotlib.ft2font import FT2Font

from reports.table import code_point

CJK_PACKAGE, CJK_FILE = "cvttf_NotoSansCJK_Regular", "NotoSansCJKtc-Regular.otf"
CJK_PROBE = "漢語简体あア한글"
"""A font of the system is taken for one of these scripts where it has all of these."""
LONGEST = 28
"""Columns of a label before it is cut; a Chinese character takes two."""


@cache
def cjk_font() -> Path | None:
    """Return a font file with Chinese, Japanese and Korean glyphs; None where there is none.

    The package's comes first, then the system's, regular weights before others and then by path.
    """
    spec = find_spec(CJK_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / CJK_FILE).is_file():
            return Path(folder) / CJK_FILE
    found = sorted(map(Path, font_manager.findSystemFonts()), key=lambda path: ("Regular" not in path.name, path))
    return next((path for path in found if not without_glyphs(CJK_PROBE, [path])), None)


@cache
def figure_fonts() -> tuple[Path, ...]:
    """Return the fonts of figures: matplotlib's own and, for what that lacks, one for Chinese, Japanese and Korean."""
    own = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    cjk = cjk_font()
    return (own,) if cjk is None else (own, cjk)


@cache
def figure_families() -> tuple[str, ...]:
    """Make the fonts of figures known to matplotlib and return their families, in the order they are tried."""
    for path in figure_fonts():
        font_manager.fontManager.addfont(path)
    return tuple(font_manager.FontProperties(fname=path).get_name() for path in figure_fonts())


def without_glyphs(text: str, fonts: Sequence[Path]) -> str:
    """Return the characters of a text, each once and in order, that none of the fonts has.

    White space is left out. A file that is no readable font has no characters.
    """
    charmaps = [_charmap(path) for path in fonts]
    asked = dict.fromkeys("".join(text.split()))
    return "".join(sign for sign in asked if not any(ord(sign) in charmap for charmap in charmaps))


def drawable(text: str, longest: int = LONGEST) -> str:
    """Return one line that the figures' fonts can show.

    A character without a glyph or a shape of its own is named by its code point, as in "<U+202E>"; what is longer than
    that many columns ends in "…".
    """
    pieces = list(_pieces(" ".join(text[: 8 * longest].split())))
    ends = list(accumulate(text_columns(piece) for piece in pieces))
    if len(text) <= 8 * longest and (not ends or ends[-1] <= longest):
        return "".join(pieces)
    return "".join(piece for piece, end in zip(pieces, ends, strict=True) if end < longest).rstrip() + "…"


def text_columns(text: str) -> int:
    """Return how wide a text is: two for a Chinese, Japanese or Korean character, one for any other."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _pieces(text: str) -> Iterator[str]:
    lacking = set(without_glyphs(text, figure_fonts()))
    for sign in text:
        yield sign if sign.isprintable() and sign not in lacking else code_point(sign)


@cache
def _charmap(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, OSError):
        return frozenset()
