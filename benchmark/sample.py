"""The rows of a benchmark as frozen data: characters, turns, samples, and the benchmark that holds them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from benchmark.subsets import SUBSET_KEYS, TRAIN_SPLIT


@dataclass(frozen=True)
class AgentCharacter:
    """The six fields of an agent character, named as in RPGBench."""

    character_name: str
    character_domain: str
    character_source: str
    basic_character_information: str
    character_background: str
    character_personality: str


@dataclass(frozen=True)
class Turn:
    """A user query with the agent's response to it."""

    user_query: str
    agent_response: str


@dataclass(frozen=True)
class Sample:
    """One dialogue to be continued: x = (persona, character, context) and the golden response y."""

    sample_id: str
    split: str
    subset: str
    """Subset key; training samples carry "id"."""
    user_persona: str
    agent_character: AgentCharacter
    turns: tuple[Turn, ...]
    """The turns before the last query."""
    last_query: str
    golden_response: str
    source_sample_ids: tuple[str, ...] = ()
    """The in-distribution dialogues that a composed dialogue was made from."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of the sample's whole content: equal exactly when the samples are."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Benchmark:
    """Training samples and the test samples of each subset, in file order."""

    name: str
    train: tuple[Sample, ...]
    test: Mapping[str, tuple[Sample, ...]]
    """Subset key -> samples; only subsets that the file holds, in the order of Table 20."""
    unused_fields: Mapping[str, int] = field(default_factory=dict)
    """Fields of the file that nothing reads -> number of rows that have them."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the training samples, then the test samples in the order of Table 20."""
        yield from self.train
        for samples in self.test.values():
            yield from samples

    @property
    def content_hash(self) -> str:
        """SHA-256 over the contents of all samples in order."""
        joined = "".join(sample.content_hash for sample in self)
        return hashlib.sha256(joined.encode()).hexdigest()


def make_benchmark(name: str, samples: list[Sample], unused_fields: Mapping[str, int]) -> Benchmark:
    """Group samples into the training split and the twelve subsets."""
    tests = [sample for sample in samples if sample.split != TRAIN_SPLIT]
    grouped = {key: tuple(s for s in tests if s.subset == key) for key in SUBSET_KEYS}
    return Benchmark(
        name=name,
        train=tuple(sample for sample in samples if sample.split == TRAIN_SPLIT),
        test={key: group for key, group in grouped.items() if group},
        unused_fields=unused_fields,
    )
