"""A JSON file of others, with the line on which each of its elements begins, so that faults can be found by eye.

Python's decoder keeps no positions. The file is decoded as usual, and the wanted lists are then walked once more,
element by element, with the same decoder.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes

Level = str | None
"""One step into the file: a key of an object, or None for every element of a list."""
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class JsonSource:
    """A decoded file and the places of its elements."""

    path: Path
    content: Any
    lines: Mapping[tuple[int, ...], int]
    """Indices into the lists that were walked, outermost first -> line."""

    def where(self, *indices: int) -> str:
        """Return "file:line" of an element; of the nearest list element around it where it has no line of its own."""
        for length in range(len(indices), 0, -1):
            if indices[:length] in self.lines:
                return f"{self.path}:{self.lines[indices[:length]]}"
        return str(self.path)


def read_json_source(path: Path, *ways: tuple[Level, ...]) -> JsonSource:
    """Read a JSON file.

    Args:
        path: the file, in UTF-8.
        ways: how to go to the elements whose lines are wanted: ("plots", None) are the elements of the list that the
            key "plots" of the file's object holds. A way that the file does not have gives no lines.

    Raises:
        UserMistakes: the file cannot be read, with the line where it is not valid.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserMistakes([Mistake(str(path), f"cannot be read: {error}", "name a JSON file in UTF-8")]) from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"is not valid JSON: {error.msg} (column {error.colno})"
        raise UserMistakes([Mistake(f"{path}:{error.lineno}", problem)]) from error
    except RecursionError as error:
        raise UserMistakes([Mistake(str(path), "is nested too deeply to be read")]) from error
    line_ends = [match.start() for match in re.finditer("\n", text)]
    start = _after_space(text, 0)
    found = (element for way in ways for element in _elements(text, start, way, ()))
    return JsonSource(path, content, {indices: bisect_right(line_ends, offset) + 1 for indices, offset in found})


def _elements(
    text: str, start: int, way: tuple[Level, ...], indices: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield indices and offset of each list element along a way through the value that begins at `start`."""
    if not way:
        return
    step, rest = way[0], way[1:]
    if step is None and text[start] == "[":
        for number, offset in enumerate(_items(text, start)):
            yield (*indices, number), offset
            yield from _elements(text, offset, rest, (*indices, number))
    elif step is not None and text[start] == "{":
        members = dict(_members(text, start))
        if step in members:
            yield from _elements(text, members[step], rest, indices)


def _items(text: str, start: int) -> Iterator[int]:
    """Yield the offset of each element of the list that begins at `start`."""
    position = _after_space(text, start + 1)
    while text[position] != "]":
        yield position
        position = _behind_value(text, position)


def _members(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Yield each key of the object that begins at `start` with the offset of its value."""
    position = _after_space(text, start + 1)
    while text[position] != "}":
        key, colon = _DECODER.raw_decode(text, position)
        position = _after_space(text, _after_space(text, colon) + 1)
        yield key, position
        position = _behind_value(text, position)


def _behind_value(text: str, start: int) -> int:
    """Return where the next element begins or the end of the list or object stands."""
    end = _after_space(text, _DECODER.raw_decode(text, start)[1])
    return _after_space(text, end + 1) if text[end] == "," else end


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()
