"""Rollouts: several sampled answers to each prompt, which is read once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scoring.models.causal_lm import CausalLM
from scoring.models.decoding import FinishReason, Sampler, decode
from scoring.models.generation import answer_text


@dataclass(frozen=True)
class Rollout:
    """One sampled answer."""

    ids: tuple[int, ...]
    """All tokens that were drawn, those of the stop string or the one that ends the turn included."""
    text: str
    """The answer without its stop string."""
    finish_reason: FinishReason


def sample_rollouts(
    lm: CausalLM,
    prompts: Sequence[Sequence[int]],
    *,
    stop: str,
    max_new_tokens: int,
    temperature: float,
    seed: int | Sequence[int],
) -> list[Rollout]:
    """Return one rollout a prompt, all in one batch; prompts that are equal are read once.

    Args:
        lm: the policy, without dropout.
        prompts: token ids; a prompt stands as often as it is to be answered.
        stop: the string that ends an answer; empty for none.
        max_new_tokens: most tokens of an answer.
        temperature: above 0. Nothing else bends the distribution: the tokens are drawn from the model's own.
        seed: of all draws of this batch; or one for each row, whose draws then do not depend on the batch it is in.

    Raises:
        ValueError: the temperature is not above 0, or an answer would not fit behind a prompt.
    """
    if temperature <= 0:
        raise ValueError(f"rollouts are sampled, so the temperature must be above 0, not {temperature}")
    longest = max(len(ids) for ids in prompts)
    if longest + max_new_tokens > lm.context_length:
        raise ValueError(f"a prompt of {longest} tokens leaves no room for {max_new_tokens} in {lm.context_length}")
    sampler = Sampler(repetition_penalty=1.0, temperature=temperature, generator=_generator(seed, lm.device))
    drawn = decode(lm, prompts, [stop] * len(prompts), sampler, max_new_tokens)
    return [
        Rollout(
            (*row.ids, *([] if row.end_id is None else [row.end_id])),
            answer_text(lm.chat, row, stop),
            row.finish_reason,
        )
        for row in drawn
    ]


def _generator(seed: int | Sequence[int], device: torch.device) -> torch.Generator | list[torch.Generator]:
    if isinstance(seed, int):
        return torch.Generator(device=device).manual_seed(seed)
    return [torch.Generator().manual_seed(one) for one in seed]
