"""log p(y | x) over exactly the tokens of a response, each prefix x encoded once for all its responses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.models.causal_lm import CausalLM
from scoring.models.out_of_memory import out_of_memory_names
from scoring.models.output_head import OutputHead
from scoring.models.shared_prefix import SharedPrefix, encode_prefix


@dataclass(frozen=True)
class Continuation:
    """Tokens that follow a prefix, and which of them are scored."""

    ids: tuple[int, ...]
    scored_from: int = 0
    """Position of the first scored token; all behind it are scored too."""


def encode_response(lm: CausalLM, text: str, *, ended: bool) -> Continuation:
    """Return the tokens of a response that are scored: its text, and the end-of-turn token where it ended itself."""
    return Continuation(tuple(lm.chat.encode_answer(text, ended=ended)))


REWARD_SETTING = "config.reward_batch_tokens"
"""The memory setting of scorers that reward."""


class LikelihoodScorer:
    """Scores continuations of prefixes under a causal language model."""

    def __init__(self, lm: CausalLM, *, batch_tokens: int, setting: str = "scoring.batch_tokens") -> None:
        """Prepare.

        Args:
            lm: the model.
            batch_tokens: the memory setting: most tokens of continuations in a batch, padding included.
            setting: the key of recipes that it comes from, which is named where memory runs out.
        """
        self.lm = lm
        self.batch_tokens = batch_tokens
        self.setting = setting
        self.head = OutputHead(lm.model)

    def token_log_probs(
        self, prefix: Sequence[int], groups: Sequence[Sequence[Continuation]]
    ) -> list[list[NDArray[np.float64]]]:
        """Return log p of every scored token of each continuation of each group, in nats.

        The prefix runs through the model once. Batches of continuations are sorted by length and padded on the
        right (a causal model never looks at what follows). They never mix groups, so what a group gets does not
        depend on which others are scored beside it.

        Args:
            prefix: token ids of x, at least one.
            groups: for each group its continuations, each of at least one token.

        Raises:
            RunFailure: there is too little memory, or the model's prefixes cannot be shared.
        """
        with torch.inference_mode(), out_of_memory_names(self.setting, doing="scoring"):
            shared = encode_prefix(self.head.body, prefix[:-1], self.lm.device) if len(prefix) > 1 else None
            return [self._group(prefix[-1], shared, group) for group in groups]

    def _group(
        self, last: int, shared: SharedPrefix | None, group: Sequence[Continuation]
    ) -> list[NDArray[np.float64]]:
        found: dict[int, NDArray[np.float64]] = {}
        order = sorted(range(len(group)), key=lambda j: (-len(group[j].ids), j))
        while order:
            rows = max(1, self.batch_tokens // len(group[order[0]].ids))
            batch, order = order[:rows], order[rows:]
            found |= dict(zip(batch, self._batch(last, shared, [group[j] for j in batch]), strict=True))
        return [found[j] for j in range(len(group))]

    def _batch(
        self, last: int, shared: SharedPrefix | None, batch: Sequence[Continuation]
    ) -> list[NDArray[np.float64]]:
        device, pad = self.lm.device, self.lm.chat.pad_id
        width = max(len(row.ids) for row in batch)
        targets_B_T = torch.tensor([[*row.ids, *[pad] * (width - len(row.ids))] for row in batch], device=device)
        start_B_1 = torch.full((len(batch), 1), last, device=device)
        inputs_B_T = torch.cat((start_B_1, targets_B_T[:, :-1]), dim=1)
        bounds = torch.tensor([[row.scored_from, len(row.ids)] for row in batch])
        places = torch.arange(width)[None]
        chosen_B_T = (places >= bounds[:, :1]) & (places < bounds[:, 1:])
        past = {} if shared is None else {"past_key_values": shared.for_rows(len(batch), width)}
        flat = self.head.log_probs(inputs_B_T, targets_B_T, chosen_B_T, use_cache=shared is not None, **past)
        sizes = [len(row.ids) - row.scored_from for row in batch]
        return [part.numpy() for part in torch.split(flat.double().cpu(), sizes)]
