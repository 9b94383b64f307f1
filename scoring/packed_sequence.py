"""Likelihoods by flex attention: an input and its responses as one packed sequence under a block mask.

The other way of sharing a prefix, for `rpm_methods.bench_gpu` to compare on a GPU: no keys are joined or padded, and
input and responses run in one pass, but the input runs again for every further batch of its responses. `scoring.
likelihood` is what runs use.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.likelihood import Continuation
from scoring.models.causal_lm import CausalLM
from scoring.models.output_head import OutputHead

NAME = "packed_flex"
BLOCK = 128
"""Sequences are filled up to a multiple of this, the size of flex attention's blocks, so that few lengths occur."""
FILLING = -1
"""Segment of what fills up."""


class PackedScorer:
    """Scores continuations of prefixes as `LikelihoodScorer` does, with a model that is switched to flex attention."""

    def __init__(self, lm: CausalLM, *, batch_tokens: int) -> None:
        """Switch the model over; `batch_tokens` is the most tokens of continuations in a sequence."""
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

        self.lm = lm
        self.batch_tokens = batch_tokens
        self.head = OutputHead(lm.model)
        AttentionInterface.register(NAME, packed_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)  # not asked for: the block mask is given
        lm.model.set_attn_implementation(NAME)

    def token_log_probs(
        self, prefix: Sequence[int], groups: Sequence[Sequence[Continuation]]
    ) -> list[list[NDArray[np.float64]]]:
        """Return log p of every scored token of each continuation of each group, in nats."""
        with torch.inference_mode():
            return [
                [values for batch in self._batches(group) for values in self._score(prefix, batch)] for group in groups
            ]

    def _batches(self, group: Sequence[Continuation]) -> list[list[Continuation]]:
        """Split a group, in its order, where the next continuation would be too much."""
        batches: list[list[Continuation]] = []
        for row in group:
            if batches and sum(len(r.ids) for r in (*batches[-1], row)) <= self.batch_tokens:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    def _score(self, prefix: Sequence[int], batch: Sequence[Continuation]) -> list[NDArray[np.float64]]:
        """Run the prefix without its last token, and behind it each continuation from that token on."""
        device, shared = self.lm.device, list(prefix[:-1])
        ids, positions, segments = list(shared), list(range(len(shared))), [0] * len(shared)
        targets, chosen = [0] * len(shared), [False] * len(shared)
        for number, row in enumerate(batch, start=1):
            ids += [prefix[-1], *row.ids[:-1]]
            positions += range(len(shared), len(shared) + len(row.ids))
            segments += [number] * len(row.ids)
            targets += row.ids
            chosen += [place >= row.scored_from for place in range(len(row.ids))]
        left = -len(ids) % BLOCK
        padded = [[*line, *[fill] * left] for line, fill in ((ids, 0), (positions, 0), (targets, 0))]
        ids_1_T, positions_1_T, targets_1_T = (torch.tensor([line], device=device) for line in padded)
        segments_T = torch.tensor([*segments, *[FILLING] * left], device=device)
        flat = self.head.log_probs(
            ids_1_T,
            targets_1_T,
            torch.tensor([[*chosen, *[False] * left]]),
            position_ids=positions_1_T,
            attention_mask=block_mask(segments_T),
            use_cache=False,
        )
        sizes = [len(row.ids) - row.scored_from for row in batch]
        return [part.numpy() for part in torch.split(flat.double().cpu(), sizes)]


def block_mask(segments_T: torch.Tensor) -> Any:  # noqa: ANN401 - torch's BlockMask
    """Return the mask under which each place sees itself, what stands before it in its segment, and segment 0."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        own = segments_T[query] == segments_T[key]
        return (query >= key) & (own | (segments_T[key] == 0))

    length, device = len(segments_T), segments_T.device
    return create_block_mask(
        seen, None, None, length, length, device=device, BLOCK_SIZE=BLOCK, _compile=device.type == "cuda"
    )


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,  # noqa: ANN401 - a block mask; None in passes without one
    scaling: float | None = None,
    **arguments: Any,  # noqa: ANN401 - passed through to transformers
) -> tuple[torch.Tensor, None]:
    """Attend under a block mask; shapes as in `scoring.models.attention.grouped_attention`."""
    from torch.nn.attention.flex_attention import BlockMask
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if not isinstance(attention_mask, BlockMask):
        usual: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **arguments
        )
        return usual
    output = _flex(query.device.type)(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2).contiguous(), None


@functools.cache
def _flex(device: str) -> Any:  # noqa: ANN401 - torch's flex_attention
    """Return flex attention, compiled where it has kernels of its own; elsewhere it takes plain steps to the same."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention) if device == "cuda" else flex_attention
