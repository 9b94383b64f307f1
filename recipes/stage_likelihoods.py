"""The stage that scores responses under the estimator: a block of pairs for each subset and column.

A column is the golden responses or one method's. A block's folder is named by a hash of what it depends on: the
estimator, the samples with their reasoning, the responses themselves, settings and machine. So adding a method costs
its own columns alone, equal responses are scored once, and a row of pairs that is made is kept. With an estimator of
several folds each row is scored under the policy model of its own, and one such model is in memory at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.progress import Advance, Progress
from benchmark.run_store import content_key, write_json
from benchmark.sample import Sample
from recipes.columns import Column, all_candidates
from recipes.environment import Compute, package_versions
from recipes.schema import ScoringSettings
from recipes.stage import Shard, StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_reasoning import load_shown
from recipes.subset_pairs import SubsetPairs, subset_negatives
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator, read_estimator
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm
from scoring.models.memory import release_memory
from scoring.pair_matrix import CandidateResponse

BLOCKS = "blocks.json"
"""Column name -> subset -> folder of its block, relative to the run directory."""


@dataclass(frozen=True)
class LikelihoodStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    reasoning_folder: Path | None
    """Folder of the reasoning stage; None for an estimator without reasoning."""
    columns: Sequence[Column]
    test: Mapping[str, Sequence[Sample]]
    settings: ScoringSettings
    seed: int
    compute: Compute
    run_folder: Path
    progress: Progress

    def __call__(self, folder: Path) -> StageReport:
        """Score every pair that has no likelihood yet, each input encoded once for all columns."""
        estimator = self._estimator()
        work = self._subsets(estimator)
        responses = next(iter(work.values())).responses
        blocks = {
            name: {key: str(w.files[name].folder.relative_to(self.run_folder)) for key, w in work.items()}
            for name in responses
        }
        write_json(folder / BLOCKS, blocks)  # before the work, so that a stage that was interrupted is told as resumed
        tokens = self._score(estimator, list(work.values()))
        scored = [w.files[name].load() for w in work.values() for name in responses]
        counts = {
            "pairs": sum(block.n_scored_pairs for block in scored),
            "unscored": sum(int((~block.scored_N).sum()) for block in scored),
        }
        if estimator.n_folds > 1:
            counts["rows_without_negatives"] = sum(w.negatives.rows_without_negatives for w in work.values())
        return StageReport(tokens=tokens, counts=counts)

    def shards(self) -> dict[str, Shard]:
        """Return the rows of each subset and fold, which depend on nothing else and lie in files of their own."""
        n_folds = self._estimator().n_folds
        shards: dict[str, Shard] = {}
        for key, samples in self.test.items():
            alone = replace(self, test={key: samples})
            for fold in range(n_folds):
                shards[key if n_folds == 1 else f"{key}, fold {fold}"] = partial(alone.score, fold)
        return shards

    def score(self, fold: int) -> int:
        """Make the missing rows of a fold, but no block of them, and return the tokens that went through the model."""
        estimator = self._estimator()
        work = list(self._subsets(estimator).values())
        title = f"likelihoods of {', '.join(self.test)}"
        with self.progress.task(title, sum(subset.n_pairs(fold) for subset in work)) as advance:
            return self._score_fold(estimator, fold, work, advance)

    def _score(self, estimator: Estimator, work: Sequence[SubsetPairs]) -> int:
        for subset in work:
            subset.finish()  # an interrupted run, or shards, may have made the last row
        unfinished = [subset for subset in work if subset.missing()]
        tokens = 0
        with self.progress.task("likelihoods", sum(subset.n_pairs() for subset in work)) as advance:
            advance(sum(subset.n_pairs() for subset in work if not subset.missing()))
            for fold in range(estimator.n_folds):
                tokens += self._score_fold(estimator, fold, unfinished, advance)
                release_memory()
        for subset in unfinished:
            subset.finish()
        return tokens

    def _score_fold(self, estimator: Estimator, fold: int, work: Sequence[SubsetPairs], advance: Advance) -> int:
        """Make the missing rows of a fold; its policy model is loaded if there are any, and gone afterwards."""
        if not any(subset.has_open_rows(fold) for subset in work):
            advance(sum(subset.n_pairs(fold) for subset in work))
            return 0
        lm = load_causal_lm(
            estimator.base_location(),
            dtype=self.compute.dtype,
            device=self.compute.device,
            adapters=estimator.adapters(fold, "policy"),
        )
        scorer = LikelihoodScorer(lm, batch_tokens=self.settings.batch_tokens)
        return sum(subset.score(scorer, fold, advance) for subset in work)

    def _estimator(self) -> Estimator:
        return read_estimator(self.estimator_folder / ESTIMATOR)

    def _subsets(self, estimator: Estimator) -> dict[str, SubsetPairs]:
        shown = None if self.reasoning_folder is None else load_shown(self.reasoning_folder)
        responses = all_candidates(self.columns, [sample for samples in self.test.values() for sample in samples])
        return {key: self._subset(key, estimator, shown, responses) for key in self.test}

    def _subset(
        self,
        key: str,
        estimator: Estimator,
        shown: Mapping[str, str] | None,
        candidates: Mapping[str, Mapping[str, CandidateResponse]],
    ) -> SubsetPairs:
        samples = self.test[key]
        reasonings = [None if shown is None else shown[sample.sample_id] for sample in samples]
        responses = {name: [given[sample.sample_id] for sample in samples] for name, given in candidates.items()}
        negatives = subset_negatives(samples, self.settings, self.seed, estimator)
        parts = [
            estimator.content_hash,
            self.settings.model_dump(include={"batch_tokens", "arithmetic", "pairs"}),
            self.seed if negatives.label.startswith("sampled") else None,
            asdict(self.compute),
            package_versions(self.compute),
            [sample.content_hash for sample in samples],
            *([] if shown is None else [reasonings]),
        ]
        hashes = {name: content_key([parts, [asdict(r) for r in given]]) for name, given in responses.items()}
        root = self.run_folder / "stages" / "blocks"
        return SubsetPairs(
            samples=samples,
            prompts=[estimator.prompt(sample, r) for sample, r in zip(samples, reasonings, strict=True)],
            folds=[estimator.fold_of(sample.sample_id) for sample in samples],
            responses=responses,
            negatives=negatives,
            files={name: BlockFiles(root / f"{key}-{value[:16]}") for name, value in hashes.items()},
            arithmetic=self.settings.arithmetic,
        )
