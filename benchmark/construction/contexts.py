"""Which context seed a dialogue is made from: for each person in an order of its own, and none twice."""

import random
from collections.abc import Mapping

from benchmark.seeds import derive_seed


class ContextSeeds:
    """Hands out context seeds by person."""

    def __init__(self, contexts: Mapping[str, str], seed: int) -> None:
        """Name -> text of all seeds."""
        self.texts = contexts
        self._seed = seed
        self._left: dict[str, list[str]] = {}

    def take(self, person: str) -> str | None:
        """Return the name of a seed that this person has not had; None when there is none left."""
        if person not in self._left:
            order = sorted(self.texts)
            random.Random(derive_seed(self._seed, "contexts", person)).shuffle(order)
            self._left[person] = order
        return self._left[person].pop() if self._left[person] else None
