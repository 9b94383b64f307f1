"""The pairs of one subset: which there are, which are made already, and how the missing ones are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import Mistake, UserMistakes
from benchmark.progress import Advance
from benchmark.prompts import Prompt
from benchmark.sample import Sample
from recipes.schema import ScoringSettings
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.negatives import Negatives, choose_negatives
from scoring.pair_matrix import CandidateResponse, name_the_samples, score_row
from scoring.pair_tokens import ColumnTokens, ExactTokens
from scoring.released import ReleasedTokens, released_negatives


def check_arithmetic(n_folds: int, arithmetic: str, where: str) -> list[Mistake]:
    """Return a mistake where an estimator of several folds is asked for the released arithmetic; `where` names it."""
    if n_folds == 1 or arithmetic != "released":
        return []
    problem = f"has {n_folds} folds, and the released arithmetic compares all samples under one model"
    return [Mistake(where, problem, "take arithmetic exact, or an estimator without folds")]


def subset_negatives(
    samples: Sequence[Sample], settings: ScoringSettings, seed: int, estimator: Estimator
) -> Negatives:
    """Return the negatives of a subset under the recipe's arithmetic, each sample's from its own fold.

    Raises:
        UserMistakes: the released arithmetic is asked of an estimator of several folds.
    """
    if mistakes := check_arithmetic(estimator.n_folds, settings.arithmetic, str(estimator.folder)):
        raise UserMistakes(mistakes)
    if settings.arithmetic == "released":
        return released_negatives(len(samples))
    return choose_negatives(samples, pairs=settings.pairs, seed=seed, folds=estimator.folds_of(samples))


@dataclass(frozen=True)
class SubsetPairs:
    """One subset: its samples, all columns' responses, and where their blocks lie."""

    samples: Sequence[Sample]
    prompts: Sequence[Prompt]
    """What each sample's responses are scored behind."""
    folds: Sequence[int]
    """The fold whose policy model scores each sample's row."""
    responses: Mapping[str, Sequence[CandidateResponse]]
    """Column name -> the response to each sample."""
    negatives: Negatives
    files: Mapping[str, BlockFiles]
    """Column name -> its block; columns with equal responses have one and the same."""
    arithmetic: str

    def missing(self) -> list[str]:
        """Return the columns whose block is not finished; of those with one block, the first."""
        owners: dict[BlockFiles, str] = {}
        for name, files in self.files.items():
            owners.setdefault(files, name)
        return [name for files, name in owners.items() if not files.is_whole()]

    def rows(self, fold: int) -> list[int]:
        """Return the numbers of the rows that a fold scores."""
        return [i for i, own in enumerate(self.folds) if own == fold]

    @cached_property
    def pairs_N(self) -> NDArray[np.int64]:
        """The number of pairs in each row, those of all columns together; what progress is told in."""
        return np.asarray(len(self.responses) * self.negatives.wanted_N_N.sum(axis=1), dtype=np.int64)

    def n_pairs(self, fold: int | None = None) -> int:
        """Return how many pairs the rows of a fold have; None for all rows."""
        return int(self.pairs_N.sum() if fold is None else self.pairs_N[self.rows(fold)].sum())

    def has_open_rows(self, fold: int) -> bool:
        """Tell whether a row of the fold is missing in some column."""
        return any(not made.issuperset(self.rows(fold)) for made in self._made(self.missing(), fold).values())

    def score(self, scorer: LikelihoodScorer, fold: int, advance: Advance) -> int:
        """Make the fold's missing rows and return the tokens that went through; other folds may be made beside it."""
        names, tokens = self.missing(), 0
        encoded = {name: self._tokens(scorer.lm, name) for name in names}
        made = self._made(names, fold)
        for i in self.rows(fold):
            tokens += self._score_row(scorer, {name: encoded[name] for name in names if i not in made[name]}, i)
            advance(int(self.pairs_N[i]))
        return tokens

    def finish(self) -> None:
        """Turn the columns whose rows are all there into blocks."""
        for name, made in self._made(self.missing()).items():
            if len(made) == len(self.samples):
                self.files[name].finish(len(self.samples))

    def _made(self, names: Sequence[str], fold: int | None = None) -> dict[str, set[int]]:
        return {name: set(self.files[name].rows(fold)) for name in names}

    def _score_row(self, scorer: LikelihoodScorer, columns: Mapping[str, ColumnTokens], i: int) -> int:
        rows = {name: column.row(i) for name, column in columns.items()}
        try:
            scored = score_row(scorer, rows, i, len(self.samples))
        except FloatingPointError as error:
            raise name_the_samples(error, i, [sample.sample_id for sample in self.samples]) from error
        for name, row in scored.items():
            self.files[name].append(i, row, part=self.folds[i])
        prefixes = {row.prefix for row in rows.values() if row.continuations}
        return sum(map(len, prefixes)) + sum(len(c.ids) for row in rows.values() for c in row.continuations.values())

    def _tokens(self, lm: CausalLM, name: str) -> ColumnTokens:
        kind = ReleasedTokens if self.arithmetic == "released" else ExactTokens
        return kind(lm, self.prompts, self.responses[name], self.negatives.wanted_N_N)
