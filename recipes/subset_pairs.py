"""The pairs of one subset: which there are, which are made already, and how the missing ones are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.progress import Advance
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


def subset_negatives(samples: Sequence[Sample], settings: ScoringSettings, seed: int) -> Negatives:
    """Return the negatives of a subset under the recipe's arithmetic."""
    if settings.arithmetic == "released":
        return released_negatives(len(samples))
    return choose_negatives(samples, pairs=settings.pairs, seed=seed)


@dataclass(frozen=True)
class SubsetPairs:
    """One subset: its samples, all columns' responses, and where their blocks lie."""

    samples: Sequence[Sample]
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

    def score(self, scorer: LikelihoodScorer, estimator: Estimator, advance: Advance) -> int:
        """Make the missing rows and finish the blocks; return the number of tokens that went through the model."""
        names, tokens = self.missing(), 0
        encoded = {name: self._tokens(scorer.lm, estimator, name) for name in names}
        made = {name: self.files[name].rows().keys() for name in names}
        for i in range(len(self.samples)):
            tokens += self._score_row(scorer, {name: encoded[name] for name in names if i not in made[name]}, i)
            advance(1)
        for name in names:
            self.files[name].finish(len(self.samples))
        return tokens

    def _score_row(self, scorer: LikelihoodScorer, columns: Mapping[str, ColumnTokens], i: int) -> int:
        rows = {name: column.row(i) for name, column in columns.items()}
        try:
            scored = score_row(scorer, rows, i, len(self.samples))
        except FloatingPointError as error:
            raise name_the_samples(error, i, [sample.sample_id for sample in self.samples]) from error
        for name, row in scored.items():
            self.files[name].append(i, row)
        prefixes = {row.prefix for row in rows.values() if row.continuations}
        return sum(map(len, prefixes)) + sum(len(c.ids) for row in rows.values() for c in row.continuations.values())

    def _tokens(self, lm: CausalLM, estimator: Estimator, name: str) -> ColumnTokens:
        kind = ReleasedTokens if self.arithmetic == "released" else ExactTokens
        prompts = [estimator.prompt(sample) for sample in self.samples]
        return kind(lm, prompts, self.responses[name], self.negatives.wanted_N_N)
