"""The stage that scores responses under the estimator: a block of pairs for each subset and column.

A column is the golden responses or one method's. A block's folder is named by a hash of what it depends on: the
estimator, the samples, the responses themselves, settings and machine. So adding a method costs its own columns
alone, equal responses are scored once, and a row of pairs that is made is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import content_key, write_json
from benchmark.sample import Sample
from recipes.columns import Column, all_candidates
from recipes.environment import Compute, package_versions
from recipes.schema import ScoringSettings
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.subset_pairs import SubsetPairs, subset_negatives
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator, read_estimator
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm
from scoring.pair_matrix import CandidateResponse

BLOCKS = "blocks.json"
"""Column name -> subset -> folder of its block, relative to the run directory."""


@dataclass(frozen=True)
class LikelihoodStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    columns: Sequence[Column]
    test: Mapping[str, Sequence[Sample]]
    settings: ScoringSettings
    seed: int
    compute: Compute
    run_folder: Path
    progress: Progress

    def __call__(self, folder: Path) -> StageReport:
        """Score every pair that has no likelihood yet, each input encoded once for all columns."""
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        responses = all_candidates(self.columns, [sample for samples in self.test.values() for sample in samples])
        work = {key: self._subset(key, estimator, responses) for key in self.test}
        blocks = {
            name: {key: str(w.files[name].folder.relative_to(self.run_folder)) for key, w in work.items()}
            for name in responses
        }
        write_json(folder / BLOCKS, blocks)  # before the work, so that a stage that was interrupted is told as resumed
        tokens = self._score(estimator, list(work.values()))
        scored = [w.files[name].load() for w in work.values() for name in responses]
        return StageReport(
            tokens=tokens,
            counts={
                "pairs": sum(block.n_scored_pairs for block in scored),
                "unscored": sum(int((~block.scored_N).sum()) for block in scored),
            },
        )

    def _score(self, estimator: Estimator, work: Sequence[SubsetPairs]) -> int:
        unfinished = [subset for subset in work if subset.missing()]
        with self.progress.task("likelihoods", sum(len(subset.samples) for subset in work)) as advance:
            advance(sum(len(subset.samples) for subset in work if not subset.missing()))
            if not unfinished:
                return 0
            lm = load_causal_lm(estimator.base_location(), dtype=self.compute.dtype, device=self.compute.device)
            scorer = LikelihoodScorer(lm, batch_tokens=self.settings.batch_tokens)
            return sum(subset.score(scorer, estimator, advance) for subset in unfinished)

    def _subset(
        self, key: str, estimator: Estimator, candidates: Mapping[str, Mapping[str, CandidateResponse]]
    ) -> SubsetPairs:
        samples = self.test[key]
        responses = {name: [given[sample.sample_id] for sample in samples] for name, given in candidates.items()}
        negatives = subset_negatives(samples, self.settings, self.seed)
        parts = [
            estimator.content_hash,
            self.settings.model_dump(include={"batch_tokens", "arithmetic", "pairs"}),
            self.seed if negatives.label.startswith("sampled") else None,
            asdict(self.compute),
            package_versions(),
            [sample.content_hash for sample in samples],
        ]
        hashes = {name: content_key([parts, [asdict(r) for r in given]]) for name, given in responses.items()}
        root = self.run_folder / "stages" / "blocks"
        files = {name: BlockFiles(root / f"{key}-{value[:16]}") for name, value in hashes.items()}
        return SubsetPairs(samples, responses, negatives, files, self.settings.arithmetic)
