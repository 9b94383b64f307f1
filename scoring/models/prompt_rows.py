"""Attention while decoding: rows that answer the same prompt read its keys and values together.

Each query attends to its prompt and to its row's own answer apart, and the two results are joined. Keys are held in
float32, so that scores are as exact as in torch's fused attention, which for single queries calls a processor's matrix
product for a few numbers at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from scoring.models.tiled_attention import joined, read


@dataclass(frozen=True)
class PromptRows:
    """Which rows of a batch answer which prompt, as a grid: a line of places a prompt, as long as its most rows.

    Shapes: B rows, P prompts, R places a prompt, K key heads, G query heads of one key head.
    """

    rows_P_R: torch.Tensor
    """The row at each place; places that are left over repeat the prompt's first row."""
    places_B: torch.Tensor
    """The place of each row in the grid, line by line."""

    @classmethod
    def of(cls, prompt_of: Sequence[int], device: torch.device) -> Self:
        """Take the prompt of each row; prompts are numbered from 0, and each has a row."""
        rows: list[list[int]] = [[] for _ in range(max(prompt_of) + 1)]
        for row, prompt in enumerate(prompt_of):
            rows[prompt].append(row)
        width = max(map(len, rows))
        places = {row: p * width + r for p, line in enumerate(rows) for r, row in enumerate(line)}
        grid = [line + line[:1] * (width - len(line)) for line in rows]
        return cls(
            torch.tensor(grid, device=device), torch.tensor([places[b] for b in range(len(prompt_of))], device=device)
        )

    @property
    def first_P(self) -> torch.Tensor:
        """The first row of each prompt."""
        return self.rows_P_R[:, 0]

    def together(self, of_rows: torch.Tensor) -> torch.Tensor:
        """Lay out (B, K, G, ...) prompt by prompt: (P, K, R x G, ...)."""
        P, R = self.rows_P_R.shape
        _, K, G, *rest = of_rows.shape
        return of_rows[self.rows_P_R.flatten()].view(P, R, K, G, *rest).transpose(1, 2).reshape(P, K, R * G, *rest)

    def apart(self, of_prompts: torch.Tensor) -> torch.Tensor:
        """Lay out (P, K, R x G, ...) row by row: (B, K, G, ...)."""
        P, R = self.rows_P_R.shape
        _, K, N, *rest = of_prompts.shape
        laid_out = of_prompts.view(P, K, R, N // R, *rest).transpose(1, 2).reshape(P * R, K, N // R, *rest)
        return laid_out[self.places_B]


@dataclass(frozen=True)
class Held:
    """Keys (float32) and values of one layer at one step, tokens in the third dimension."""

    rows: PromptRows
    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor
    answer_keys: torch.Tensor
    """Of each row, the new token's included."""
    answer_values: torch.Tensor


def attend(query: torch.Tensor, held: Held, mask: torch.Tensor | None, scaling: float) -> torch.Tensor:
    """Return what the new token of each row reads from its prompt and its answer.

    Args:
        query: shape (B, heads, 1, dimensions).
        held: what it reads.
        mask: boolean, shape (B, 1, 1, tokens of prompt and answer), or None where everything is seen. Rows of one
            prompt see the same of it.
        scaling: factor of the scores.

    Returns:
        Shape (B, 1, heads, dimensions of a value), in the number format of the values.
    """
    B, H, _, D = query.shape
    K, width = held.prompt_keys.shape[1:3]
    scaled = (query.float() * scaling).view(B, K, H // K, 1, D)
    seen_P = None if mask is None else mask[held.rows.first_P, :, :, :width]
    seen_B = None if mask is None else mask[..., width:]
    outputs, sums = read(held.rows.together(scaled), held.prompt_keys, held.prompt_values, seen_P)
    of_prompts = held.rows.apart(outputs), held.rows.apart(sums)
    of_answers = read(scaled, held.answer_keys, held.answer_values, seen_B)
    return joined(of_prompts, of_answers).to(held.answer_values.dtype).reshape(B, 1, H, -1)
