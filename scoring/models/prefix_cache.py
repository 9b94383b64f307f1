"""Key-value caches of prompts: filled so that shared beginnings are computed once, joined for decoding in a batch."""

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


class JoinedCache:
    """The caches of several prompts in one, padded on the left, with room for the answers set aside at once.

    Growing in place saves copying the whole cache at every step, as transformers' own cache does.
    """

    def __init__(self, lengths: Sequence[int], room: int) -> None:
        """`lengths` are the prompts' lengths in tokens; `room` is for that many more of each."""
        self.lengths = list(lengths)
        self.width = max(lengths)
        self.room = room
        self.tensors: list[tuple[torch.Tensor, torch.Tensor]] = []

    def put(self, row: int, cache: Any) -> None:  # noqa: ANN401 - a transformers cache
        """Copy one prompt's cache into its row."""
        start = self.width - self.lengths[row]
        for number, layer in enumerate(cache.layers):
            if len(self.tensors) == number:
                self.tensors.append((self._empty(layer.keys), self._empty(layer.values)))
            for target, source in zip(self.tensors[number], (layer.keys, layer.values), strict=True):
                target[row, :, start : self.width] = source[0]

    def for_decoding(self) -> Any:  # noqa: ANN401 - a transformers cache
        """Return a cache that transformers models read and grow."""
        from transformers import Cache

        return Cache(layers=[_preallocated_layer(*pair, self.width) for pair in self.tensors])

    def mask(self, device: torch.device) -> torch.Tensor:
        """Return which places hold tokens, shape (prompts, width + room); places of answers count as held."""
        starts_B_1 = torch.tensor([[self.width - length] for length in self.lengths], device=device)
        return torch.arange(self.width + self.room, device=device)[None] >= starts_B_1

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, dimensions = like.shape
        return like.new_zeros((len(self.lengths), heads, self.width + self.room, dimensions))


def _preallocated_layer(keys: torch.Tensor, values: torch.Tensor, length: int) -> Any:  # noqa: ANN401
    """Return a cache layer over tensors that are longer than what they hold."""
    from transformers.cache_utils import DynamicLayer

    class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
        """A layer that writes new keys and values into room set aside for them."""

        def __init__(self) -> None:
            super().__init__()
            self.keys, self.values, self.held = keys, values, length
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            end = self.held + key_states.shape[2]
            self.keys[:, :, self.held : end] = key_states
            self.values[:, :, self.held : end] = value_states
            self.held = end
            return self.keys[:, :, :end], self.values[:, :, :end]

        def get_seq_length(self) -> int:
            return self.held

    return PreallocatedLayer()
