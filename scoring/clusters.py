"""Numbers for personas and characters, the same ones in all subsets of a table."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.sample import Sample
from scoring.bootstrap import ClusterBootstrap, SubsetWeights


class SampleClusters:
    """The crossed clusters of a table's samples and their bootstrap weights."""

    def __init__(self, samples: Iterable[Sample], *, resamples: int, seed: int) -> None:
        """Number the personas and characters of all samples of the table and prepare the resamples."""
        table = list(samples)
        self._personas = _numbered(sample.user_persona for sample in table)
        self._characters = _numbered(sample.agent_character for sample in table)
        self.bootstrap = ClusterBootstrap(*self.codes(table), resamples=resamples, seed=seed)

    def codes(self, samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the persona's and the character's number of each sample; KeyError for one not in the table."""
        personas = [self._personas[sample.user_persona] for sample in samples]
        characters = [self._characters[sample.agent_character] for sample in samples]
        return np.array(personas, dtype=np.int64), np.array(characters, dtype=np.int64)

    def weights(self, samples: Sequence[Sample]) -> SubsetWeights:
        """Return the bootstrap weights of some of the table's samples."""
        return self.bootstrap.weights(*self.codes(samples))


def _numbered(values: Iterable[object]) -> dict[object, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
