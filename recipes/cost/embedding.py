"""Sentence embeddings: tokens and operations of texts, long ones in windows."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.prompts import sample_slots
from benchmark.sample import Sample
from recipes.cost import memory
from recipes.cost.model_shape import BYTES, ModelShape
from recipes.cost.population import Population
from recipes.cost.tokens import TokenCounter
from recipes.cost.work import Precision, Sequences, Work, begun, forward

BATCH = 16
"""Texts a pass."""
WINDOWS = {"minilm": 254}
"""Tokens of the longest text that a model takes at once; longer ones are cut into windows."""
LONG_WINDOW = 8190
INPUTS = ("user_persona", "agent_character", "dialogue_context")


@dataclass(frozen=True)
class Embedder:
    """An embedding model."""

    shape: ModelShape
    counter: TokenCounter

    def samples(self, populations: Iterable[Population]) -> list[Work]:
        """Return embedding persona, character, dialogue and golden response of all samples, equal texts once."""
        works = [
            self._texts(f"{slot} of {p.key}", p, [sample_slots(sample)[slot] for sample in p.shown])
            for p in populations
            for slot in (*INPUTS, "golden_response")
        ]
        return begun(works, self.shape)

    def inputs(self, populations: Iterable[Population]) -> list[Work]:
        """Return embedding each sample's persona, character and dialogue as one text."""
        works = [self._texts(f"inputs of {p.key}", p, [_input(sample) for sample in p.shown]) for p in populations]
        return begun(works, self.shape)

    def responses(self, populations: Iterable[Population]) -> list[Work]:
        """Return embedding a response to each sample, as long as the golden one."""
        return [self._texts(f"responses to {p.key}", p, [s.golden_response for s in p.shown]) for p in populations]

    def _texts(self, name: str, population: Population, texts: list[str]) -> Work:
        distinct = list(dict.fromkeys(texts))
        tokens = sum(map(self.counter.count, distinct)) / len(distinct)
        window = min(tokens, WINDOWS.get(self.shape.name, LONG_WINDOW))
        count = population.size * len(distinct) / len(texts)
        precision: Precision = "float32" if BYTES.get(self.shape.dtype, 4) == BYTES["float32"] else "bfloat16"
        return forward(
            name,
            self.shape,
            Sequences(count * tokens / window, window),
            passes=count / BATCH,
            precision=precision,
            memory=memory.scoring(self.shape, memory.Batch(BATCH, window, 0), 0.0, precision),
        )


def _input(sample: Sample) -> str:
    slots = sample_slots(sample)
    return "\n".join(slots[name] for name in INPUTS)
