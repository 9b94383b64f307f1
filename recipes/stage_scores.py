"""The stage that turns blocks of likelihoods into R-EMI, R-EMID and differences between methods."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.run_store import read_json, write_json, write_jsonl
from benchmark.sample import Sample
from benchmark.subsets import subset
from recipes.columns import GOLDEN
from recipes.schema import ScoringSettings
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_likelihoods import BLOCKS
from recipes.subset_pairs import subset_negatives
from scoring.block_files import BlockFiles
from scoring.clusters import SampleClusters
from scoring.estimator import Estimator, read_estimator
from scoring.pair_matrix import PairBlock
from scoring.remi import UNITS, RemiEstimate, SubsetRemi, Unit, average_remi, block_matrix, estimate_remid
from scoring.statistics import Interval, MethodMatrix, PairedDifference, SubsetMatrices, paired_differences

REMI = "remi.json"
REMID = "remid.json"
DIFFERENCES = "differences.json"
AVERAGES = "averages.json"
CONTRIBUTIONS = "contributions.jsonl"
FILES = (REMI, AVERAGES, CONTRIBUTIONS, REMID, DIFFERENCES)
ID = "id"


Estimates = Mapping[tuple[str, str, Unit], RemiEstimate]
"""By column of blocks, subset and unit."""


@dataclass(frozen=True)
class ScoredMethod:
    """A method whose responses were scored."""

    base_model: str | None
    """None for responses made elsewhere."""
    method: str
    column: str
    """Name of its column of blocks."""


@dataclass(frozen=True)
class ScoreStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    likelihoods_folder: Path
    run_folder: Path
    methods: Sequence[ScoredMethod]
    test: Mapping[str, Sequence[Sample]]
    settings: ScoringSettings
    seed: int

    def __call__(self, folder: Path) -> StageReport:
        """Write `FILES`; a missing estimate is null."""
        estimates = {
            (method.column, key, unit): self._subsets[key].estimate_blocks(
                self._block(GOLDEN, key), self._block(method.column, key), unit
            )
            for method in self.methods
            for key in self.test
            for unit in UNITS
        }
        remi = [
            self._row(method, key, unit, _remi_fields(estimates[method.column, key, unit]))
            for method in self.methods
            for key in self.test
            for unit in UNITS
        ]
        write_json(folder / REMI, remi)
        write_json(
            folder / AVERAGES, [self._average_row(method, unit, estimates) for method in self.methods for unit in UNITS]
        )
        write_jsonl(folder / CONTRIBUTIONS, self._contribution_rows(estimates))
        write_json(folder / REMID, self._remid_rows(estimates))
        differences = [row for base in dict.fromkeys(m.base_model for m in self.methods) for row in self._compare(base)]
        write_json(folder / DIFFERENCES, differences)
        return StageReport(counts={"rows": len(remi)})

    @cached_property
    def _estimator(self) -> Estimator:
        return read_estimator(self.estimator_folder / ESTIMATOR)

    @cached_property
    def _clusters(self) -> SampleClusters:
        samples = [sample for samples in self.test.values() for sample in samples]
        return SampleClusters(samples, resamples=self.settings.resamples, seed=self.seed)

    @cached_property
    def _subsets(self) -> dict[str, SubsetRemi]:
        return {
            key: SubsetRemi(
                samples, subset_negatives(samples, self.settings, self.seed, self._estimator), self._clusters
            )
            for key, samples in self.test.items()
        }

    @cached_property
    def _folders(self) -> dict[str, dict[str, str]]:
        return dict(read_json(self.likelihoods_folder / BLOCKS))

    def _block(self, column: str, key: str) -> PairBlock:
        return BlockFiles(self.run_folder / self._folders[column][key]).load()

    def _average_row(self, method: ScoredMethod, unit: Unit, estimates: Estimates) -> dict[str, object]:
        own = {key: estimates[method.column, key, unit] for key in self.test}
        took_part = [s for key, found in own.items() for s in _took_part(self.test[key], found)]
        found = average_remi(list(own.values()), self._clusters, took_part)
        return {
            "base_model": method.base_model,
            "method": method.method,
            "average": None if found is None else found.average,
            **interval_fields(None if found is None else found.interval),
            "n_subsets": len(own),
            "n_clusters": None if found is None else found.n_clusters,
            "unit": unit,
            **self._made_with,
        }

    def _contribution_rows(self, estimates: Estimates) -> Iterator[dict[str, object]]:
        """Yield what each sample adds to R-EMI a token, a row for each method and subset that has an estimate."""
        unit: Unit = "nats_per_token"
        for method in self.methods:
            for key, samples in self.test.items():
                values_N = estimates[method.column, key, unit].contributions_N
                if values_N is not None:
                    yield {
                        "base_model": method.base_model,
                        "method": method.method,
                        "subset": key,
                        "unit": unit,
                        "sample_ids": [sample.sample_id for sample in samples],
                        "contributions": [None if np.isnan(value) else float(value) for value in values_N],
                    }

    def _remid_rows(self, estimates: Estimates) -> list[dict[str, object]]:
        rows = []
        for method in self.methods if ID in self.test else ():
            for key in self.test:
                for unit in UNITS if key != ID else ():
                    found = estimate_remid(estimates[method.column, ID, unit], estimates[method.column, key, unit])
                    fields = {"remid": found.remid, **interval_fields(found.interval), "n_clusters": found.n_clusters}
                    rows.append(self._row(method, key, unit, fields))
        return rows

    def _row(self, method: ScoredMethod, key: str, unit: Unit, fields: Mapping[str, object]) -> dict[str, object]:
        return {
            "base_model": method.base_model,
            "method": method.method,
            "subset": key,
            "shift": subset(key).shift,
            **fields,
            "unit": unit,
            **self._made_with,
            "reasoning": self._estimator.description.reasoning,
            "pairs": self._subsets[key].negatives.label,
            "seed": self.seed,
        }

    @cached_property
    def _made_with(self) -> dict[str, object]:
        return {"estimator": self._estimator.label, "arithmetic": self.settings.arithmetic}

    def _compare(self, base_model: str | None) -> list[dict[str, object]]:
        """Return the paired differences between the methods on one base model, a family of tests for each unit."""
        rows: list[dict[str, object]] = []
        for unit in UNITS:
            matrices = {key: self._matrices(base_model, key, unit) for key in self.test}
            for found in paired_differences(matrices, self._clusters.bootstrap):
                rows.append(self._difference_row(base_model, unit, found))
        return rows

    def _matrices(self, base_model: str | None, key: str, unit: Unit) -> SubsetMatrices:
        blocks = {m.method: self._block(m.column, key) for m in self.methods if m.base_model == base_model}
        negatives = self._subsets[key].negatives
        return SubsetMatrices(
            *self._clusters.codes(self.test[key]),
            negatives.mask_N_N,
            {name: MethodMatrix(block_matrix(block, unit), block.scored_N) for name, block in blocks.items()},
            negatives.folds_N,
        )

    def _difference_row(self, base_model: str | None, unit: Unit, found: PairedDifference) -> dict[str, object]:
        return {
            "base_model": base_model,
            "first": found.first,
            "second": found.second,
            "subset": found.subset or "average",
            "difference": found.difference,
            **interval_fields(found.interval),
            "p_value": found.p_value,
            "adjusted_p": found.adjusted_p,
            "n_samples": found.n_samples,
            "n_clusters": found.n_clusters,
            "unit": unit,
            **self._made_with,
        }


def _took_part(samples: Sequence[Sample], found: RemiEstimate) -> list[Sample]:
    if found.contributions_N is None:
        return []
    return [s for s, value in zip(samples, found.contributions_N, strict=True) if not np.isnan(value)]


def interval_fields(found: Interval | None, prefix: str = "ci") -> dict[str, object]:
    """Return an interval's fields as they stand in score files; all null where there is none."""
    return {
        f"{prefix}_low": None if found is None else found.low,
        f"{prefix}_high": None if found is None else found.high,
        "interval_reliable": None if found is None else found.reliable,
    }


def _remi_fields(found: RemiEstimate) -> dict[str, object]:
    kept = ("remi", "model_mi", "reference_mi", "n_samples", "n_clusters", "n_pairs", "n_unscored")
    return {**{name: getattr(found, name) for name in kept}, **interval_fields(found.interval)}
