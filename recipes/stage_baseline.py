"""The stage that computes the baseline which R-EMI extends: EMI by a Gaussian CLUB on sentence embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.run_store import write_json
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from benchmark.subsets import subset
from recipes.schema import ScoringSettings
from recipes.stage import StageReport
from recipes.stage_embeddings import COMPONENTS, VECTORS, load_responses, load_vectors
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_scores import ID, ScoredMethod, interval_fields
from recipes.subset_pairs import subset_negatives
from scoring.clusters import SampleClusters
from scoring.estimator import read_estimator
from scoring.gaussian_club import GaussianClub, GaussianClubSettings, train_gaussian_club
from scoring.remi import RemiEstimate, SubsetRemi, estimate_remid
from scoring.stratified import MINIMUM_SAMPLES

BASELINE = "baseline_emi.json"
UNIT = "nats_per_embedding"


@dataclass(frozen=True)
class BaselineStage:
    """Everything that the stage's work needs."""

    estimator_folder: Path
    """Its folds decide about the negatives and their weights, which are those of R-EMI; nothing else of it is read."""
    sample_embeddings: Path
    response_embeddings: Mapping[str, Path]
    """Column name -> folder of its stage."""
    methods: Sequence[ScoredMethod]
    train: Sequence[Sample]
    whole_test: Mapping[str, Sequence[Sample]]
    test: Mapping[str, Sequence[Sample]]
    settings: ScoringSettings
    seed: int

    def __call__(self, folder: Path) -> StageReport:
        """Train the network on golden pairs of the training samples; write EMI and EMID of each method and subset."""
        vectors = load_vectors(self.sample_embeddings / VECTORS)
        inputs = _inputs(vectors)
        n_train = len(self.train)
        rows: list[dict[str, Any]] = []
        if n_train >= MINIMUM_SAMPLES:
            settings = GaussianClubSettings()
            seed = derive_seed(self.seed, "gaussian club")
            club = train_gaussian_club(inputs[:n_train], vectors["golden"][:n_train], settings, seed)
            golden = self._drawn(vectors["golden"])
            rows = [row for m in self.methods for row in self._rows(m, club, self._drawn(inputs), golden)]
        write_json(folder / BASELINE, rows)
        return StageReport(counts={"rows": len(rows), "training_pairs": n_train})

    def _rows(
        self,
        method: ScoredMethod,
        club: GaussianClub,
        inputs: Mapping[str, NDArray[np.float64]],
        golden: Mapping[str, NDArray[np.float64]],
    ) -> list[dict[str, Any]]:
        of_method = load_responses(self.response_embeddings[method.column], self.test)
        found = {key: self._estimate(club, key, inputs[key], golden[key], of_method[key]) for key in self.test}
        return [self._row(method, key, found, len(self.train)) for key in self.test]

    def _estimate(
        self,
        club: GaussianClub,
        key: str,
        inputs_N_D: NDArray[np.float64],
        golden_N_D: NDArray[np.float64],
        method_N_D: NDArray[np.float64],
    ) -> RemiEstimate:
        answered_N = np.asarray(np.isfinite(method_N_D).all(axis=1))
        shown = np.where(answered_N[:, None], method_N_D, golden_N_D)  # rows without a response are left out below
        return self._subsets[key].estimate(
            club.log_densities(inputs_N_D, golden_N_D), club.log_densities(inputs_N_D, shown), answered_N
        )

    @cached_property
    def _subsets(self) -> dict[str, SubsetRemi]:
        samples = [sample for samples in self.test.values() for sample in samples]
        clusters = SampleClusters(samples, resamples=self.settings.resamples, seed=self.seed)
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        return {
            key: SubsetRemi(chosen, subset_negatives(chosen, self.settings, self.seed, estimator), clusters)
            for key, chosen in self.test.items()
        }

    def _row(self, method: ScoredMethod, key: str, found: Mapping[str, RemiEstimate], n_train: int) -> dict[str, Any]:
        estimate = found[key]
        shifted = ID in found and key != ID
        return {
            "base_model": method.base_model,
            "method": method.method,
            "subset": key,
            "shift": subset(key).shift,
            "emi": estimate.remi,
            "model_mi": estimate.model_mi,
            "reference_mi": estimate.reference_mi,
            **interval_fields(estimate.interval),
            "emid": estimate_remid(found[ID], estimate).remid if shifted else None,
            "n_samples": estimate.n_samples,
            "n_clusters": estimate.n_clusters,
            "n_training_pairs": n_train,
            "unit": UNIT,
            "estimator": f"Gaussian CLUB on {self.settings.embedding}",
            "seed": self.seed,
        }

    def _drawn(self, rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the rows of the test samples that were answered, by subset."""
        whole = [sample.sample_id for samples in self.whole_test.values() for sample in samples]
        places = {sample_id: len(self.train) + index for index, sample_id in enumerate(whole)}
        return {key: rows[[places[s.sample_id] for s in samples]] for key, samples in self.test.items()}


def _inputs(vectors: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of the embeddings of persona, character and dialogue, as EMID averages those of its inputs."""
    return np.asarray(np.mean([vectors[name] for name in COMPONENTS], axis=0))
