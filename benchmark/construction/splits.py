"""Step 4: which in-distribution dialogues are for training and which for test."""

import random
from collections.abc import Sequence
from itertools import combinations

from benchmark.sample import Sample


def draw_test(samples: Sequence[Sample], size: int, turn_level: int, seed: int) -> set[int]:
    """Return the places of the test samples, a seeded draw.

    Turn-level samples join a test dialogue with another of the same people. So that there are enough of them, twice as
    many test samples as are wanted of that kind come from people with several dialogues, one of each; the others are
    drawn from all that is left.
    """
    generator = random.Random(seed)
    places = list(range(len(samples)))
    generator.shuffle(places)
    together = same_people(samples)
    chosen: set[int] = set()
    met: set[tuple[int, ...]] = set()
    for place in places:
        group = tuple(together[place])
        if len(chosen) < min(size, 2 * turn_level) and len(group) > 1 and group not in met:
            chosen.add(place)
            met.add(group)
    rest = [place for place in places if place not in chosen]
    return chosen | set(rest[: size - len(chosen)])


def turn_level_sources(samples: Sequence[Sample], test: set[int]) -> list[tuple[int, int]]:
    """Return pairs of places of dialogues of the same people, one at least in the test, other people first."""
    groups = {tuple(group): group for group in same_people(samples).values()}
    by_group = [[pair for pair in combinations(group, 2) if test & set(pair)] for group in groups.values()]
    longest = max(map(len, by_group), default=0)
    return [pairs[turn] for turn in range(longest) for pairs in by_group if turn < len(pairs)]


def same_people(samples: Sequence[Sample]) -> dict[int, list[int]]:
    """Return for the place of each sample the places of all with its persona and character, itself included."""
    groups: dict[object, list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault((sample.user_persona, sample.agent_character), []).append(place)
    return {place: group for group in groups.values() for place in group}
