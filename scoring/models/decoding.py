"""The decoding loop: a batch of prompts, one token a step, until each row has ended or the room is used up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.nn.functional import pad

from scoring.models.causal_lm import CausalLM
from scoring.models.decoding_cache import DecodingCache
from scoring.models.prefix_cache import prefill

BLOCK = 256
"""Words of the vocabulary that are cumulated together."""
STOP_WINDOW = 16
"""Tokens at the end of an answer that are looked at for the stop string after each step."""


FinishReason = Literal["stop", "length"]


@dataclass
class Drawn:
    """The tokens of one row so far."""

    ids: list[int] = field(default_factory=list)
    """New tokens, without the one that ends a turn."""
    end_id: int | None = None
    """The token by which the row ended its turn, if it did."""
    closed: bool = False
    """Whether the text came to hold its stop string."""

    @property
    def finish_reason(self) -> FinishReason:
        """Return "stop" for a row that ended by itself, "length" for one that used up its room."""
        return "stop" if self.closed or self.end_id is not None else "length"


@dataclass(frozen=True)
class Sampler:
    """Draws the next tokens."""

    repetition_penalty: float
    temperature: float
    """0 takes the likeliest token."""
    generator: torch.Generator | Sequence[torch.Generator]
    """Of all draws; or one for each row, so that what a row draws does not depend on the others."""

    def draw(self, logits_B_V: torch.Tensor, seen_B_L: torch.Tensor | None) -> torch.Tensor:
        """Return one token a row; the logits of tokens seen in prompt or answer are damped (Keskar et al. 2019).

        Args:
            logits_B_V: the model's, in float32.
            seen_B_L: tokens seen, each as often as one likes; None to damp nothing.
        """
        if seen_B_L is not None:
            penalty, found_B_L = self.repetition_penalty, logits_B_V.gather(1, seen_B_L)
            damped_B_L = torch.where(found_B_L > 0, found_B_L / penalty, found_B_L * penalty)
            logits_B_V = logits_B_V.scatter(1, seen_B_L, damped_B_L)
        if self.temperature == 0:
            return logits_B_V.argmax(dim=1)
        weights_B_V = (logits_B_V - logits_B_V.amax(dim=1, keepdim=True)).div_(self.temperature).exp_()
        return _draw_by_inversion(weights_B_V, self.generator)


def _draw_by_inversion(
    weights_B_V: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator]
) -> torch.Tensor:
    """Return one place a row, drawn with its weight: one random number a row instead of one a word.

    torch.multinomial draws a number for every word of the vocabulary, on a CPU by one thread, which at 64 rows takes
    as long as half the model's step. A block of words is found first, so that only sums of blocks are cumulated.
    """
    rows, words = weights_B_V.shape
    padded_B_V = pad(weights_B_V, (0, -words % BLOCK)) if words % BLOCK else weights_B_V
    blocks_B_N_W = padded_B_V.view(rows, -1, BLOCK)
    block_B_1, rest_B_1 = _inverted(blocks_B_N_W.sum(dim=2), _uniform(rows, generator, weights_B_V.device))
    block_B_W = blocks_B_N_W[torch.arange(rows, device=weights_B_V.device), block_B_1[:, 0]]
    place_B_1, _ = _inverted(block_B_W, rest_B_1)
    return (block_B_1 * BLOCK + place_B_1)[:, 0]


def _inverted(weights_B_N: torch.Tensor, uniform_B_1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where numbers of [0, 1) fall when each place takes its share, and how far into it, again in [0, 1).

    A place without weight is never taken.
    """
    cumulated_B_N = weights_B_N.double().cumsum(dim=1)
    total_B_1 = cumulated_B_N[:, -1:]
    target_B_1 = torch.minimum(uniform_B_1 * total_B_1, total_B_1.nextafter(torch.zeros_like(total_B_1)))
    place_B_1 = torch.searchsorted(cumulated_B_N, target_B_1, right=True)
    weight_B_1 = weights_B_N.gather(1, place_B_1).double()
    into_B_1 = target_B_1 - (cumulated_B_N.gather(1, place_B_1) - weight_B_1)
    return place_B_1, (into_B_1 / weight_B_1).clamp(0, 1 - torch.finfo(torch.float64).eps / 2)


def _uniform(rows: int, generator: torch.Generator | Sequence[torch.Generator], device: torch.device) -> torch.Tensor:
    """Return a number of [0, 1) for each row, shape (rows, 1)."""
    if isinstance(generator, torch.Generator):
        return torch.rand((rows, 1), generator=generator, dtype=torch.float64, device=device)
    drawn = [torch.rand((1,), generator=one, dtype=torch.float64) for one in generator]
    return torch.stack(drawn).to(device)


def decode(
    lm: CausalLM, prompts: Sequence[Sequence[int]], stops: Sequence[str], sampler: Sampler, max_new_tokens: int
) -> list[Drawn]:
    """Return what each row drew. Equal prompts are read once.

    A row ends with a token that ends a turn, or once its text holds its stop string (empty for none).
    """
    with torch.inference_mode():
        joined, logits_B_V = _prefill_jointly(lm, prompts, max_new_tokens)
        seen_B_L = _seen(prompts, max_new_tokens).to(lm.device) if sampler.repetition_penalty != 1 else None
        answers = [Drawn() for _ in prompts]
        open_rows = set(range(len(prompts)))
        cache, mask_B_L = joined.for_decoding(lm.model), joined.mask(lm.device)
        positions_B_1 = torch.tensor([[length] for length in joined.lengths], device=lm.device)
        for step in range(max_new_tokens):
            tokens_B = sampler.draw(logits_B_V, None if seen_B_L is None else seen_B_L[:, : joined.width + step])
            _take(lm, tokens_B.tolist(), answers, open_rows, stops)
            if not open_rows or step + 1 == max_new_tokens:
                break
            if seen_B_L is not None:
                seen_B_L[:, joined.width + step] = tokens_B
            logits_B_V = (
                lm.model(
                    tokens_B[:, None],
                    past_key_values=cache,
                    attention_mask=mask_B_L[:, : joined.width + step + 1],
                    position_ids=positions_B_1 + step,
                    use_cache=True,
                )
                .logits[:, -1]
                .float()
            )
    return answers


def _prefill_jointly(lm: CausalLM, prompts: Sequence[Sequence[int]], room: int) -> tuple[DecodingCache, torch.Tensor]:
    """Return the joined cache of all prompts and the logits behind that of each row, shape (rows, vocabulary)."""
    numbers: dict[tuple[int, ...], int] = {}
    prompt_of = [numbers.setdefault(tuple(ids), len(numbers)) for ids in prompts]
    joined = DecodingCache([len(ids) for ids in numbers], prompt_of, room)
    last = []
    for number, (cache, logits_V) in enumerate(prefill(lm, list(numbers))):
        joined.put(number, cache)
        last.append(logits_V)
    return joined, torch.stack([last[prompt] for prompt in prompt_of])


def _seen(prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
    """Return the tokens of each prompt, its last one repeated up to the longest, and room for those of the answers."""
    width = max(map(len, prompts))
    padded = [[*ids, *[ids[-1]] * (width - len(ids)), *[0] * room] for ids in prompts]
    return torch.tensor(padded)


def _take(lm: CausalLM, tokens: list[int], answers: list[Drawn], open_rows: set[int], stops: Sequence[str]) -> None:
    """Add a step's tokens to the open rows and close those that have ended."""
    for row in sorted(open_rows):
        drawn = answers[row]
        if tokens[row] in lm.chat.end_ids:
            drawn.end_id = tokens[row]
        else:
            drawn.ids.append(tokens[row])
            drawn.closed = bool(stops[row]) and stops[row] in lm.chat.decode(drawn.ids[-STOP_WINDOW:])
        if drawn.finish_reason == "stop":
            open_rows.discard(row)
