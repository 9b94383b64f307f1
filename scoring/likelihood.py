"""log p(y | x) over exactly the tokens of a response, each prefix x encoded once for all its responses."""

import copy
from collections.abc import Sequence

import torch

from scoring.models.causal_lm import CausalLM


def encode_response(lm: CausalLM, text: str, *, ended: bool) -> list[int]:
    """Return the tokens of a response that are scored: its text, and the end-of-turn token where it ended itself."""
    ids = lm.chat.encode_text(text)
    return [*ids, lm.chat.end_of_turn_id] if ended else ids


def response_log_probs(
    lm: CausalLM, prefix: Sequence[int], groups: Sequence[Sequence[Sequence[int]]], *, batch_tokens: int
) -> list[list[float]]:
    """Return the sum of token log-probabilities, in nats, of each response of each group behind one prefix.

    The prefix runs through the model once; its cache is expanded over batches of responses, padded on the right
    (a causal model never looks at what follows). Batches never mix groups, so what a group gets does not depend
    on which others are scored with it.

    Args:
        lm: the estimator's model.
        prefix: token ids of x, at least one.
        groups: for each group the token ids of each y, at least one each.
        batch_tokens: memory setting, most response tokens in a batch.
    """
    with torch.inference_mode():
        cache = _encode_prefix(lm, prefix)
        return [_group_log_probs(lm, prefix[-1], cache, group, batch_tokens) for group in groups]


def _group_log_probs(
    lm: CausalLM, last: int, cache: object | None, responses: Sequence[Sequence[int]], batch_tokens: int
) -> list[float]:
    totals = [0.0] * len(responses)
    order = sorted(range(len(responses)), key=lambda j: (-len(responses[j]), j))
    while order:
        rows = max(1, batch_tokens // len(responses[order[0]]))
        batch, order = order[:rows], order[rows:]
        sums = _batch_log_probs(lm, last, cache, [responses[j] for j in batch])
        for j, total in zip(batch, sums, strict=True):
            totals[j] = total
    return totals


def _encode_prefix(lm: CausalLM, prefix: Sequence[int]) -> object | None:
    """Return the cache of all prefix tokens but the last, which starts each response's row."""
    if len(prefix) == 1:
        return None
    ids_1_L = torch.tensor([list(prefix[:-1])], device=lm.device)
    return lm.model(ids_1_L, use_cache=True, logits_to_keep=1).past_key_values  # type: ignore[no-any-return]


def _batch_log_probs(lm: CausalLM, last: int, cache: object | None, responses: Sequence[Sequence[int]]) -> list[float]:
    width = max(map(len, responses))
    pad = lm.chat.pad_id
    targets_B_T = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids in responses], device=lm.device)
    start_B_1 = torch.full((len(responses), 1), last, device=lm.device)
    inputs_B_T = torch.cat((start_B_1, targets_B_T[:, :-1]), dim=1)
    expanded = copy.deepcopy(cache)
    if expanded is not None:
        expanded.batch_repeat_interleave(len(responses))  # type: ignore[attr-defined]
    logits_B_T_V = lm.model(inputs_B_T, past_key_values=expanded, use_cache=expanded is not None).logits
    lengths_B_1 = torch.tensor([[len(ids)] for ids in responses], device=lm.device)
    real_B_T = torch.arange(width, device=lm.device)[None] < lengths_B_1
    chosen_B_T = torch.stack([_token_log_probs(row, ids) for row, ids in zip(logits_B_T_V, targets_B_T, strict=True)])
    sums = (chosen_B_T.double() * real_B_T).sum(dim=1)
    return [float(value) for value in sums]


def _token_log_probs(logits_T_V: torch.Tensor, ids_T: torch.Tensor) -> torch.Tensor:
    """Return log p of each token in float32, a response at a time so that the large array stays small."""
    logits = logits_T_V.float()
    return logits.gather(1, ids_T[:, None])[:, 0] - logits.logsumexp(dim=1)
