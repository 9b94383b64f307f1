"""The stage that scores every distinct response of a study of degradations once behind each input of its subset.

A column's N x N block is put together from the N x M block of all distinct responses. It is, up to rounding, the one
that `rpm-methods score` makes of the same responses. Responses that columns share have one and the same likelihood in
all of them, so that rounding cancels where columns are compared. A block's folder is named by a hash of what it depends
on, and a row that is made is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.progress import Advance, Progress
from benchmark.run_store import content_key, read_json, write_json
from recipes.degradation_design import NO_RESPONSE, Design, SubsetResponses
from recipes.degradation_pool import PairEncoder, PairPool
from recipes.environment import Compute, package_versions
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_reasoning import load_shown
from recipes.subset_pairs import subset_negatives
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator, read_estimator
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm
from scoring.models.memory import release_memory
from scoring.pair_matrix import PairBlock

POOLS = "pools.json"
"""Subset -> folder of its block, relative to the run directory, and by column the samples with too long a response."""


@dataclass(frozen=True)
class ScoredResponses:
    """The likelihoods of a subset's distinct responses."""

    block: PairBlock
    """Entry [i, m] belongs to input i and distinct response m; NaN where no column needs it."""
    scored: Mapping[str, NDArray[np.bool_]]
    """Column -> the samples whose response in it is scored, as many as the subset has."""


@dataclass(frozen=True)
class DegradationLikelihoods:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    reasoning_folder: Path | None
    """Folder of the reasoning stage; None for an estimator without reasoning."""
    design: Design
    compute: Compute
    run_folder: Path
    progress: Progress

    def __call__(self, folder: Path) -> StageReport:
        """Score every pair that has no likelihood yet."""
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        shown = None if self.reasoning_folder is None else load_shown(self.reasoning_folder)
        encoder = PairEncoder.of(estimator, shown)
        pools = {key: self._pool(key, encoder) for key in self.design.subsets}
        left = {key: pool.unscored() for key, pool in pools.items()}
        blocks = {
            key: {"block": str(pool.files.folder.relative_to(self.run_folder)), "unscored": left[key]}
            for key, pool in pools.items()
        }
        write_json(folder / POOLS, blocks)  # before the work, so that a stage that was interrupted is told as resumed
        tokens = self._score(estimator, list(pools.values()))
        return StageReport(
            tokens=tokens,
            counts={
                "distinct_responses": sum(len(pool.responses.texts) for pool in pools.values()),
                "pairs": sum(int(pool.wanted_N_M.sum()) for pool in pools.values()),
                "unscored": sum(len(ids) for of_subset in left.values() for ids in of_subset.values()),
            },
        )

    def _pool(self, key: str, encoder: PairEncoder) -> PairPool:
        responses, settings, estimator = self.design.subsets[key], self.design.settings, encoder.estimator
        negatives = subset_negatives(responses.samples, settings.scoring, settings.seed, estimator)
        parts = [
            estimator.content_hash,
            responses.plain(),
            settings.scoring.model_dump(include={"batch_tokens", "pairs"}),
            settings.seed if negatives.label.startswith("sampled") else None,
            asdict(self.compute),
            package_versions(self.compute),
            None if encoder.shown is None else [encoder.shown[sample.sample_id] for sample in responses.samples],
        ]
        files = BlockFiles(self.run_folder / "stages" / "blocks" / f"{key}-distinct-{content_key(parts)[:16]}")
        return PairPool.of(responses, negatives.wanted_N_N, encoder, files)

    def _score(self, estimator: Estimator, pools: Sequence[PairPool]) -> int:
        tokens = 0
        with self.progress.task("likelihoods", sum(len(pool.folds) for pool in pools)) as advance:
            advance(sum(pool.finish() for pool in pools))  # an interrupted run may have made the last row
            for fold in range(estimator.n_folds):
                tokens += self._score_fold(estimator, fold, [pool for pool in pools if pool.missing(fold)], advance)
                release_memory()
        return tokens

    def _score_fold(self, estimator: Estimator, fold: int, pools: Sequence[PairPool], advance: Advance) -> int:
        """Make the missing rows of a fold; its policy model is loaded if there are any, and gone afterwards."""
        if not pools:
            return 0
        lm = load_causal_lm(
            estimator.base_location(),
            dtype=self.compute.dtype,
            device=self.compute.device,
            adapters=estimator.adapters(fold, "policy"),
        )
        scorer = LikelihoodScorer(lm, batch_tokens=self.design.settings.scoring.batch_tokens)
        return sum(pool.score(scorer, fold, advance) for pool in pools)


def load_scored(folder: Path, run_folder: Path, design: Design) -> dict[str, ScoredResponses]:
    """Return what the stage in a folder left, by subset."""
    pools = read_json(folder / POOLS)
    return {
        key: ScoredResponses(
            BlockFiles(run_folder / pools[key]["block"]).load(), _scored(responses, pools[key]["unscored"])
        )
        for key, responses in design.subsets.items()
    }


def _scored(responses: SubsetResponses, unscored: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    found: dict[str, NDArray[np.bool_]] = {}
    for column, numbers_N in responses.columns.items():
        fits_N = np.array([sample.sample_id not in unscored.get(column, ()) for sample in responses.samples])
        found[column] = fits_N & (numbers_N != NO_RESPONSE)
    return found
