"""The reasoning of samples under a generator, written once: batch by batch into a cache that later calls read.

It serves training, with a generator in memory, and scoring, with one from an estimator's directory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.progress import Advance
from benchmark.prompts import PromptRenderer
from benchmark.run_store import append_jsonl, read_appended_jsonl
from benchmark.sample import Sample
from scoring.estimator_description import ReasoningSettings
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import FinishReason, Generation, Sampling, generate_batches
from scoring.models.out_of_memory import out_of_memory_names
from scoring.reasoning_text import reasoning_reader

MEMORY_SETTING = (
    "config.reasoning_batch_tokens of the estimator's recipe (of a finished estimator: batch_tokens in its "
    "estimator.json)"
)


@dataclass(frozen=True)
class Reasoning:
    """What a generator wrote for a sample, and the part of it that the policy model is shown."""

    sample_id: str
    text: str
    """All that was written; empty also where the prompt left no room, which `finish_reason` tells."""
    shown: str
    """The r of log p(y | x, r)."""
    marked: bool
    """False where no marker says what is to be shown, so that the whole text is."""
    finish_reason: FinishReason
    prompt_tokens: int
    tokens: int
    """Of the text."""


@dataclass(frozen=True)
class ReasoningCache:
    """A file of what one generator wrote, keyed by the samples' contents. What is written once stays.

    Each line holds a batch, so that one that was interrupted is run again whole.
    """

    path: Path
    """Its name tells generators apart: the cache does not."""
    circumstances: str = ""
    """A hash of what else decides about last digits, such as device and number format; lines of others are passed
    over."""

    def written(self) -> dict[str, Generation]:
        """Return what was written, by the content hash of its sample; RunFailure when the file is damaged."""
        batches = [line for line in read_appended_jsonl(self.path) if line["circumstances"] == self.circumstances]
        return {key: Generation(**found) for batch in batches for key, found in batch["written"].items()}

    def add(self, batch: Mapping[str, Generation]) -> None:
        """Keep what was written for samples that the cache does not have yet."""
        found = {key: asdict(generation) for key, generation in batch.items()}
        append_jsonl(self.path, {"circumstances": self.circumstances, "written": found})


def write_reasonings(
    lm: CausalLM,
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    settings: ReasoningSettings,
    cache: ReasoningCache,
    advance: Advance,
) -> list[Reasoning]:
    """Return the reasoning of each sample, writing what the cache does not have.

    Batches depend on the samples and settings alone. Decoding is greedy, so it needs no seed. A sample whose prompt
    with `max_new_tokens` does not fit into the context is shown nothing.

    Args:
        lm: the generator, without dropout.
        samples: what to write for.
        renderer: renders the generator's template.
        settings: how it is written.
        cache: where it is kept.
        advance: is called with the number of samples that have just been done; those in the cache come first.
    """
    written = cache.written()
    keys = [sample.content_hash for sample in samples]
    finished = {index for index, key in enumerate(keys) if key in written}
    advance(len(finished))
    prompts = [renderer.render(settings.template, sample) for sample in samples]
    sampling = Sampling(
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        temperature=0.0,
        batch_tokens=settings.batch_tokens,
    )
    with out_of_memory_names(MEMORY_SETTING, doing="writing reasoning"):
        for batch in generate_batches(lm, prompts, sampling, finished=finished):
            new = {keys[index]: generation for index, generation in batch if keys[index] not in written}
            if new:
                cache.add(new)
            written |= new
            advance(sum(index not in finished for index, _ in batch))
    return _readings(samples, renderer, settings, written)


def cached_reasonings(
    samples: Sequence[Sample], renderer: PromptRenderer, settings: ReasoningSettings, cache: ReasoningCache
) -> list[Reasoning] | None:
    """Return the reasoning of each sample from the cache, without a model; None unless it has them all."""
    written = cache.written()
    if any(sample.content_hash not in written for sample in samples):
        return None
    return _readings(samples, renderer, settings, written)


def read_or_write_reasonings(
    load: Callable[[], CausalLM],
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    settings: ReasoningSettings,
    cache: ReasoningCache,
    advance: Advance,
) -> list[Reasoning]:
    """Return the reasoning of each sample; the generator is loaded only where the cache lacks some of it."""
    known = cached_reasonings(samples, renderer, settings, cache)
    if known is None:
        return write_reasonings(load(), samples, renderer, settings, cache, advance)
    advance(len(known))
    return known


def reasoning_counts(reasonings: Sequence[Reasoning]) -> dict[str, int]:
    """Count the samples and what went wrong: no room for the prompt; else no marker, nothing to show, cut by length."""
    written = [one for one in reasonings if one.finish_reason != "prompt_too_long"]
    return {
        "samples": len(reasonings),
        "unmarked": sum(not one.marked for one in written),
        "empty": sum(not one.shown for one in written),
        "cut_by_length": sum(one.finish_reason == "length" for one in written),
        "prompt_too_long": len(reasonings) - len(written),
    }


def _readings(
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    settings: ReasoningSettings,
    written: Mapping[str, Generation],
) -> list[Reasoning]:
    reader = reasoning_reader(renderer, settings.template)
    found = []
    for sample in samples:
        generation = written[sample.content_hash]
        shown = reader.shown(generation.text or "")
        found.append(
            Reasoning(
                sample_id=sample.sample_id,
                text=generation.text or "",
                shown=shown.text,
                marked=shown.marked and generation.text is not None,
                finish_reason=generation.finish_reason,
                prompt_tokens=generation.prompt_tokens,
                tokens=generation.new_tokens,
            )
        )
    return found
