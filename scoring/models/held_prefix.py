"""Attention of rows that continue one prefix: they read it together, and each what is its own."""

from dataclasses import dataclass

import torch

from scoring.models.tiled_attention import attend_in_tiles, joined, read


@dataclass(frozen=True)
class HeldPrefix:
    """Keys and values of one layer, tokens in the third dimension."""

    prefix_keys: torch.Tensor
    """Shape (1, key heads, tokens of the prefix, dimensions); `prefix_values` likewise."""
    prefix_values: torch.Tensor
    own_keys: torch.Tensor
    """Of each row's continuation; `own_values` likewise."""
    own_values: torch.Tensor


def attend_behind(query: torch.Tensor, held: HeldPrefix, mask: torch.Tensor | None, scaling: float) -> torch.Tensor:
    """Return what the tokens of each row's continuation read from the prefix and from the continuation up to them.

    Args:
        query: shape (rows, heads, tokens, dimensions).
        held: what they read.
        mask: boolean, shape (rows or 1, 1, tokens, tokens of prefix and continuation); None for a single token that
            sees everything.
        scaling: factor of the scores.

    Returns:
        Shape (rows, tokens, heads, dimensions of a value), in the query's number format.
    """
    B, H, S, D = query.shape
    K, width = held.prefix_keys.shape[1:3]
    if mask is not None and not mask[..., :width].all():  # a window that ends within the prefix
        keys, values = (
            torch.cat((prefix.expand(B, -1, -1, -1), own), dim=2)
            for prefix, own in ((held.prefix_keys, held.own_keys), (held.prefix_values, held.own_values))
        )
        return attend_in_tiles(query, keys, values, mask, scaling)
    scaled = (query.float() * scaling).view(B, K, H // K, S, D)
    together = scaled.transpose(0, 1).reshape(1, K, B * (H // K), S, D)
    found = read(together, held.prefix_keys.float(), held.prefix_values, None)
    of_prefix, sums = (part.view(K, B, H // K, S, -1).transpose(0, 1) for part in found)
    of_own = read(scaled, held.own_keys.float(), held.own_values, None if mask is None else mask[..., width:])
    return joined((of_prefix, sums), of_own).to(query.dtype).reshape(B, H, S, -1).transpose(1, 2).contiguous()
