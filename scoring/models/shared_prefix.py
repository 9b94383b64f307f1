"""A prefix encoded once and read by many rows: its keys and values are never stored more than once.

transformers' own way is to copy the cache for every row of a batch. Here each layer joins the one copy with the
rows' new keys and values while it attends, and keeps nothing; on a CPU, where there is no gradient, rows read the one
copy together. Sliding windows need no care: every key is there, and the model's own mask hides those out of reach.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.errors import RunFailure
from scoring.models.attention import attends_grouped, attends_in_tiles
from scoring.models.held_prefix import HeldPrefix


@dataclass(frozen=True)
class SharedPrefix:
    """The keys and values of a prefix."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """A layer's (keys, values), each of shape (1, key heads, tokens, dimensions)."""
    tokens: int
    grouped: bool = False
    """Whether the attention is that of `scoring.models.attention`, which can read a prefix for all rows at once."""
    most_tokens: int | None = None
    """Tokens of prefix and continuation at which the model turns positions in another way; None where it never does."""

    def for_rows(self, rows: int, width: int) -> Any:  # noqa: ANN401 - a transformers cache
        """Return a cache for a forward pass of `rows` continuations of `width` tokens.

        Raises:
            RunFailure: behind so many tokens the model would have encoded the prefix otherwise (LongRoPE).
        """
        from transformers import Cache

        if self.most_tokens is not None and self.tokens + 1 + width > self.most_tokens:
            raise RunFailure(
                f"an input of {self.tokens + 1} tokens with a response of {width} passes {self.most_tokens} tokens, "
                "where the estimator's model changes how it encodes positions, so a prefix cannot be shared; take "
                "another estimator, or leave out samples as long as this"
            )
        together = self.grouped and attends_in_tiles(self.layers[0][0].device)
        kind = _joint_layer_class() if together else _shared_layer_class()
        return Cache(layers=[kind(keys, values, rows) for keys, values in self.layers])


def encode_prefix(body: Any, ids: Sequence[int], device: torch.device) -> SharedPrefix:  # noqa: ANN401
    """Run a prefix of at least one token through a transformers model without its output layer.

    Raises:
        RunFailure: the model keeps something else than keys and values of every token, so a prefix cannot be shared.
    """
    from transformers import DynamicCache

    cache = DynamicCache()  # made without the model's configuration it keeps every key, of sliding windows too
    if not keeps_keys_alone(body.config):
        raise _cannot_share(body)
    body(torch.tensor([list(ids)], device=device), past_key_values=cache, use_cache=True)
    layers = tuple((layer.keys, layer.values) for layer in cache.layers)
    if not layers or any(keys is None or keys.shape[2] != len(ids) for keys, _ in layers):
        raise _cannot_share(body)
    switch = position_switch(body.config)
    most_tokens = None if switch is None or len(ids) > switch else switch
    return SharedPrefix(layers, len(ids), attends_grouped(body), most_tokens)


def keeps_keys_alone(config: Any) -> bool:  # noqa: ANN401
    """Tell whether transformers' own cache for this model would hold keys and values and no other state."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in DynamicCache(config=config).layers)


def position_switch(config: Any) -> int | None:  # noqa: ANN401
    """Return the number of tokens beyond which a model with LongRoPE takes its other set of frequencies, else None."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]  # one for all layers, or one a type
    switches = [k["original_max_position_embeddings"] for k in kinds if k.get("rope_type") == "longrope"]
    return min(switches, default=None)


def _cannot_share(body: Any) -> RunFailure:  # noqa: ANN401
    kind = type(body).__name__
    return RunFailure(f"{kind} does not keep the keys of all tokens, so it cannot serve as an estimator")


@functools.cache
def _shared_layer_class() -> Any:  # noqa: ANN401 - a class of transformers'
    """Return the class of the layers; made anew for every layer of every batch it would keep a GPU waiting."""
    from transformers.cache_utils import DynamicLayer

    class SharedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
        """A cache layer that shows the prefix to every row and stores nothing new."""

        def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: int) -> None:
            super().__init__()
            self.keys, self.values = (tensor.expand(rows, -1, -1, -1) for tensor in (keys, values))
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cat((self.keys, key_states), dim=2), torch.cat((self.values, value_states), dim=2)

        def get_seq_length(self) -> int:
            return int(self.keys.shape[2])

    return SharedLayer


@functools.cache
def _joint_layer_class() -> Any:  # noqa: ANN401 - a class of transformers'
    """Return the class of layers whose prefix all rows read at once."""

    class JointLayer(_shared_layer_class()):  # type: ignore[misc]  # transformers is untyped
        """A cache layer that gives the attention the prefix and the rows' new keys and values apart."""

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[HeldPrefix, HeldPrefix]:
            held = HeldPrefix(self.keys[:1], self.values[:1], key_states, value_states)
            return held, held

    return JointLayer
