"""The stage that writes the bounds on R-EMID, in three named forms, beside the R-EMID that was measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.run_store import read_json, write_json
from benchmark.sample import Sample
from benchmark.subsets import subset
from recipes.columns import GOLDEN
from recipes.schema import ScoringSettings
from recipes.stage import StageReport
from recipes.stage_divergences import DIVERGENCES, component_vectors
from recipes.stage_embeddings import COMPONENTS, load_responses
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_likelihoods import BLOCKS
from recipes.stage_scores import ID, REMID, ScoredMethod, interval_fields
from scoring.block_files import BlockFiles
from scoring.bound_forms import BoundEstimate, Shift, calibrated_form, corrected_form, theorem_form
from scoring.bound_terms import Deviation, EntropyTerms, entropy_terms, response_deviation, shift_resamples
from scoring.clusters import SampleClusters
from scoring.estimator import read_estimator
from scoring.models.causal_lm import load_chat
from scoring.pair_matrix import PairBlock
from scoring.resamples import Resamples
from scoring.statistics import interval

BOUNDS = "bounds.json"


@dataclass(frozen=True)
class BoundStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    scores_folder: Path
    divergences_folder: Path
    likelihoods_folder: Path
    sample_embeddings: Path
    response_embeddings: Mapping[str, Path]
    """Column name -> folder of its stage."""
    run_folder: Path
    methods: Sequence[ScoredMethod]
    n_train: int
    whole_test: Mapping[str, Sequence[Sample]]
    """All test samples: what the divergences of the inputs are measured on."""
    test: Mapping[str, Sequence[Sample]]
    """The samples that were answered and scored."""
    settings: ScoringSettings
    seed: int

    def __call__(self, folder: Path) -> StageReport:
        """Write one row a method, shifted subset and form; what cannot be estimated is null."""
        shifted = [key for key in self.test if key != ID] if ID in self.test else []
        rows = [row for method in self.methods for key in shifted for row in self._rows(method, key)]
        write_json(folder / BOUNDS, rows)
        return StageReport(counts={"rows": len(rows)})

    def _rows(self, method: ScoredMethod, key: str) -> list[dict[str, Any]]:
        shift = self._shifts[key]
        entropies, tokens = self._entropies(method, key)
        deviations = self._deviation(method, ID), self._deviation(method, key)
        n_clusters = min(self._clusters.weights(self.whole_test[name]).n_clusters for name in (ID, key))
        forms = [
            theorem_form(shift, entropies, *deviations, rule=self.settings.h_hat),
            calibrated_form(shift, self.settings.embedding),
            corrected_form(shift, entropies, *deviations, log_n_responses=tokens * self._log_vocabulary),
        ]
        return [self._row(method, key, form, n_clusters) for form in forms]

    def _row(self, method: ScoredMethod, key: str, form: BoundEstimate, n_clusters: int) -> dict[str, Any]:
        remid = self._remid[method.base_model, method.method, key, form.unit]
        found = None if form.resamples is None else interval(form.resamples, n_clusters)
        return {
            "base_model": method.base_model,
            "method": method.method,
            "subset": key,
            "shift": subset(key).shift,
            "form": form.form,
            **{f"jsd_{name}": form.jsd.get(name) for name in COMPONENTS},
            "jsd_null": form.jsd_null,
            "h_hat": form.h_hat,
            "delta": form.delta,
            "bound": form.bound,
            **interval_fields(found, "bound_ci"),
            "bound_bias_removed": form.bound_bias_removed,
            "remid": remid["remid"],
            "remid_ci_low": remid["ci_low"],
            "remid_ci_high": remid["ci_high"],
            "remid_interval_reliable": remid["interval_reliable"],
            "unit": form.unit,
            "estimator": remid["estimator"],
            "arithmetic": remid["arithmetic"],
            "embedding": self.settings.embedding,
            "label": form.label,
        }

    @cached_property
    def _log_vocabulary(self) -> float:
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        return math.log(load_chat(estimator.base_location()).vocabulary_size)

    @cached_property
    def _remid(self) -> dict[tuple[str | None, str, str, str], dict[str, Any]]:
        rows = read_json(self.scores_folder / REMID)
        return {(row["base_model"], row["method"], row["subset"], row["unit"]): row for row in rows}

    @cached_property
    def _clusters(self) -> SampleClusters:
        samples = [sample for samples in self.whole_test.values() for sample in samples]
        return SampleClusters(samples, resamples=self.settings.resamples, seed=self.seed)

    @cached_property
    def _vectors(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        return component_vectors(self.sample_embeddings, self.n_train, self.whole_test)

    @cached_property
    def _shifts(self) -> dict[str, Shift]:
        """Return the divergences of each shifted subset with their resamples."""
        rows = {(row["subset"], row["component"]): row for row in read_json(self.divergences_folder / DIVERGENCES)}
        return {
            key: Shift(
                components={name: rows[key, name] for name in COMPONENTS},
                joint=rows[key, "joint"],
                resamples={name: self._shift_resamples(key, name) for name in COMPONENTS},
            )
            for key in self.test
            if key != ID
        }

    def _shift_resamples(self, key: str, component: str) -> Resamples:
        weights = [self._clusters.weights(self.whole_test[name]) for name in (ID, key)]
        return shift_resamples(self._vectors[ID][component], self._vectors[key][component], weights[0], weights[1])

    def _entropies(self, method: ScoredMethod, key: str) -> tuple[EntropyTerms | None, int]:
        """Return the entropy terms over `id` and the subset, and the most tokens of a response."""
        blocks = [(self._block(GOLDEN, name), self._block(method.column, name)) for name in (ID, key)]
        most = max(int(block.tokens_N_N.max()) for pair in blocks for block in pair)
        return entropy_terms(blocks, self.settings.h_hat), most

    def _deviation(self, method: ScoredMethod, key: str) -> Deviation | None:
        rows = load_responses(self.response_embeddings[method.column], self.test)[key]
        chosen = [self._whole_index[sample.sample_id] for sample in self.test[key]]
        golden = self._vectors[key]["golden"][chosen]
        return response_deviation(rows, golden, self._clusters.weights(self.test[key]))

    @cached_property
    def _whole_index(self) -> dict[str, int]:
        return {s.sample_id: index for samples in self.whole_test.values() for index, s in enumerate(samples)}

    def _block(self, column: str, key: str) -> PairBlock:
        folders = read_json(self.likelihoods_folder / BLOCKS)
        return BlockFiles(self.run_folder / folders[column][key]).load()
