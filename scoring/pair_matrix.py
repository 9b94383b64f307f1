"""Log-likelihood of every response under every input of a subset: one row is one input x_i.

A block holds the pairs of the inputs with one column of responses (the golden ones, or one method's). Rows are
the unit of work: a row of a column depends on nothing else, so blocks can be made, kept and resumed row by row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure

if TYPE_CHECKING:
    from scoring.likelihood import LikelihoodScorer
    from scoring.pair_tokens import RowTokens


@dataclass(frozen=True)
class CandidateResponse:
    """A response to be scored under all inputs of its subset."""

    text: str | None
    """None where there is none: its column is NaN."""
    ended: bool
    """Whether it ended by itself, so that its end-of-turn token is scored too."""


@dataclass(frozen=True)
class PairRow:
    """One input x_i with the responses of one column."""

    sums_N: NDArray[np.float64]
    """log p(y_j | x_i) in nats a response; NaN where the pair was not scored."""
    tokens_N: NDArray[np.int64]
    """Scored tokens of each pair; 0 where it was not scored."""
    own_tokens: NDArray[np.float64]
    """log p of each token of the input's own response y_i, nats; empty where it was not scored."""


@dataclass(frozen=True)
class PairBlock:
    """The pairs of a subset's inputs with one column of responses."""

    sums_N_N: NDArray[np.float64]
    """Entry [i, j]: log p(y_j | x_i) in nats a response; NaN where the pair was not scored."""
    tokens_N_N: NDArray[np.int64]
    """Scored tokens of each pair; 0 where it was not scored."""
    own_tokens: tuple[NDArray[np.float64], ...]
    """For each sample log p of each token of its own response, nats."""

    @property
    def means_N_N(self) -> NDArray[np.float64]:
        """The same in nats a token; 0 for a pair that was scored over no token (see `scoring.released`)."""
        return np.asarray(self.sums_N_N / np.maximum(self.tokens_N_N, 1))

    @property
    def scored_N(self) -> NDArray[np.bool_]:
        """Samples whose own response was scored."""
        return np.asarray(np.isfinite(np.diagonal(self.sums_N_N)))

    @property
    def n_scored_pairs(self) -> int:
        """Number of pairs that have a likelihood."""
        return int(np.isfinite(self.sums_N_N).sum())


def stack_rows(rows: Sequence[PairRow]) -> PairBlock:
    """Return the block of rows 0 .. N-1."""
    return PairBlock(
        np.stack([row.sums_N for row in rows]),
        np.stack([row.tokens_N for row in rows]),
        tuple(row.own_tokens for row in rows),
    )


def fitting_samples(
    prefix_N: NDArray[np.int64], response_N: NDArray[np.int64], wanted_N_N: NDArray[np.bool_], context_length: int
) -> NDArray[np.bool_]:
    """Return the samples that remain when every wanted pair of remaining samples fits into the context.

    A sample with no tokens in its response goes first. Then, while a wanted pair is too long, the sample goes that
    is part of most such pairs (the first among equals): one overlong input costs its own sample, not all others.

    Args:
        prefix_N: tokens of each input.
        response_N: tokens of each response; 0 where there is none.
        wanted_N_N: which pairs are to be scored.
        context_length: most tokens of a pair.
    """
    kept_N = response_N > 0
    too_long_N_N = wanted_N_N & (prefix_N[:, None] + response_N[None, :] > context_length)
    while True:
        misfits_N_N = too_long_N_N & kept_N[:, None] & kept_N[None, :]
        if not misfits_N_N.any():
            return kept_N
        kept_N[np.argmax(misfits_N_N.sum(axis=0) + misfits_N_N.sum(axis=1))] = False


def score_row(
    scorer: "LikelihoodScorer", columns: Mapping[str, "RowTokens"], row: int, size: int
) -> dict[str, PairRow]:
    """Score one input with the wanted responses of each column.

    Columns that have the input's tokens in common share its encoding.

    Args:
        scorer: scores continuations of a prefix.
        columns: column name -> the tokens of the input and of its responses.
        row: number i of the input's sample.
        size: number of samples of the subset.

    Raises:
        FloatingPointError: a log-probability is NaN or infinite; its arguments are (column, j).
    """
    rows: dict[str, PairRow] = {}
    for prefix in dict.fromkeys(tokens.prefix for tokens in columns.values()):
        together = {name: tokens for name, tokens in columns.items() if tokens.prefix == prefix}
        groups = [list(tokens.continuations.values()) for tokens in together.values()]
        scored = scorer.token_log_probs(prefix, groups) if any(groups) else [[] for _ in groups]
        for (name, tokens), values in zip(together.items(), scored, strict=True):
            rows[name] = _row(name, tokens, values, row, size)
    return rows


def _row(column: str, tokens: "RowTokens", values: Sequence[NDArray[np.float64]], row: int, size: int) -> PairRow:
    sums_N, tokens_N = np.full(size, np.nan), np.zeros(size, dtype=np.int64)
    sums_N[list(tokens.without_tokens)] = 0.0
    for j, log_probs in zip(tokens.continuations, values, strict=True):
        if not np.isfinite(log_probs).all():
            raise FloatingPointError(column, j)
        sums_N[j], tokens_N[j] = log_probs.sum(), len(log_probs)
    by_sample = dict(zip(tokens.continuations, values, strict=True))
    return PairRow(sums_N, tokens_N, by_sample.get(row, np.empty(0)))


def name_the_samples(error: FloatingPointError, row: int, sample_ids: Sequence[str]) -> RunFailure:
    """Return the failure to report for a log-probability that is no number."""
    column, j = error.args
    where = f"the {column} response of sample {sample_ids[j]} behind the input of sample {sample_ids[row]}"
    return RunFailure(
        f"the estimator gave {where} a log-probability that is NaN or infinite; its weights are damaged, or "
        "they need float32 (compute.dtype)"
    )
