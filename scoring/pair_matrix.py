"""Log-likelihood of every response under every input of a subset, a block of rows x columns at a time."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from benchmark.progress import Advance
from benchmark.prompts import Prompt
from benchmark.run_store import write_bytes


@dataclass(frozen=True)
class CandidateResponse:
    """A response to be scored under all inputs of its subset."""

    text: str | None
    """None where there is none: its column is NaN."""
    ended: bool
    """Whether it ended by itself, so that its end-of-turn token is scored too."""


@dataclass(frozen=True)
class PairBlock:
    """The pairs of a subset's inputs with one column group's responses (golden, or one method's)."""

    sums_N_N: NDArray[np.float64]
    """Entry [i, j]: log p(y_j | x_i) in nats a response; NaN where input i or response j cannot be scored."""
    tokens_N: NDArray[np.int64]
    """Scored tokens of each response; 0 where there is none."""

    @property
    def means_N_N(self) -> NDArray[np.float64]:
        """The same in nats a token."""
        return np.asarray(self.sums_N_N / np.maximum(self.tokens_N, 1)[None, :])

    @property
    def scored_N(self) -> NDArray[np.bool_]:
        """Samples whose input and response are both scored."""
        return np.asarray(np.isfinite(np.diagonal(self.sums_N_N)))


def pair_block(
    lm: Any,  # noqa: ANN401 - a CausalLM; named loosely so that this module imports without torch
    prompts: Sequence[Prompt],
    responses: Sequence[CandidateResponse],
    *,
    batch_tokens: int,
    advance: Advance,
) -> PairBlock:
    """Score every response under every prompt; `advance` is called once a prompt.

    An input behind which not every response fits into the model's context is left unscored: its row is NaN.
    Nothing is ever shortened.

    Raises:
        RunFailure: a likelihood came out as NaN or infinite.
    """
    from scoring.likelihood import encode_response, response_log_probs

    encoded = [None if r.text is None else encode_response(lm, r.text, ended=r.ended) for r in responses]
    present = [j for j, ids in enumerate(encoded) if ids]
    longest = max((len(encoded[j] or ()) for j in present), default=0)
    sums_N_N = np.full((len(prompts), len(responses)), np.nan)
    for i, prompt in enumerate(prompts):
        prefix = lm.chat.encode_prompt(prompt)
        if present and len(prefix) + longest <= lm.context_length:
            chosen = [encoded[j] or [] for j in present]
            sums_N_N[i, present] = response_log_probs(lm, prefix, chosen, batch_tokens=batch_tokens)
            _refuse_infinite(sums_N_N[i, present], i)
        advance(1)
    return PairBlock(sums_N_N, np.array([len(ids or ()) for ids in encoded], dtype=np.int64))


def save_block(path: Path, block: PairBlock) -> None:
    """Write a block as an .npz file, atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, sums_N_N=block.sums_N_N, tokens_N=block.tokens_N)
    write_bytes(path, buffer.getvalue())


def load_block(path: Path) -> PairBlock:
    """Read a block; RunFailure when the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content: Mapping[str, Any] = {name: arrays[name] for name in arrays.files}
            return PairBlock(**content)
    except (OSError, ValueError, TypeError) as error:
        raise RunFailure(f"{path} cannot be read ({error}); delete it to score it anew") from error


def _refuse_infinite(values: NDArray[np.float64], row: int) -> None:
    if not np.isfinite(values).all():
        raise RunFailure(f"the estimator gave a likelihood that is NaN or infinite for sample number {row + 1}")
