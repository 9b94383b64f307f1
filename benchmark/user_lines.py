"""JSON lines that users write: every faulty line is recorded with its number, the others are read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes

HALF_CHARACTER = "holds half of a character (a lone surrogate)"
"""What is said of a text for which `has_half_character` is true."""
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def read_user_lines(path: Path, mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of each line of a JSON-lines file, recording lines that are no whole JSON object.

    Lines end at a line feed alone; empty ones are passed over.

    Raises:
        UserMistakes: the file cannot be read as UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read: {error}"
        raise UserMistakes([Mistake(str(path), problem, "name a JSON-lines file in UTF-8")]) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            mistakes.append(Mistake(where, f"is not valid JSON: {error}"))
            continue
        if not isinstance(content, dict):
            mistakes.append(Mistake(where, "is not a JSON object", "write {...} a line"))
        elif has_half_character(json.dumps(content, ensure_ascii=False)):
            mistakes.append(Mistake(where, HALF_CHARACTER, "cut texts between characters"))
        else:
            yield number, content


def has_half_character(text: str) -> bool:
    """Tell whether a text holds half of a character, which JSON can spell and UTF-8 cannot."""
    return _HALF_CHARACTER.search(text) is not None
