"""The stage that writes the bounds on R-EMID, in three named forms, beside the R-EMID that was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.run_store import read_json, write_json
from benchmark.subsets import subset
from recipes.columns import GOLDEN
from recipes.scored_run import ScoredRun
from recipes.stage import StageReport
from recipes.stage_divergences import DIVERGENCES
from recipes.stage_embeddings import COMPONENTS, load_responses
from recipes.stage_scores import ID, REMID, ScoredMethod, interval_fields
from scoring.bound_forms import BoundEstimate, Shift, calibrated_form, corrected_form, theorem_form
from scoring.bound_terms import Deviation, EntropyTerms, entropy_terms, response_deviation, shift_resamples
from scoring.clusters import SampleClusters
from scoring.models.causal_lm import load_chat
from scoring.resamples import Resamples
from scoring.statistics import interval

BOUNDS = "bounds.json"


@dataclass(frozen=True)
class BoundStage:
    """Everything that the stage's work needs."""

    run: ScoredRun
    scores_folder: Path
    divergences_folder: Path
    response_embeddings: Mapping[str, Path]
    """Column name -> folder of its stage."""

    def __call__(self, folder: Path) -> StageReport:
        """Write one row a method, shifted subset and form; what cannot be estimated is null."""
        shifted = [key for key in self.run.test if key != ID] if ID in self.run.test else []
        rows = [row for method in self.run.methods for key in shifted for row in self._rows(method, key)]
        write_json(folder / BOUNDS, rows)
        return StageReport(counts={"rows": len(rows)})

    def _rows(self, method: ScoredMethod, key: str) -> list[dict[str, Any]]:
        shift = self._shifts[key]
        entropies, tokens = self._entropies(method, key)
        deviations = self._deviation(method, ID), self._deviation(method, key)
        n_clusters = min(self._clusters.weights(self.run.whole_test[name]).n_clusters for name in (ID, key))
        forms = [
            theorem_form(shift, entropies, *deviations, rule=self.run.settings.h_hat),
            calibrated_form(shift, self.run.settings.embedding),
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
            "embedding": self.run.settings.embedding,
            "label": form.label,
        }

    @cached_property
    def _log_vocabulary(self) -> float:
        return math.log(load_chat(self.run.estimator().base_location()).vocabulary_size)

    @cached_property
    def _remid(self) -> dict[tuple[str | None, str, str, str], dict[str, Any]]:
        rows = read_json(self.scores_folder / REMID)
        return {(row["base_model"], row["method"], row["subset"], row["unit"]): row for row in rows}

    @cached_property
    def _clusters(self) -> SampleClusters:
        samples = [sample for samples in self.run.whole_test.values() for sample in samples]
        return SampleClusters(samples, resamples=self.run.settings.resamples, seed=self.run.seed)

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
            for key in self.run.test
            if key != ID
        }

    def _shift_resamples(self, key: str, component: str) -> Resamples:
        weights = [self._clusters.weights(self.run.whole_test[name]) for name in (ID, key)]
        return shift_resamples(
            self.run.vectors[ID][component], self.run.vectors[key][component], weights[0], weights[1]
        )

    def _entropies(self, method: ScoredMethod, key: str) -> tuple[EntropyTerms | None, int]:
        """Return the entropy terms over `id` and the subset, and the most tokens of a response."""
        blocks = [(self.run.block(GOLDEN, name), self.run.block(method.column, name)) for name in (ID, key)]
        most = max(int(block.tokens_N_N.max()) for pair in blocks for block in pair)
        return entropy_terms(blocks, self.run.settings.h_hat), most

    def _deviation(self, method: ScoredMethod, key: str) -> Deviation | None:
        rows = load_responses(self.response_embeddings[method.column], self.run.test)[key]
        chosen = [self._whole_index[sample.sample_id] for sample in self.run.test[key]]
        golden = self.run.vectors[key]["golden"][chosen]
        return response_deviation(rows, golden, self._clusters.weights(self.run.test[key]))

    @cached_property
    def _whole_index(self) -> dict[str, int]:
        return {s.sample_id: index for samples in self.run.whole_test.values() for index, s in enumerate(samples)}
