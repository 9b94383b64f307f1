"""How much two texts differ, in words. In scripts without spaces every character counts as a word."""

import re
from collections.abc import Sequence

from benchmark.statistics import is_spaceless

RUN = 5
"""Words of a run by which texts are compared."""


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    found = re.findall(r"\w+", text.casefold())
    return list("".join(found)) if is_spaceless(text) else found


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and replacements of words that make one text the other."""
    distances = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        diagonal, distances[0] = distances[0], row
        for column, right in enumerate(other, start=1):
            kept = diagonal + (left != right)
            diagonal = distances[column]
            distances[column] = min(kept, diagonal + 1, distances[column - 1] + 1)
    return distances[-1]


def share_changed(old: str, new: str) -> float:
    """Return the edit distance between two texts as a share of the longer one's words: 0 for equal ones, at most 1."""
    one, other = words(old), words(new)
    return edit_distance(one, other) / max(len(one), len(other), 1)


def runs(text: str) -> set[tuple[str, ...]]:
    """Return all runs of five words of a text; of a shorter text, all of it."""
    found = words(text)
    return {tuple(found[start : start + RUN]) for start in range(max(len(found) - RUN + 1, 1))}


class SeenTexts:
    """Finds, for a text, the one among those seen with which it shares most."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._sizes: dict[str, int] = {}
        self._holders: dict[tuple[str, ...], list[str]] = {}

    def add(self, name: str, text: str) -> None:
        """See a text."""
        found = runs(text)
        self._sizes[name] = len(found)
        for run in found:
            self._holders.setdefault(run, []).append(name)

    def nearest(self, text: str, apart_from: Sequence[str] = ()) -> tuple[float, str]:
        """Return (share, name) of the nearest text seen: runs in common by runs of the shorter one; (0, "") if none."""
        found = runs(text)
        common: dict[str, int] = {}
        for run in found:
            for name in self._holders.get(run, ()):
                common[name] = common.get(name, 0) + 1
        shares = [(count / min(len(found), self._sizes[name]), name) for name, count in common.items()]
        return max((share for share in shares if share[1] not in apart_from), default=(0.0, ""))
