"""The tokens of a row of pairs: an input, and each response as it follows it. Exactly the response's are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.prompts import Prompt
from scoring.likelihood import Continuation, encode_response
from scoring.models.causal_lm import CausalLM
from scoring.pair_matrix import CandidateResponse, fitting_samples


@dataclass(frozen=True)
class RowTokens:
    """One input with the responses of one column that are to be scored behind it."""

    prefix: tuple[int, ...]
    continuations: Mapping[int, Continuation]
    """Sample number j -> tokens of y_j behind the prefix."""
    without_tokens: tuple[int, ...] = field(default=())
    """Pairs that count as scored over no token at all, so with a sum of 0 (see `scoring.released`)."""


class ColumnTokens(Protocol):
    """The tokens of all pairs of a subset's inputs with one column."""

    def row(self, i: int) -> RowTokens:
        """Return the tokens of input i and of the responses to be scored behind it."""


class ExactTokens:
    """Scores exactly the response's tokens; what does not fit into the context is left out whole."""

    def __init__(
        self,
        lm: CausalLM,
        prompts: Sequence[Prompt],
        responses: Sequence[CandidateResponse],
        wanted_N_N: NDArray[np.bool_],
    ) -> None:
        """Encode the inputs and responses of a subset, in the same order, and find the pairs that fit."""
        self.prefixes = [tuple(lm.chat.encode_prompt(prompt)) for prompt in prompts]
        self.responses = [
            Continuation(()) if r.text is None else encode_response(lm, r.text, ended=r.ended) for r in responses
        ]
        prefix_N = np.array([len(ids) for ids in self.prefixes])
        response_N = np.array([len(response.ids) for response in self.responses])
        self.kept_N = fitting_samples(prefix_N, response_N, wanted_N_N, lm.context_length)
        self.wanted_N_N = wanted_N_N & self.kept_N[:, None] & self.kept_N[None, :]

    def row(self, i: int) -> RowTokens:
        """Return the tokens of input i and of the responses to be scored behind it."""
        wanted = np.flatnonzero(self.wanted_N_N[i])
        return RowTokens(self.prefixes[i], {int(j): self.responses[j] for j in wanted})
