"""Key-value caches of prompts, filled so that shared beginnings are computed once."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from scoring.models.causal_lm import CausalLM
from scoring.models.output_head import OutputHead

WORTH_SHARING = 0.25
"""A shared beginning is reused when it is at least this part of a prompt: attention over a cache costs more a
token than plain causal attention, so short ones do not pay."""


def prefill(lm: CausalLM, prompts: Sequence[Sequence[int]]) -> Iterator[tuple[Any, torch.Tensor]]:
    """Yield (cache, logits behind the last token, shape (vocabulary,)) of each prompt, in order.

    Sort the prompts so that those with a common beginning stand together: it is taken over from the one before.
    """
    from transformers import DynamicCache

    head = OutputHead(lm.model)
    cache: Any = None
    before: Sequence[int] = ()
    for ids in prompts:
        shared = min(common_prefix(before, ids), len(ids) - 1)
        shared = shared if shared >= WORTH_SHARING * len(ids) else 0
        beginning = (
            [(layer.keys[:, :, :shared], layer.values[:, :, :shared]) for layer in cache.layers] if shared else None
        )
        cache = DynamicCache(beginning)
        ids_1_L = torch.tensor([list(ids[shared:])], device=lm.device)
        logits_V = head.next_logits(ids_1_L, past_key_values=cache, use_cache=True)
        before = ids
        yield cache, logits_V


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of tokens that two sequences begin with in common."""
    for position, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return position
    return min(len(left), len(right))
