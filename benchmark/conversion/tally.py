"""What a conversion could not take over, and what it changed: all of it is listed or counted, nothing is silent."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from benchmark.errors import Mistake

NOT_GIVEN = "Not given."
"""What stands in a field of the benchmark for which the data set has no counterpart; the schema allows no empty one."""


@dataclass
class Tally:
    """Kept while a data set is read."""

    not_converted: list[Mistake] = field(default_factory=list)
    """What was not taken over: file and line, and the reason."""
    unread: Counter[str] = field(default_factory=Counter)
    """Fields of the data set without a counterpart -> number of rows that have them."""
    filled: Counter[str] = field(default_factory=Counter)
    """Fields of the benchmark without a counterpart -> number of samples where `NOT_GIVEN` stands."""
    changes: Counter[str] = field(default_factory=Counter)
    """What was done to the texts, in words -> how often."""

    def refuse(self, where: str, reason: str) -> None:
        """Record a row that cannot be converted."""
        self.not_converted.append(Mistake(where, reason))

    def count_unread(self, row: Mapping[str, object], read: Collection[str], prefix: str = "") -> None:
        """Count the fields of a row that are not among those that are read; `prefix` goes before their names."""
        self.unread.update(f"{prefix}{key}" for key in row if key not in read)
