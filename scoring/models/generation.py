"""Generation with transformers: prompts that begin alike share their beginning, one batch a unit of work."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from scoring.models.causal_lm import CausalLM
from scoring.models.decoding import Drawn, Sampler, decode

FinishReason = Literal["stop", "length", "prompt_too_long"]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; the paper's evaluation is greedy with repetition penalty 1.05."""

    max_new_tokens: int = 256
    repetition_penalty: float = 1.05
    temperature: float = 0.0
    """0 decodes greedily."""
    seed: int = 42
    batch_tokens: int = 16384
    """Memory setting: most tokens in a batch, padding and room for the answers included."""


@dataclass(frozen=True)
class Generation:
    """One answer. `text` is None where the prompt left no room for one."""

    text: str | None
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int


def generate_batches(
    lm: CausalLM, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
) -> Iterator[list[tuple[int, Generation]]]:
    """Yield finished batches of (index of the prompt, its generation).

    Batches depend on the prompts and the sampling alone; those whose prompts are all in `finished` are passed
    over, so an interrupted batch is run again whole. Prompts that with `max_new_tokens` would not fit into the
    model's context come first, as generations with no text and the reason "prompt_too_long".
    """
    encoded = [lm.chat.encode_prompt(prompt) for prompt in prompts]
    room = lm.context_length - sampling.max_new_tokens
    too_long = [index for index, ids in enumerate(encoded) if len(ids) > room]
    if not set(too_long) <= set(finished):
        yield [(i, Generation(None, "prompt_too_long", len(encoded[i]), 0)) for i in too_long]
    fitting = {i: ids for i, ids in enumerate(encoded) if len(ids) <= room}
    for batch in prompt_batches(fitting, sampling.batch_tokens, sampling.max_new_tokens):
        if set(batch) <= set(finished):
            continue
        yield _generate(lm, {i: encoded[i] for i in batch}, {i: prompts[i].stop for i in batch}, sampling)


def prompt_batches(prompts: Mapping[int, Sequence[int]], batch_tokens: int, extra: int) -> Iterator[list[int]]:
    """Group prompts in the order of their tokens, which puts common beginnings together.

    Rows x (longest prompt + `extra`) stays within `batch_tokens`; a single row may exceed it.
    """
    batch: list[int] = []
    for index in sorted(prompts, key=lambda i: (list(prompts[i]), i)):
        width = max(len(prompts[i]) for i in (*batch, index)) + extra
        if batch and width * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _generate(
    lm: CausalLM, prompts: Mapping[int, Sequence[int]], stops: Mapping[int, str], sampling: Sampling
) -> list[tuple[int, Generation]]:
    generator = torch.Generator(device=lm.device)
    generator.manual_seed(derive_seed(sampling.seed, *map(str, prompts)))
    sampler = Sampler(sampling.repetition_penalty, sampling.temperature, generator)
    answers = decode(lm, list(prompts.values()), list(stops.values()), sampler, sampling.max_new_tokens)
    return [
        (index, _generation(lm, drawn, stops[index], len(prompts[index])))
        for index, drawn in zip(prompts, answers, strict=True)
    ]


def _generation(lm: CausalLM, drawn: Drawn, stop: str, prompt_tokens: int) -> Generation:
    text = answer_text(lm, drawn, stop)
    return Generation(text, drawn.finish_reason, prompt_tokens, len(drawn.ids))


def answer_text(lm: CausalLM, drawn: Drawn, stop: str) -> str:
    """Return the text of what a row drew, up to its stop string, without white space around it."""
    text = lm.chat.decode(drawn.ids)
    if drawn.closed:
        text = text[: text.index(stop)]
    elif drawn.finish_reason == "length":
        text = _without_begun_stop(text, stop)
    return text.strip()


def _without_begun_stop(text: str, stop: str) -> str:
    """Return the text without a stop string at its end that the length limit cut off half way."""
    begun = next((size for size in range(len(stop) - 1, 1, -1) if text.endswith(stop[:size])), 0)
    return text[: len(text) - begun]
