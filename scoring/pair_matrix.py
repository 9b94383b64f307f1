"""Log-likelihood of every response under every input of a subset, a block of rows x columns at a time."""

import io
import zipfile
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
    prefix_tokens_N: NDArray[np.int64]
    """Tokens of each input."""

    @property
    def means_N_N(self) -> NDArray[np.float64]:
        """The same in nats a token."""
        return np.asarray(self.sums_N_N / np.maximum(self.tokens_N, 1)[None, :])

    @property
    def scored_N(self) -> NDArray[np.bool_]:
        """Samples whose input and response are both scored."""
        return np.asarray(np.isfinite(np.diagonal(self.sums_N_N)))

    @property
    def n_scored_pairs(self) -> int:
        """Number of pairs that have a likelihood."""
        return int(np.isfinite(self.sums_N_N).sum())


def pair_blocks(
    lm: Any,  # noqa: ANN401 - a CausalLM; named loosely so that this module imports without torch
    prompts: Sequence[Prompt],
    columns: Mapping[str, Sequence[CandidateResponse]],
    *,
    batch_tokens: int,
    advance: Advance,
) -> dict[str, PairBlock]:
    """Score every response of every column under every prompt; `advance` is called once a prompt.

    Each prompt is encoded once for all columns, and what one column gets does not depend on the others. An input
    behind which not every response of a column fits into the model's context is left unscored there: its row is
    NaN. Nothing is ever shortened.

    Args:
        lm: the estimator's model.
        prompts: the inputs x_i of a subset.
        columns: column name (golden, or a method) -> its response y_j to each input.
        batch_tokens: memory setting, most response tokens in a batch.
        advance: counts finished prompts.

    Raises:
        RunFailure: a likelihood came out as NaN or infinite.
    """
    from scoring.likelihood import encode_response, response_log_probs

    encoded = {
        name: [[] if r.text is None else encode_response(lm, r.text, ended=r.ended) for r in responses]
        for name, responses in columns.items()
    }
    sums = {name: np.full((len(prompts), len(rows)), np.nan) for name, rows in encoded.items()}
    prefixes = [lm.chat.encode_prompt(prompt) for prompt in prompts]
    for i, prefix in enumerate(prefixes):
        room = lm.context_length - len(prefix)
        fitting = {name: rows for name, rows in encoded.items() if 0 < max(map(len, rows)) <= room}
        present = {name: [j for j, ids in enumerate(rows) if ids] for name, rows in fitting.items()}
        groups = [[fitting[name][j] for j in present[name]] for name in fitting]
        values = response_log_probs(lm, prefix, groups, batch_tokens=batch_tokens) if groups else []
        for name, row in zip(fitting, values, strict=True):
            _refuse_infinite(row, name, i)
            sums[name][i, present[name]] = row
        advance(1)
    inputs = _lengths(prefixes)
    return {name: PairBlock(sums[name], _lengths(rows), inputs) for name, rows in encoded.items()}


def _lengths(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    return np.array([len(ids) for ids in rows], dtype=np.int64)


def save_block(path: Path, block: PairBlock) -> None:
    """Write a block as an .npz file, atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, **vars(block))
    write_bytes(path, buffer.getvalue())


def load_block(path: Path) -> PairBlock:
    """Read a block; RunFailure when the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content: Mapping[str, Any] = {name: arrays[name] for name in arrays.files}
            return PairBlock(**content)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise RunFailure(f"{path} cannot be read ({error}); delete it to score it anew") from error


def _refuse_infinite(values: Sequence[float], column: str, row: int) -> None:
    if not np.isfinite(values).all():
        raise RunFailure(f"the estimator gave {column} a likelihood that is NaN or infinite behind input {row + 1}")
