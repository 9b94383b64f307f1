"""What a judge's answer says: read from the JSON object at its very end, and from nothing else.

The object counts only with the code of its question, which no judged text can know. So a verdict that stands in a
response, or that a judge repeats from one, is never taken for the judge's own: at worst the answer cannot be read.
Faults are described without a word of the answer, since they are shown to judges and in reports.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Order = Literal["response_first", "golden_first", "alone"]
"""Which answer a judge is shown as A; "alone" where it sees one answer only."""
DIMENSIONS = ("character", "user", "dialogue", "language", "interest")
LOWEST, HIGHEST = 1, 10
"""Points of a dimension."""
_PREFERENCES = {"a": 1.0, "tie": 0.5, "b": 0.0}
"""What the answer shown first gets."""


class UnreadableVerdict(ValueError):
    """A judge's answer without a verdict; the message says what is wrong with its end."""


@dataclass(frozen=True)
class Verdict:
    """What one answer of a judge gives a response."""

    value: float
    """WinRate: 1 where the response is better, 0.5 for a tie, 0 where the golden one is. PointScore: mean points."""
    points: Mapping[str, float] = field(default_factory=dict)
    """Points of each dimension; empty for WinRate."""


def read_preference(text: str, code: str, order: Order) -> Verdict:
    """Read which of two answers is better.

    Args:
        text: the judge's whole answer.
        code: of the question.
        order: which answer was shown as A.

    Raises:
        UnreadableVerdict: the end of the answer is no verdict on this question.
    """
    better = closing_object(text, code, ["better"])["better"]
    first = _PREFERENCES.get(better.strip().lower()) if isinstance(better, str) else None
    if first is None:
        raise UnreadableVerdict('"better" is none of A, B and tie')
    return Verdict(first if order == "response_first" else 1.0 - first)


def read_points(text: str, code: str) -> Verdict:
    """Read the points of all dimensions; their mean is the value.

    Raises:
        UnreadableVerdict: the end of the answer does not hold them all, as whole numbers from 1 to 10.
    """
    found = closing_object(text, code, DIMENSIONS)
    points: dict[str, float] = {}
    for name in DIMENSIONS:
        given = found[name]
        if type(given) is not int or not LOWEST <= given <= HIGHEST:
            raise UnreadableVerdict(f'"{name}" is no whole number from {LOWEST} to {HIGHEST}')
        points[name] = given
    return Verdict(sum(points.values()) / len(points), points)


def closing_object(text: str, code: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the JSON object that ends an answer: it begins with the last line that opens with a brace.

    A closing code fence may stand behind it, nothing else. It must hold the code and exactly these keys.

    Raises:
        UnreadableVerdict: there is none, or it is not this question's.
    """
    lines = text.strip().removesuffix("```").rstrip().split("\n")
    starts = [place for place, line in enumerate(lines) if line.lstrip().startswith("{")]
    if not starts:
        raise UnreadableVerdict("no line begins a JSON object")
    try:
        found = json.loads("\n".join(lines[starts[-1] :]), object_pairs_hook=_without_repetition)
    except UnreadableVerdict:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableVerdict("the answer does not end with a JSON object") from error
    if found.get("code") != code:
        raise UnreadableVerdict("the JSON object at its end lacks the code")
    if set(found) != {"code", *keys}:
        raise UnreadableVerdict("the JSON object at its end does not hold exactly the keys asked for")
    return dict(found)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise UnreadableVerdict("the JSON object at its end holds a key twice")
    return dict(pairs)
