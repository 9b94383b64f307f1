"""How much of a golden response stands word for word in a reasoning.

A reasoning generator never sees the golden response when likelihoods are estimated. In training it is rewarded for what
makes that response likely, and a teacher has seen it: reasoning that repeats the response would raise the reward
without telling anything of the input. The paper does not look; here it is measured and drawn with the rewards.
"""

import re
from collections import Counter

from benchmark.statistics import is_spaceless

WORDS = 4
"""Length of the sequences that are compared, in words; in scripts without spaces, twice as many characters."""

_WORD = re.compile(r"\w+")


def copied_share(reasoning: str, golden: str, *, words: int = WORDS) -> float:
    """Return the share of the golden response's word sequences that stand in the reasoning, 0 .. 1.

    A sequence counts as often as it stands in the response, at most as often as in the reasoning (the clipped n-gram
    precision of Papineni et al. 2002, with the reasoning as the reference). Case and punctuation are passed over. A
    response shorter than a sequence is compared whole.
    """
    wanted, size = _units(golden, words)
    size = min(size, len(wanted))
    if size == 0:
        return 0.0
    sequences, there = _sequences(wanted, size), _sequences(_units(reasoning, words, like=golden)[0], size)
    return sum(min(count, there[sequence]) for sequence, count in sequences.items()) / sequences.total()


def _units(text: str, words: int, *, like: str = "") -> tuple[list[str], int]:
    """Return the words or characters of a text, by its own script or that of another, and the sequence length."""
    found = _WORD.findall(text.casefold())
    return (list("".join(found)), 2 * words) if is_spaceless(like or text) else (found, words)


def _sequences(units: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(units[start : start + size]) for start in range(len(units) - size + 1))
