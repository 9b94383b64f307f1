"""log p of completions with gradients, each prompt run through the model once for all rows that begin with it.

TRL's trainers put the prompt in front of every completion: of 8 completions of 40 tokens behind 400 of prompt that
computes 3,520 positions, here 720; of the two answers of a preference pair about half. Sums and gradients are the
same, since what the completions ask of the prompt's keys and values flows back into its one pass.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rpm_methods.training_rows import IGNORED
from scoring.models.attention import rounded_as_with_gradients, use_grouped_attention
from scoring.models.shared_prefix import encode_prefix, keeps_keys_alone, position_switch

PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1", "label_mask")
"""Fields of TRL's output with a value for each token."""


def why_not_shared(device: str, config: Any, *, checkpointing: bool) -> str:  # noqa: ANN401 - a configuration
    """Return why prompts cannot be shared in training; an empty string if they can.

    With gradient checkpointing transformers leaves the cache out without a word; on CUDA TRL's own way with fast
    attention kernels is taken.
    """
    if device != "cpu":
        return f"on {device} TRL's own forward pass is used"
    if checkpointing:
        return "gradient checkpointing runs every row with its own prompt"
    if position_switch(config) is not None:
        return "the model encodes positions otherwise in longer texts"
    return "" if keeps_keys_alone(config) else "the model does not keep the keys of all tokens"


def share_prompts(model: Any) -> None:  # noqa: ANN401 - a PEFT model under one of TRL's trainers
    """Let the model compute shared prompts once wherever TRL asks for the log-probabilities of labels.

    TRL asks by `fused_lm_head=True` and `labels`; it is answered by the same fields for each token, 0 where there is no
    label, and in the same way with and without gradients, so that a policy that has not moved equals its reference.
    Models whose router has a loss of its own are left to TRL, since that loss counts every token of every row.
    """
    base = model.get_base_model()
    plain = base.forward
    use_grouped_attention(base)

    @functools.wraps(plain)
    def forward(*args: Any, labels: torch.Tensor | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        if labels is None or not kwargs.get("fused_lm_head") or kwargs.get("output_router_logits"):
            return plain(*args, **({} if labels is None else {"labels": labels}), **kwargs)
        with rounded_as_with_gradients():
            return _shared_forward(base, kwargs["input_ids"], kwargs["attention_mask"], labels)

    base.forward = forward


@dataclass(frozen=True)
class _Row:
    """A row taken apart at its first label."""

    prompt: tuple[int, ...]
    start: int
    """Place of the first label."""
    end: int
    """Place behind the last label."""


def _shared_forward(
    base: Any,  # noqa: ANN401 - a transformers model
    input_ids_B_L: torch.Tensor,
    attention_mask_B_L: torch.Tensor,
    labels_B_L: torch.Tensor,
) -> Any:  # noqa: ANN401 - TRL's FusedCausalLMOutput
    """Return what TRL asks of every label, each field of shape (B, L - 1); rows with the same prompt go together."""
    from trl.trainer.utils import FusedCausalLMOutput

    rows = [_row(*row) for row in zip(input_ids_B_L, attention_mask_B_L, labels_B_L, strict=True)]
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row.prompt, []).append(number)
    outputs: dict[int, tuple[Any, int]] = {}
    for prompt, members in groups.items():
        ids = [input_ids_B_L[n, rows[n].start : rows[n].end] for n in members]
        labels = [labels_B_L[n, rows[n].start : rows[n].end] for n in members]
        output = _group_forward(base, prompt, ids, labels)
        outputs |= {number: (output, place) for place, number in enumerate(members)}
    width = labels_B_L.shape[1] - 1
    fields = {name: _joined(name, rows, outputs, width) for name in PER_TOKEN}
    return FusedCausalLMOutput(**fields)


def _joined(name: str, rows: Sequence[_Row], outputs: Mapping[int, tuple[Any, int]], width: int) -> torch.Tensor | None:
    """Return one field of all rows' outputs; None where TRL did not ask for it."""
    found = [getattr(output, name) for output, _ in (outputs[number] for number in range(len(rows)))]
    if found[0] is None:
        return None
    return torch.stack([_placed(found[n][outputs[n][1]], row, width) for n, row in enumerate(rows)])


def _row(ids_L: torch.Tensor, mask_L: torch.Tensor, labels_L: torch.Tensor) -> _Row:
    places = (labels_L != IGNORED).nonzero()[:, 0]
    start, end = int(places[0]), int(places[-1]) + 1
    prompt = ids_L[:start][mask_L[:start].bool()]
    return _Row(tuple(prompt.tolist()), start, end)


def _group_forward(
    base: Any,  # noqa: ANN401 - as above
    prompt: Sequence[int],
    ids: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
) -> Any:  # noqa: ANN401
    """Run the completions of one prompt behind its keys and values."""
    device, width = labels[0].device, max(len(row) for row in labels)
    labels_G_T = torch.full((len(labels), width), IGNORED, device=device)
    inputs_G_T = torch.full((len(labels), width), prompt[-1], device=device)
    for number, (row_ids, row_labels) in enumerate(zip(ids, labels, strict=True)):
        labels_G_T[number, : len(row_labels)] = row_labels
        inputs_G_T[number, 1 : len(row_ids)] = row_ids[:-1]
    past = {}
    if len(prompt) > 1:
        past["past_key_values"] = encode_prefix(base.get_decoder(), prompt[:-1], device).for_rows(len(labels), width)
    return base(input_ids=inputs_G_T, shift_labels=labels_G_T, fused_lm_head=True, **past)


def _placed(values_T: torch.Tensor, row: _Row, width: int) -> torch.Tensor:
    """Return a row's values where TRL looks for them: that of the label at place t stands at t - 1."""
    return torch.nn.functional.pad(values_T[: row.end - row.start], (row.start - 1, width - row.end + 1))
