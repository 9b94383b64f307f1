"""Generation with transformers: prompts of like length together, padded on the left, one batch a unit of work."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from scoring.models.causal_lm import CausalLM

FinishReason = Literal["stop", "length", "prompt_too_long"]
STOP_WINDOW = 16
"""Tokens at the end of an answer that are looked at for the stop string after each step."""


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
    over, so an interrupted batch is run again whole. Prompts that with `max_new_tokens` would not fit into
    the model's context come first, as generations with no text and the reason "prompt_too_long".
    """
    encoded = [lm.chat.encode_prompt(prompt) for prompt in prompts]
    room = lm.context_length - sampling.max_new_tokens
    too_long = [index for index, ids in enumerate(encoded) if len(ids) > room]
    if not set(too_long) <= set(finished):
        yield [(i, Generation(None, "prompt_too_long", len(encoded[i]), 0)) for i in too_long]
    lengths = {i: len(ids) for i, ids in enumerate(encoded) if len(ids) <= room}
    for batch in length_batches(lengths, sampling.batch_tokens, sampling.max_new_tokens):
        if set(batch) <= set(finished):
            continue
        stops = {prompts[i].stop for i in batch}
        answers = _generate(lm, [encoded[i] for i in batch], stops, sampling, batch)
        yield [
            (i, _generation(lm, ids, prompts[i].stop, len(encoded[i]), sampling))
            for i, ids in zip(batch, answers, strict=True)
        ]


def length_batches(lengths: dict[int, int], batch_tokens: int, extra: int) -> Iterator[list[int]]:
    """Group indices, longest first, so that rows x (longest + extra) stays within `batch_tokens`.

    The longest batch runs first, so a memory setting that is too large shows at once. A single row may exceed it.
    """
    order = sorted(lengths, key=lambda index: (-lengths[index], index))
    while order:
        rows = max(1, batch_tokens // (lengths[order[0]] + extra))
        yield order[:rows]
        order = order[rows:]


def _generate(
    lm: CausalLM, prompts: list[list[int]], stops: set[str], sampling: Sampling, batch: list[int]
) -> list[list[int]]:
    """Return the new token ids of each prompt, up to and without end and padding tokens."""
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    pad = lm.chat.pad_id
    ids_B_L = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=lm.device)
    mask_B_L = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=lm.device)
    drawn = sampling.temperature > 0
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        do_sample=drawn,
        **({"temperature": sampling.temperature, "top_k": 0, "top_p": 1.0} if drawn else {}),
        eos_token_id=lm.chat.end_ids,
        pad_token_id=pad,
    )
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(derive_seed(sampling.seed, *map(str, batch)))
        output_B_T = lm.model.generate(
            ids_B_L,
            attention_mask=mask_B_L,
            generation_config=config,
            stopping_criteria=[_StopStrings(lm, stops, width)],
        )
    return [_until_end(row, lm) for row in output_B_T[:, width:].tolist()]


class _StopStrings:
    """Ends each row once its decoded tail holds one of the stop strings."""

    def __init__(self, lm: CausalLM, stops: set[str], start: int) -> None:
        self.lm = lm
        self.stops = [stop for stop in stops if stop]
        self.start = start

    def __call__(self, ids_B_T: torch.Tensor, scores: object, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401
        tails = ids_B_T[:, self.start :][:, -STOP_WINDOW:].tolist()
        texts = [self.lm.chat.decode(tail) for tail in tails]
        done = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=ids_B_T.device)


def _until_end(row: list[int], lm: CausalLM) -> list[int]:
    ends = [row.index(end) for end in (*lm.chat.end_ids, lm.chat.pad_id) if end in row]
    return row[: min(ends)] if ends else row


def _generation(lm: CausalLM, ids: list[int], stop: str, prompt_tokens: int, sampling: Sampling) -> Generation:
    text = lm.chat.decode(ids)
    stopped = bool(stop) and stop in text
    if stopped:
        text = text[: text.index(stop)]
    finished = stopped or len(ids) < sampling.max_new_tokens
    return Generation(text.strip(), "stop" if finished else "length", prompt_tokens, len(ids))
