"""What bounds are estimated from: the scored blocks of a run, the embeddings of its samples, and what both are of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.run_store import read_json
from benchmark.sample import Sample
from recipes.schema import ScoringSettings
from recipes.stage_divergences import component_vectors
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_likelihoods import BLOCKS
from recipes.stage_scores import ScoredMethod
from scoring.block_files import BlockFiles
from scoring.estimator import Estimator, read_estimator
from scoring.pair_matrix import PairBlock


@dataclass(frozen=True)
class ScoredRun:
    """Folders of finished stages, and the samples and methods that they hold numbers of."""

    folder: Path
    """The run's."""
    estimator_folder: Path
    likelihoods_folder: Path
    sample_embeddings: Path
    methods: Sequence[ScoredMethod]
    n_train: int
    whole_test: Mapping[str, Sequence[Sample]]
    """All test samples: what the divergences of the inputs are measured on."""
    test: Mapping[str, Sequence[Sample]]
    """The samples that were answered and scored."""
    settings: ScoringSettings
    seed: int

    def block(self, column: str, key: str) -> PairBlock:
        """Return the log-probabilities of a column's responses on a subset."""
        return BlockFiles(self.folder / self._block_folders[column][key]).load()

    def estimator(self) -> Estimator:
        """Return what the run was scored with."""
        return read_estimator(self.estimator_folder / ESTIMATOR)

    @cached_property
    def vectors(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Embeddings of the test samples: subset -> component, or "golden" -> rows."""
        return component_vectors(self.sample_embeddings, self.n_train, self.whole_test)

    @cached_property
    def _block_folders(self) -> dict[str, dict[str, str]]:
        return dict(read_json(self.likelihoods_folder / BLOCKS))
