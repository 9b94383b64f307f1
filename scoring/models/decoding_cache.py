"""The caches of several prompts in one, for decoding in a batch: it grows in place and is never copied."""

import functools
from collections.abc import Sequence
from typing import Any

import torch

from scoring.models.attention import attends_grouped
from scoring.models.prompt_rows import Held, PromptRows


class DecodingCache:
    """Keys and values of prompts, padded on the left, with room for the answers set aside at once."""

    def __init__(self, lengths: Sequence[int], prompt_of: Sequence[int], room: int) -> None:
        """Make an empty one.

        Args:
            lengths: of the prompts in tokens, each prompt once.
            prompt_of: the prompt that each row answers.
            room: most tokens of an answer.
        """
        self.lengths = [lengths[prompt] for prompt in prompt_of]
        """Of the prompt of each row."""
        self.width = max(lengths)
        self._of_prompts, self._prompt_of, self._room = list(lengths), list(prompt_of), room
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def put(self, prompt: int, cache: Any) -> None:  # noqa: ANN401 - a transformers cache
        """Copy one prompt's cache."""
        start = self.width - self._of_prompts[prompt]
        for number, layer in enumerate(cache.layers):
            if len(self._layers) == number:
                self._layers.append((self._empty(layer.keys), self._empty(layer.values)))
            for target, source in zip(self._layers[number], (layer.keys, layer.values), strict=True):
                target[prompt, :, start:] = source[0]

    def for_decoding(self, model: Any) -> Any:  # noqa: ANN401 - a transformers model, and a cache
        """Return a cache that the model reads and grows; this one is empty then.

        On a CPU, where the model attends by groups, rows share their prompt's keys; elsewhere each has a copy.
        """
        from transformers import Cache

        device, layers = self._layers[0][0].device, self._layers
        if device.type == "cpu" and attends_grouped(model):
            layer = functools.partial(_sharing_layer_class(), rows=PromptRows.of(self._prompt_of, device))
        else:
            layer = functools.partial(_copying_layer_class(), order=torch.tensor(self._prompt_of, device=device))
        return Cache(layers=[layer(*layers.pop(0), room=self._room) for _ in range(len(layers))])

    def mask(self, device: torch.device) -> torch.Tensor:
        """Return which places hold tokens, shape (rows, width + room); places of answers count as held."""
        starts_B_1 = torch.tensor([[self.width - length] for length in self.lengths], device=device)
        return torch.arange(self.width + self._room, device=device)[None] >= starts_B_1

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, dimensions = like.shape
        return like.new_zeros((len(self._of_prompts), heads, self.width, dimensions))


@functools.cache
def _sharing_layer_class() -> Any:  # noqa: ANN401 - a class of transformers'
    from transformers.cache_utils import DynamicLayer

    class SharingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
        """A layer that holds each prompt once, for `scoring.models.prompt_rows.attend`."""

        def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: PromptRows, room: int) -> None:
            super().__init__()
            shape = (len(rows.places_B), keys.shape[1], room)
            self.rows, self.prompt_keys, self.prompt_values, self.answered = rows, keys.float(), values, 0
            self.keys = keys.new_zeros((*shape, keys.shape[3]), dtype=torch.float32)
            self.values = values.new_zeros((*shape, values.shape[3]))
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[Held, Held]:
            self.keys[:, :, self.answered] = key_states[:, :, 0]
            self.values[:, :, self.answered] = value_states[:, :, 0]
            self.answered += 1
            held = Held(
                self.rows,
                self.prompt_keys,
                self.prompt_values,
                self.keys[:, :, : self.answered],
                self.values[:, :, : self.answered],
            )
            return held, held

        def get_seq_length(self) -> int:
            return int(self.prompt_keys.shape[2]) + self.answered

    return SharingLayer


@functools.cache
def _copying_layer_class() -> Any:  # noqa: ANN401 - a class of transformers'
    from transformers.cache_utils import DynamicLayer

    class CopyingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
        """A layer in which each row has its prompt's keys and values, with room for its answer's behind them."""

        def __init__(self, keys: torch.Tensor, values: torch.Tensor, order: torch.Tensor, room: int) -> None:
            super().__init__()
            self.held = int(keys.shape[2])
            self.keys, self.values = (self._copied(tensor, order, room) for tensor in (keys, values))
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True

        def _copied(self, tensor: torch.Tensor, order: torch.Tensor, room: int) -> torch.Tensor:
            _, heads, width, dimensions = tensor.shape
            copied = tensor.new_zeros((len(order), heads, width + room, dimensions))
            copied[:, :, :width] = tensor[order]
            return copied

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            self.keys[:, :, self.held] = key_states[:, :, 0]
            self.values[:, :, self.held] = value_states[:, :, 0]
            self.held += 1
            return self.keys[:, :, : self.held], self.values[:, :, : self.held]

        def get_seq_length(self) -> int:
            return self.held

    return CopyingLayer
