"""The stage in which the estimator's reasoning generators write the r of log p(y | x, r) for every test sample.

Each sample's reasoning is written by the generator of its own fold. What a generator wrote is kept in a file of the run
directory that is named after it, so that other methods, further samples and later runs pay for nothing twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmark.progress import Advance, Progress
from benchmark.run_store import content_key, read_jsonl, write_json, write_jsonl
from benchmark.sample import Sample
from recipes.environment import Compute, package_versions
from recipes.stage import Shard, StageReport
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
        estimator = self._estimator()
        samples = self._samples()
        caches = [self._cache(estimator, fold) for fold in range(estimator.n_folds)]
        paths = [str(cache.path.relative_to(self.run_folder)) for cache in caches]
        write_json(folder / CACHES, paths)  # before the work, so that a stage that was interrupted is told as resumed
        made: dict[str, Reasoning] = {}
        tokens = 0
        with self.progress.task("reasoning", len(samples)) as advance:
            for fold in range(estimator.n_folds):
                written, new = self._fold(estimator, fold, advance)
                made |= {one.sample_id: one for one in written}
                tokens += new
                release_memory()
        ordered = [made[sample.sample_id] for sample in samples]
        write_jsonl(folder / REASONING, [_row(one, estimator.fold_of(one.sample_id)) for one in ordered])
        return StageReport(tokens=tokens, counts=reasoning_counts(ordered))

    def shards(self) -> dict[str, Shard]:
        """Return what each fold's generator writes; generators that are one and the same share a file and a shard."""
        estimator = self._estimator()
        folds: dict[Path, list[int]] = {}
        for fold in range(estimator.n_folds):
            folds.setdefault(self._cache(estimator, fold).path, []).append(fold)
        return {f"fold {', '.join(map(str, own))}": partial(self.write, own) for own in folds.values()}

    def write(self, folds: Sequence[int]) -> int:
        """Let the generators of some folds write what is not in their files; return the tokens that went through."""
        estimator = self._estimator()
        total = sum(estimator.fold_of(sample.sample_id) in folds for sample in self._samples())
        with self.progress.task("reasoning", total) as advance:
            return sum(self._fold(estimator, fold, advance)[1] for fold in folds)

    def _estimator(self) -> Estimator:
        return read_estimator(self.estimator_folder / ESTIMATOR)

    def _samples(self) -> list[Sample]:
        return [sample for samples in self.test.values() for sample in samples]

    def _cache(self, estimator: Estimator, fold: int) -> ReasoningCache:
        name = estimator.description.folds[fold].generator_hash[:16]
        circumstances = content_key([asdict(self.compute), package_versions(self.compute)])
        return ReasoningCache(self.run_folder / "stages" / "reasonings" / f"{name}.jsonl", circumstances)

    def _fold(self, estimator: Estimator, fold: int, advance: Advance) -> tuple[list[Reasoning], int]:
        """Return the reasoning of a fold's samples, and the tokens that went through the model for what is new."""

        def load() -> CausalLM:
            return load_causal_lm(
                estimator.base_location(),
                dtype=self.compute.dtype,
                device=self.compute.device,
                adapters=estimator.adapters(fold, "generator"),
            )

        samples = [sample for sample in self._samples() if estimator.fold_of(sample.sample_id) == fold]
        cache, settings = self._cache(estimator, fold), estimator.reasoning_settings
        before = cache.written().keys()
        written = read_or_write_reasonings(load, samples, estimator.renderer, settings, cache, advance)
        pairs = zip(samples, written, strict=True)
        return written, sum(one.prompt_tokens + one.tokens for s, one in pairs if s.content_hash not in before)


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
