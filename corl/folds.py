"""Folds for cross-fitting the estimator: what shares a persona, a character or a source dialogue stays together.

The paper fits its estimator on the splits that it then scores. With folds each sample is scored by an estimator that
was not trained on it: samples are joined into connected components, and these are dealt out so that every fold gets its
share of every subset.
"""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.sample import Sample

LEAST_A_FOLD = 2
"""Samples of a subset that each fold needs: a row's negatives come from its own fold."""


@dataclass(frozen=True)
class Folds:
    """Which fold scores which sample."""

    assignments: dict[str, int]
    """Sample ID -> number of the fold that does not train on it."""
    count: int
    largest_component: int
    """Samples in the largest group that had to stay together."""

    def of(self, sample_id: str) -> int:
        """Return the fold that scores a sample; one that is unknown is in no fold's training data and gets fold 0."""
        return self.assignments.get(sample_id, 0)

    def held_out(self, fold: int) -> set[str]:
        """Return the samples that a fold must not be trained on."""
        return {sample_id for sample_id, number in self.assignments.items() if number == fold}


def make_folds(subsets: Mapping[str, Sequence[Sample]], count: int, seed: int) -> Folds:
    """Deal the samples of all subsets out to `count` folds.

    Components go one by one, the largest first, each to the fold in which it leaves the subsets most evenly spread;
    among equal folds and components of one size chance decides, by the seed.

    Raises:
        ValueError: `count` is below 2.
        UserMistakes: a subset has fewer samples than folds need, or what hangs together leaves a fold with too few; all
            such subsets are listed.
    """
    if count < 2:
        raise ValueError(f"cross-fitting takes 2 folds or more, not {count}")
    places = {s.sample_id: key for key, samples in subsets.items() for s in samples}
    components = connected_components([sample for samples in subsets.values() for sample in samples])
    rng = random.Random(seed)
    rng.shuffle(components)
    components.sort(key=len, reverse=True)
    sizes = [Counter[str]() for _ in range(count)]
    assignments: dict[str, int] = {}
    for component in components:
        added = Counter(places[sample_id] for sample_id in component)
        order = rng.sample(range(count), count)
        chosen = min(
            order, key=lambda fold: sum((sizes[fold][key] + n) ** 2 - sizes[fold][key] ** 2 for key, n in added.items())
        )
        sizes[chosen].update(added)
        assignments |= dict.fromkeys(component, chosen)
    _check(subsets, sizes, count, len(components[0]))
    return Folds({sample_id: assignments[sample_id] for sample_id in places}, count, len(components[0]))


def connected_components(samples: Sequence[Sample]) -> list[list[str]]:
    """Return the IDs of the samples, those together that share a persona, a character or a source dialogue."""
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for sample in samples:
        own = root(("sample", sample.sample_id))
        for node in (
            ("persona", sample.user_persona),
            ("character", sample.agent_character),
            *(("sample", source) for source in sample.source_sample_ids),
        ):
            parent[root(node)] = own = root(own)
    groups: dict[Hashable, list[str]] = {}
    for sample in samples:
        groups.setdefault(root(("sample", sample.sample_id)), []).append(sample.sample_id)
    return list(groups.values())


def _check(subsets: Mapping[str, Sequence[Sample]], sizes: Sequence[Counter[str]], count: int, largest: int) -> None:
    least = {key: min(fold[key] for fold in sizes) for key in subsets}
    mistakes = [
        Mistake(
            f"folds: {key}",
            f"of its {len(subsets[key])} samples one of {count} folds would get {size}, and needs {LEAST_A_FOLD} "
            f"(up to {largest} samples share personas, characters or dialogues and stay together)",
            "take fewer folds, more samples, or the paper's setting (folds: null)",
        )
        for key, size in least.items()
        if size < LEAST_A_FOLD
    ]
    if mistakes:
        raise UserMistakes(mistakes)
