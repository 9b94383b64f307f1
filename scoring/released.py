"""The arithmetic of the authors' released code, its faults included, for comparison with their own numbers.

It differs from this project's in three ways. The context is measured with a generation prompt behind an empty
answer, so the first tokens of a response are left out and the template's tokens behind it are counted. Everything
is cut at 4,096 tokens, and a response of which nothing is left has the mean 0: it counts as certain. And of the
off-diagonal pairs at most 1,000 are drawn, with seed 42.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmark.prompts import Message, Prompt
from scoring.likelihood import Continuation
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer
from scoring.models.prefix_cache import common_prefix
from scoring.negatives import Negatives
from scoring.pair_matrix import CandidateResponse
from scoring.pair_tokens import RowTokens

CUT = 4096
"""Tokens at which input and response together are cut."""
MOST_NEGATIVES = 1000
SEED = 42


def released_negatives(size: int) -> Negatives:
    """Return at most 1,000 off-diagonal pairs, drawn with seed 42 (NumPy's generator, not theirs)."""
    pairs = np.array([(i, j) for i, j in product(range(size), repeat=2) if i != j], dtype=np.int64).reshape(-1, 2)
    drawn = len(pairs) > MOST_NEGATIVES
    if drawn:
        pairs = np.random.default_rng(SEED).choice(pairs, MOST_NEGATIVES, replace=False)
    mask_N_N = np.zeros((size, size), dtype=bool)
    mask_N_N[pairs[:, 0], pairs[:, 1]] = True
    return Negatives(mask_N_N, f"sampled_{MOST_NEGATIVES}_in_all" if drawn else "off_diagonal")


def context_tokens(chat: ChatTokenizer, prompt: Prompt) -> int:
    """Return the length that the released code takes for that of the context: too long by the template's tail."""
    return len(chat.encode_chat((*prompt.messages, Message("assistant", "")), add_generation_prompt=True))


class ReleasedTokens:
    """The tokens of a column's pairs as the released code takes them."""

    def __init__(
        self,
        lm: CausalLM,
        prompts: Sequence[Prompt],
        responses: Sequence[CandidateResponse],
        wanted_N_N: NDArray[np.bool_],
    ) -> None:
        """Keep the inputs and responses of a subset, in the same order."""
        self.chat = lm.chat
        self.prompts = prompts
        self.responses = responses
        self.wanted_N_N = wanted_N_N
        self.cut = min(CUT, lm.context_length)

    def row(self, i: int) -> RowTokens:
        """Return the tokens of input i with each response, cut, and where the released code begins to count."""
        context = context_tokens(self.chat, self.prompts[i])
        wholes = {j: self._whole(i, j) for j in self._present(i)}
        counted = {j: ids for j, ids in wholes.items() if len(ids) > context}
        rest = tuple(j for j in wholes if j not in counted)
        if not counted:
            return RowTokens((), {}, rest)
        first = next(iter(counted.values()))
        shared = min(context, *(common_prefix(first, ids) for ids in counted.values()))
        behind = {j: Continuation(tuple(ids[shared:]), context - shared) for j, ids in counted.items()}
        return RowTokens(tuple(first[:shared]), behind, rest)

    def _whole(self, i: int, j: int) -> list[int]:
        prompt, response = self.prompts[i], self.responses[j]
        answer = Message("assistant", prompt.answer_prefix + (response.text or ""))
        return self.chat.encode_chat((*prompt.messages, answer), add_generation_prompt=False)[: self.cut]

    def _present(self, i: int) -> list[int]:
        return [j for j in np.flatnonzero(self.wanted_N_N[i]).tolist() if self.responses[j].text is not None]
