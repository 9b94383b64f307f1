"""Attention that reads each key once for all query heads that share it, instead of copying keys for every head.

transformers repeats keys and values of grouped-query models before it attends. While decoding behind long prompts
nearly all time goes into those copies; folding the query heads of a group into query positions avoids them and
computes the same sums. On a CPU, where there is no gradient, it attends in tiles of its own, and rows that share a
prefix read it together: as exactly, but rounded otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from scoring.models.held_prefix import HeldPrefix, attend_behind
from scoring.models.prompt_rows import Held, attend
from scoring.models.tiled_attention import attend_in_tiles

NAME = "grouped_sdpa"
_rounded_as_with_gradients = ContextVar("rounded_as_with_gradients", default=False)


def use_grouped_attention(model: Any) -> None:  # noqa: ANN401 - a transformers model
    """Switch a model of grouped-query attention to this implementation; others stay as they are."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if config._attn_implementation != "sdpa" or heads in (None, getattr(config, "num_key_value_heads", heads)):
        return
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def attends_grouped(model: Any) -> bool:  # noqa: ANN401 - a transformers model
    """Tell whether a model has been switched to this implementation."""
    return bool(model.config.get_text_config()._attn_implementation == NAME)


@contextmanager
def rounded_as_with_gradients() -> Iterator[None]:
    """Attend with and without gradients in one way, for trainings that compare a model with its reference."""
    token = _rounded_as_with_gradients.set(True)
    try:
        yield
    finally:
        _rounded_as_with_gradients.reset(token)


def attends_in_tiles(device: torch.device) -> bool:
    """Tell whether a forward pass on a device now attends in tiles."""
    return device.type == "cpu" and not torch.is_grad_enabled() and not _rounded_as_with_gradients.get()


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor | Held | HeldPrefix,
    value: torch.Tensor | Held | HeldPrefix,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **arguments: Any,  # noqa: ANN401 - passed through to transformers
) -> tuple[torch.Tensor, None]:
    """Attend with query heads folded into positions where there is a mask or a single query.

    Args:
        module: the attention layer.
        query: shape (batch, heads, queries, dimensions).
        key: shape (batch, key heads, keys, dimensions); or all that a cache holds, `value` being the same.
        value: as `key`.
        attention_mask: boolean, shape (batch or 1, 1, queries, keys), or None for causal attention.
        scaling: factor of the scores.
        arguments: what else transformers gives.

    Returns:
        Shape (batch, queries, heads, dimensions), and None for the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    B, H, S, D = query.shape
    scaling = D**-0.5 if scaling is None else scaling
    if isinstance(key, Held):
        return attend(query, key, attention_mask, scaling), None
    if isinstance(key, HeldPrefix):
        return attend_behind(query, key, attention_mask, scaling), None
    assert isinstance(value, torch.Tensor)
    if S > 1 and attends_in_tiles(query.device):
        return attend_in_tiles(query, key, value, attention_mask, scaling), None
    K, T = key.shape[1:3]
    if S > 1 and attention_mask is None:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **arguments
        )
        return result
    group = H // K
    mask = attention_mask
    if mask is not None and S > 1:
        mask = mask[:, :, None].expand(-1, -1, group, -1, -1).reshape(mask.shape[0], 1, group * S, T)
    folded = query.reshape(B, K, group * S, D)
    output = scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(B, H, S, D).transpose(1, 2).contiguous(), None  # kernels of GPUs lay it out otherwise
