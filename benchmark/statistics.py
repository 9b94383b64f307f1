"""Counts of samples, personas and characters by split, as in the paper's Table 2, and by subset."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.sample import Benchmark, Sample
from benchmark.subsets import SUBSETS

SHIFT_LABELS = {"user": "User shift", "character": "Character shift", "dialogue": "Dialogue shift"}


@dataclass(frozen=True)
class SplitStatistics:
    """One row of Table 2; lengths are means in words split at white space."""

    name: str
    role: str
    samples: int
    user_personas: int
    agent_characters: int
    turns: float
    """Mean number of user queries in a dialogue."""
    response_words: float
    """Mean length of a golden response; where a script has no spaces, characters."""


def split_statistics(benchmark: Benchmark) -> list[SplitStatistics]:
    """Return Table 2: IDTrain, IDTest and the three shifts; splits without samples are left out."""
    groups: list[tuple[str, str, list[Sample]]] = [
        ("IDTrain", "Train", list(benchmark.train)),
        ("IDTest", "Test", list(benchmark.test.get("id", ()))),
    ]
    for shift, label in SHIFT_LABELS.items():
        keys = [subset.key for subset in SUBSETS if subset.shift == shift]
        groups.append((label, "Test", [s for key in keys for s in benchmark.test.get(key, ())]))
    return [_row(name, role, samples) for name, role, samples in groups if samples]


def subset_statistics(benchmark: Benchmark) -> list[SplitStatistics]:
    """Return the same counts for each test subset, in the order of Table 20."""
    return [_row(key, "Test", samples) for key, samples in benchmark.test.items()]


def _row(name: str, role: str, samples: Iterable[Sample]) -> SplitStatistics:
    rows = list(samples)
    return SplitStatistics(
        name=name,
        role=role,
        samples=len(rows),
        user_personas=len({sample.user_persona for sample in rows}),
        agent_characters=len({sample.agent_character for sample in rows}),
        turns=sum(len(sample.turns) + 1 for sample in rows) / len(rows),
        response_words=sum(text_length(sample.golden_response) for sample in rows) / len(rows),
    )


def text_length(text: str) -> int:
    """Return the number of words; for text in a script without spaces, the number of characters."""
    words = text.split()
    characters = sum(len(word) for word in words)
    return characters if is_spaceless(text) else len(words)


def is_spaceless(text: str) -> bool:
    """Tell whether most letters are of a script that puts no spaces between words (Chinese, Japanese)."""
    letters = [char for char in text if char.isalpha()]
    ideographs = [char for char in letters if "\u3040" <= char <= "\u30ff" or "\u4e00" <= char <= "\u9fff"]
    return len(ideographs) * 2 > len(letters)
