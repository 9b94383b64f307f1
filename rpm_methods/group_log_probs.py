"""log p of a group's completions with gradients, their common prompt run through the model once.

The usual way puts the prompt in front of every completion: of 8 completions of 40 tokens behind 400 of prompt it
computes 3,520 positions, here 720. Sums and gradients are the same, since what the completions ask of the prompt's keys
and values flows back into its one pass.
"""

from collections.abc import Sequence
from typing import Any

import torch

from rpm_methods.training_rows import IGNORED
from scoring.models.shared_prefix import encode_prefix


def group_log_probs(
    model: Any,  # noqa: ANN401 - a PEFT model under TRL's trainer
    prompt_ids: Sequence[int],
    completions_G_T: torch.Tensor,
    mask_G_T: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (log p of each completion token in nats, entropy of its prediction in nats), each of shape (G, T).

    Args:
        model: with TRL's fused output layer, which applies the trainer's temperature and the model's own caps.
        prompt_ids: at least one token.
        completions_G_T: token ids, padded on the right.
        mask_G_T: 1 where a token is, 0 where padding is; there both results are 0.
    """
    rows, width = completions_G_T.shape
    device = completions_G_T.device
    body = model.get_base_model().get_decoder()
    past = {}
    if len(prompt_ids) > 1:
        past["past_key_values"] = encode_prefix(body, prompt_ids[:-1], device).for_rows(rows, width)
    start_G_1 = torch.full((rows, 1), prompt_ids[-1], device=device)
    output = model(
        input_ids=torch.cat((start_G_1, completions_G_T[:, :-1]), dim=1),
        shift_labels=completions_G_T.masked_fill(mask_G_T == 0, IGNORED),
        fused_lm_head=True,
        **past,
    )
    return output.log_probs, output.entropy


def grouped_log_probs(
    model: Any,  # noqa: ANN401 - as above
    input_ids_B_L: torch.Tensor,
    attention_mask_B_L: torch.Tensor,
    completion_width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (log p, entropy) of the last `completion_width` places of each row, rows with the same prompt together.

    Args:
        model: as in `group_log_probs`.
        input_ids_B_L: prompts padded on the left, completions on the right.
        attention_mask_B_L: 1 where a token is.
        completion_width: T; the results have shape (B, T).
    """
    prompts_B_P, completions_B_T = input_ids_B_L[:, :-completion_width], input_ids_B_L[:, -completion_width:]
    held_B_P, mask_B_T = attention_mask_B_L[:, :-completion_width], attention_mask_B_L[:, -completion_width:]
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, (ids_P, held_P) in enumerate(zip(prompts_B_P, held_B_P, strict=True)):
        groups.setdefault(tuple(ids_P[held_P.bool()].tolist()), []).append(row)
    found = [group_log_probs(model, ids, completions_B_T[rows], mask_B_T[rows]) for ids, rows in groups.items()]
    place = torch.tensor([row for rows in groups.values() for row in rows], device=input_ids_B_L.device).argsort()
    log_probs_B_T, entropies_B_T = (torch.cat(parts)[place] for parts in zip(*found, strict=True))
    return log_probs_B_T, entropies_B_T
