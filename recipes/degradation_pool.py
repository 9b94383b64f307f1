"""A subset's inputs and distinct responses as tokens: which pairs of them some column needs, scored row by row.

What is kept is a block of N inputs by M distinct responses (`scoring.block_files`), a row an input. Which samples fit
into the context is decided column by column, as `rpm-methods score` decides it, so that both leave the same ones out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RunFailure
from benchmark.progress import Advance
from benchmark.sample import Sample
from recipes.columns import GOLDEN
from recipes.degradation_design import NO_RESPONSE, SubsetResponses
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import context_length, load_chat
from scoring.models.chat import ChatTokenizer
from scoring.pair_matrix import fitting_samples, score_row
from scoring.pair_tokens import RowTokens


@dataclass(frozen=True)
class PairEncoder:
    """Texts as the tokens of an estimator's policy models."""

    estimator: Estimator
    shown: Mapping[str, str] | None
    """What the policy models are shown of each sample's reasoning; None for an estimator without."""
    chat: ChatTokenizer
    context_length: int

    @classmethod
    def of(cls, estimator: Estimator, shown: Mapping[str, str] | None) -> "PairEncoder":
        """Load the tokenizer alone, which is that of all folds."""
        location = estimator.base_location()
        return cls(estimator, shown, load_chat(location), context_length(location))

    def prefix(self, sample: Sample) -> tuple[int, ...]:
        """Return the tokens of what a sample's responses are scored behind."""
        shown = None if self.shown is None else self.shown[sample.sample_id]
        return tuple(self.chat.encode_prompt(self.estimator.prompt(sample, shown)))

    def response(self, text: str) -> Continuation:
        """Return the tokens of a response that ended by itself."""
        return Continuation(tuple(self.chat.encode_answer(text, ended=True)))


@dataclass(frozen=True)
class PairPool:
    """The pairs of one subset, and where what is made of them lies."""

    responses: SubsetResponses
    prefixes: Sequence[tuple[int, ...]]
    continuations: Sequence[Continuation]
    folds: Sequence[int]
    """The fold whose policy model scores each sample's row."""
    scored: Mapping[str, NDArray[np.bool_]]
    """Column -> the samples that remain when all its pairs fit into the context."""
    wanted_N_M: NDArray[np.bool_]
    """The pairs that some column needs."""
    files: BlockFiles

    @classmethod
    def of(
        cls, responses: SubsetResponses, wanted_N_N: NDArray[np.bool_], encoder: PairEncoder, files: BlockFiles
    ) -> "PairPool":
        """Encode a subset; `wanted_N_N` are the pairs of samples that every column needs as far as they fit."""
        prefixes = [encoder.prefix(sample) for sample in responses.samples]
        continuations = [encoder.response(text) for text in responses.texts]
        prefix_N = np.array([len(ids) for ids in prefixes])
        response_M = np.array([len(response.ids) for response in continuations])
        wanted_N_M = np.zeros((len(prefixes), len(continuations)), dtype=bool)
        scored: dict[str, NDArray[np.bool_]] = {}
        for column, numbers_N in responses.columns.items():
            response_N = np.where(numbers_N == NO_RESPONSE, 0, response_M[numbers_N])
            kept_N = scored[column] = fitting_samples(prefix_N, response_N, wanted_N_N, encoder.context_length)
            responses.mark(wanted_N_M, column, wanted_N_N & kept_N[:, None] & kept_N[None, :])
        folds = [encoder.estimator.fold_of(sample.sample_id) for sample in responses.samples]
        return cls(responses, prefixes, continuations, folds, scored, wanted_N_M, files)

    def unscored(self) -> dict[str, list[str]]:
        """Return the IDs of the samples whose response in a column does not fit, of the columns that have any."""
        left = {
            column: np.flatnonzero(~kept_N & (self.responses.columns[column] != NO_RESPONSE))
            for column, kept_N in self.scored.items()
        }
        samples = self.responses.samples
        return {column: [samples[i].sample_id for i in places] for column, places in left.items() if len(places)}

    def missing(self, fold: int) -> list[int]:
        """Return the numbers of a fold's rows that are not made yet."""
        made = self._made()
        return [i for i, own in enumerate(self.folds) if own == fold and i not in made]

    def finish(self) -> int:
        """Turn the rows into the block if all are there, and return how many there are."""
        made = len(self._made())
        if made == len(self.folds) and not self.files.is_whole():
            self.files.finish(made)
        return made

    def score(self, scorer: LikelihoodScorer, fold: int, advance: Advance) -> int:
        """Make a fold's missing rows, and the block if they were the last; return the tokens that went through."""
        tokens = 0
        for i in self.missing(fold):
            wanted = {m: self.continuations[m] for m in np.flatnonzero(self.wanted_N_M[i]).tolist()}
            own = int(self.responses.columns[GOLDEN][i])
            row = RowTokens(self.prefixes[i], wanted)
            try:
                scored = score_row(scorer, {GOLDEN: row}, own, len(self.continuations))
            except FloatingPointError as error:
                raise _not_a_number(self.responses.samples[i]) from error
            self.files.append(i, scored[GOLDEN])
            tokens += (len(row.prefix) if wanted else 0) + sum(len(response.ids) for response in wanted.values())
            advance(1)
        self.finish()
        return tokens

    def _made(self) -> set[int]:
        return set(range(len(self.folds))) if self.files.is_whole() else set(self.files.rows())


def _not_a_number(sample: Sample) -> RunFailure:
    return RunFailure(
        f"the estimator gave a response behind the input of sample {sample.sample_id} a log-probability that is NaN "
        "or infinite; its weights are damaged, or they need float32 (compute.dtype)"
    )
