"""Generation in batches, each a unit of work, and how transformers answers one: common beginnings are read once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer
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


@dataclass(frozen=True)
class Request:
    """A prompt as an engine gets it."""

    index: int
    """Place of the prompt among those given."""
    ids: Sequence[int]
    stop: str
    """The string that ends the answer; empty for none."""


Batch = list[tuple[int, Generation]]
Answerer = Callable[[Sequence[Request]], Iterable[Batch]]
"""Answers the prompts of one batch; yields what came, at once or in parts."""


def generate_batches(
    lm: CausalLM, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
) -> Iterator[Batch]:
    """Yield finished batches of (index of the prompt, its generation), as `answer_in_batches` does.

    The seed of a batch is made of all its prompts, so an interrupted batch is run again whole.
    """

    def answer(requests: Sequence[Request]) -> Iterator[Batch]:
        yield _generate(lm, requests, sampling)

    return answer_in_batches(lm.chat, lm.context_length, prompts, sampling, answer, finished=finished)


def answer_in_batches(
    chat: ChatTokenizer,
    context_length: int,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    answer: Answerer,
    *,
    finished: Collection[int] = (),
) -> Iterator[Batch]:
    """Split prompts into batches and yield what `answer` makes of each.

    Batches depend on the prompts and the sampling alone; those whose prompts are all in `finished` are passed
    over. Prompts that with `max_new_tokens` would not fit into the model's context come first, as generations with no
    text and the reason "prompt_too_long".
    """
    encoded = [chat.encode_prompt(prompt) for prompt in prompts]
    room = context_length - sampling.max_new_tokens
    too_long = [index for index, ids in enumerate(encoded) if len(ids) > room]
    if not set(too_long) <= set(finished):
        yield [(i, Generation(None, "prompt_too_long", len(encoded[i]), 0)) for i in too_long]
    fitting = {i: ids for i, ids in enumerate(encoded) if len(ids) <= room}
    for batch in prompt_batches(fitting, sampling.batch_tokens, sampling.max_new_tokens):
        if set(batch) <= set(finished):
            continue
        yield from answer([Request(i, encoded[i], prompts[i].stop) for i in batch])


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


def _generate(lm: CausalLM, requests: Sequence[Request], sampling: Sampling) -> Batch:
    generator = torch.Generator(device=lm.device)
    generator.manual_seed(derive_seed(sampling.seed, *(str(request.index) for request in requests)))
    sampler = Sampler(sampling.repetition_penalty, sampling.temperature, generator)
    prompts, stops = [request.ids for request in requests], [request.stop for request in requests]
    answers = decode(lm, prompts, stops, sampler, sampling.max_new_tokens)
    return [
        (request.index, generation_of(lm.chat, request, drawn))
        for request, drawn in zip(requests, answers, strict=True)
    ]


def generation_of(chat: ChatTokenizer, request: Request, drawn: Drawn) -> Generation:
    """Return the answer that was drawn to a request."""
    text = answer_text(chat, drawn, request.stop)
    return Generation(text, drawn.finish_reason, len(request.ids), len(drawn.ids))


def answer_text(chat: ChatTokenizer, drawn: Drawn, stop: str) -> str:
    """Return the text of what a row drew, up to its stop string, without white space around it."""
    text = chat.decode(drawn.ids)
    if drawn.closed:
        return text[: text.index(stop)].strip()
    return unfinished_text(text, stop) if drawn.finish_reason == "length" else text.strip()


def unfinished_text(text: str, stop: str) -> str:
    """Return the text of an answer cut by the length limit, without a stop string that is begun at its end."""
    begun = next((size for size in range(len(stop) - 1, 1, -1) if text.endswith(stop[:size])), 0)
    return text[: len(text) - begun].strip()
