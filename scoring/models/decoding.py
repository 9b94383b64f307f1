"""The decoding loop: a batch of prompts, one token a step, until each row has ended or the room is used up."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scoring.models.causal_lm import CausalLM
from scoring.models.prefix_cache import JoinedCache, prefill

STOP_WINDOW = 16
"""Tokens at the end of an answer that are looked at for the stop string after each step."""


@dataclass(frozen=True)
class Sampler:
    """Draws the next tokens."""

    repetition_penalty: float
    temperature: float
    """0 takes the likeliest token."""
    generator: torch.Generator

    def draw(self, logits_B_V: torch.Tensor, seen_B_V: torch.Tensor) -> torch.Tensor:
        """Return one token a row; the logits of tokens seen in prompt or answer are damped (Keskar et al. 2019)."""
        damped = torch.where(logits_B_V > 0, logits_B_V / self.repetition_penalty, logits_B_V * self.repetition_penalty)
        logits_B_V = torch.where(seen_B_V, damped, logits_B_V)
        if self.temperature == 0:
            return logits_B_V.argmax(dim=1)
        weights_B_V = (logits_B_V / self.temperature).softmax(dim=1)
        return torch.multinomial(weights_B_V, 1, generator=self.generator)[:, 0]


def decode(
    lm: CausalLM, prompts: Sequence[Sequence[int]], stops: Sequence[str], sampler: Sampler, max_new_tokens: int
) -> list[list[int]]:
    """Return the new token ids of each prompt, without the token that ends a turn.

    A row also ends once its text holds its stop string (empty for none); what it drew up to there is returned.
    """
    with torch.inference_mode():
        joined, logits_B_V = _prefill_jointly(lm, prompts, max_new_tokens)
        seen_B_V = _seen(prompts, logits_B_V)
        answers: list[list[int]] = [[] for _ in prompts]
        open_rows = set(range(len(prompts)))
        cache, mask_B_L = joined.for_decoding(), joined.mask(lm.device)
        positions_B_1 = torch.tensor([[length] for length in joined.lengths], device=lm.device)
        for step in range(max_new_tokens):
            tokens_B = sampler.draw(logits_B_V, seen_B_V)
            _take(lm, tokens_B.tolist(), answers, open_rows, stops)
            if not open_rows or step + 1 == max_new_tokens:
                break
            seen_B_V.scatter_(1, tokens_B[:, None], value=True)
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


def _prefill_jointly(lm: CausalLM, prompts: Sequence[Sequence[int]], room: int) -> tuple[JoinedCache, torch.Tensor]:
    """Return the joined cache of all prompts and the logits behind each, shape (prompts, vocabulary)."""
    joined = JoinedCache([len(ids) for ids in prompts], room)
    last = []
    for row, (cache, logits_V) in enumerate(prefill(lm, prompts)):
        joined.put(row, cache)
        last.append(logits_V)
    return joined, torch.stack(last)


def _seen(prompts: Sequence[Sequence[int]], logits_B_V: torch.Tensor) -> torch.Tensor:
    seen_B_V = torch.zeros_like(logits_B_V, dtype=torch.bool)
    for row, ids in enumerate(prompts):
        seen_B_V[row, torch.tensor(list(ids), device=logits_B_V.device)] = True
    return seen_B_V


def _take(lm: CausalLM, tokens: list[int], answers: list[list[int]], open_rows: set[int], stops: Sequence[str]) -> None:
    """Add a step's tokens to the open rows and close those that have ended."""
    for row in sorted(open_rows):
        if tokens[row] in lm.chat.end_ids:
            open_rows.discard(row)
            continue
        answers[row].append(tokens[row])
        if stops[row] and stops[row] in lm.chat.decode(answers[row][-STOP_WINDOW:]):
            open_rows.discard(row)
