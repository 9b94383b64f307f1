"""The stages of a study of degradations behind its likelihoods and embeddings: trends of R-EMI, and of EMI beside them.

EMI is the baseline that R-EMI extends, a Gaussian CLUB on sentence embeddings (see `recipes.stage_baseline`). It has
one network for all samples, so that its negatives know no folds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.progress import Progress
from benchmark.run_store import write_json
from benchmark.seeds import derive_seed
from recipes.degradation_design import NO_RESPONSE, Design, SubsetResponses
from recipes.degradation_likelihoods import load_scored
from recipes.degradation_trends import MeasuredSubset, Rows, trend_rows
from recipes.stage import StageReport
from recipes.stage_baseline import UNIT
from recipes.stage_embeddings import BATCH, COMPONENTS, VECTORS, load_vectors, save_vectors
from recipes.stage_estimator import ESTIMATOR
from recipes.subset_pairs import subset_negatives
from scoring.embeddings import SentenceEmbedder
from scoring.estimator import read_estimator
from scoring.gaussian_club import GaussianClubSettings, train_gaussian_club
from scoring.negatives import choose_negatives
from scoring.remi import UNITS, block_matrix

TRENDS = "trends.json"


def embed_distinct(embedder: SentenceEmbedder, design: Design, progress: Progress, folder: Path) -> StageReport:
    """Embed every distinct response of every subset; a text that several subsets have is embedded once."""
    texts = list(dict.fromkeys(text for found in design.subsets.values() for text in found.texts))
    pieces = []
    with progress.task("embeddings", len(texts)) as advance:
        for start in range(0, len(texts), BATCH):
            pieces.append(embedder.embed(texts[start : start + BATCH]))
            advance(len(pieces[-1]))
    vectors, place = np.concatenate(pieces), {text: row for row, text in enumerate(texts)}
    own = {key: vectors[[place[text] for text in found.texts]] for key, found in design.subsets.items()}
    save_vectors(folder / VECTORS, own)
    return StageReport(counts={"texts": len(texts)})


@dataclass(frozen=True)
class RemiTrends:
    """Makes the trends of R-EMI under one estimator."""

    estimator_folder: Path
    likelihoods_folder: Path
    design: Design
    run_folder: Path

    def __call__(self, folder: Path) -> StageReport:
        """Write the trends in both units, a token and a response."""
        estimator = read_estimator(self.estimator_folder / ESTIMATOR)
        scored = load_scored(self.likelihoods_folder, self.run_folder, self.design)
        settings = self.design.settings
        measured = {
            key: MeasuredSubset(
                responses,
                {unit: block_matrix(scored[key].block, unit) for unit in UNITS},
                scored[key].scored,
                subset_negatives(responses.samples, settings.scoring, settings.seed, estimator),
            )
            for key, responses in self.design.subsets.items()
        }
        return _written(folder, trend_rows(self.design, measured))


@dataclass(frozen=True)
class EmiTrends:
    """Trains the baseline's network on golden pairs of the training samples and makes the trends of EMI."""

    sample_embeddings: Path
    """Of the training samples, then the test samples."""
    response_embeddings: Path
    design: Design

    def __call__(self, folder: Path) -> StageReport:
        """Write the trends; the network is the one that `rpm-methods score` trains with the same seed."""
        samples, responses = (
            load_vectors(path / VECTORS) for path in (self.sample_embeddings, self.response_embeddings)
        )
        inputs, n_train = np.mean([samples[name] for name in COMPONENTS], axis=0), len(self.design.train)
        seed = derive_seed(self.design.settings.seed, "gaussian club")
        club = train_gaussian_club(inputs[:n_train], samples["golden"][:n_train], GaussianClubSettings(), seed)
        sizes = [len(found.samples) for found in self.design.subsets.values()]
        inputs_by_subset = np.split(inputs[n_train:], np.cumsum(sizes)[:-1])
        measured = {
            key: self._measured(found, club.log_densities(own, responses[key]))
            for (key, found), own in zip(self.design.subsets.items(), inputs_by_subset, strict=True)
        }
        return _written(folder, trend_rows(self.design, measured))

    def _measured(self, found: SubsetResponses, log_densities_N_M: NDArray[np.float64]) -> MeasuredSubset:
        scored = {column: numbers_N != NO_RESPONSE for column, numbers_N in found.columns.items()}
        settings = self.design.settings
        negatives = choose_negatives(found.samples, pairs=settings.scoring.pairs, seed=settings.seed)
        return MeasuredSubset(found, {UNIT: log_densities_N_M}, scored, negatives)


def _written(folder: Path, rows: Rows) -> StageReport:
    write_json(folder / TRENDS, rows)
    return StageReport(counts={"slopes": len(rows["slopes"])})
