"""The stage in which the estimator's reasoning generators write the r of log p(y | x, r) for every test sample.

Each sample's reasoning is written by the generator of its own fold. What a generator wrote is kept in a file of the run
directory that is named after it, so that other methods, further samples and later runs pay for nothing twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.progress import Advance, Progress
from benchmark.run_store import content_key, read_jsonl, write_json, write_jsonl
from benchmark.sample import Sample
from recipes.environment import Compute, package_versions
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from scoring.estimator import Estimator, read_estimator
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.memory import release_memory
from scoring.reasoning import Reasoning, ReasoningCache, read_or_write_reasonings, reasoning_counts

REASONING = "reasoning.jsonl"
CACHES = "caches.json"
"""The file of each fold's generator, relative to the run directory."""


@dataclass(frozen=True)
class ReasoningStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    test: Mapping[str, Sequence[Sample]]
    compute: Compute
    run_folder: Path
    progress: Progress

    def __call__(self, folder: Path) -> StageReport:
        """Write `reasoning.jsonl`, a line a sample in order; one generator is in memory at a time."""
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        samples = [sample for samples in self.test.values() for sample in samples]
        caches = [self._cache(estimator, fold) for fold in range(estimator.n_folds)]
        paths = [str(cache.path.relative_to(self.run_folder)) for cache in caches]
        write_json(folder / CACHES, paths)  # before the work, so that a stage that was interrupted is told as resumed
        before = [cache.written().keys() for cache in caches]
        made: dict[str, Reasoning] = {}
        with self.progress.task("reasoning", len(samples)) as advance:
            for fold, cache in enumerate(caches):
                own = [sample for sample in samples if estimator.fold_of(sample.sample_id) == fold]
                made |= {one.sample_id: one for one in self._fold(estimator, fold, own, cache, advance)}
                release_memory()
        new = [s for s in samples if s.content_hash not in before[estimator.fold_of(s.sample_id)]]
        ordered = [made[sample.sample_id] for sample in samples]
        write_jsonl(folder / REASONING, [_row(one, estimator.fold_of(one.sample_id)) for one in ordered])
        return StageReport(
            tokens=sum(made[s.sample_id].prompt_tokens + made[s.sample_id].tokens for s in new),
            counts=reasoning_counts(ordered),
        )

    def _cache(self, estimator: Estimator, fold: int) -> ReasoningCache:
        name = estimator.description.folds[fold].generator_hash[:16]
        circumstances = content_key([asdict(self.compute), package_versions()])
        return ReasoningCache(self.run_folder / "stages" / "reasonings" / f"{name}.jsonl", circumstances)

    def _fold(
        self, estimator: Estimator, fold: int, samples: Sequence[Sample], cache: ReasoningCache, advance: Advance
    ) -> list[Reasoning]:
        def load() -> CausalLM:
            return load_causal_lm(
                estimator.base_location(),
                dtype=self.compute.dtype,
                device=self.compute.device,
                adapters=estimator.adapters(fold, "generator"),
            )

        settings = estimator.reasoning_settings
        return read_or_write_reasonings(load, samples, estimator.renderer, settings, cache, advance)


def _row(found: Reasoning, fold: int) -> dict[str, object]:
    """Return a line of the file: the whole text is null where the prompt left no room for one."""
    return {
        "sample_id": found.sample_id,
        "fold": fold,
        "reasoning": None if found.finish_reason == "prompt_too_long" else found.text,
        "shown": found.shown,
        "marked": found.marked,
        "finish_reason": found.finish_reason,
    }


def load_shown(folder: Path) -> dict[str, str]:
    """Return what the policy models are shown, by sample ID."""
    return {row["sample_id"]: row["shown"] for row in read_jsonl(folder / REASONING)}
