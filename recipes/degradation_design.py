"""Who gets which response in every column of a study of degradations, each distinct response of a subset named once.

A column is one kind of damage at one share. Nested shares have most responses in common, and swapped ones are golden
responses of other samples: on a subset of N samples the 35 columns hold 35 N responses, and about 5 N different ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmark.degradation import Degradation, Kind, degrade
from benchmark.run_store import content_key
from benchmark.sample import Sample
from recipes.columns import GOLDEN
from recipes.degradation_settings import DegradationSettings

NO_RESPONSE = -1


@dataclass(frozen=True)
class SubsetResponses:
    """The responses of a subset in all columns."""

    samples: tuple[Sample, ...]
    texts: tuple[str, ...]
    """The M distinct responses, the golden ones first; each counts as ended by itself."""
    columns: Mapping[str, NDArray[np.int64]]
    """Column -> the number in `texts` of each sample's response, `NO_RESPONSE` for a sample that cannot be damaged so.
    The golden column comes first."""

    def matrix(self, values_N_M: NDArray[np.float64], column: str) -> NDArray[np.float64]:
        """Return a column's matrix from the values of all inputs with all distinct responses.

        Args:
            values_N_M: entry [i, m] belongs to input i and response m of `texts`.
            column: its name.

        Returns:
            Entry [i, j] belongs to input i and sample j's response, shape (N, N); NaN where j has none.
        """
        numbers_N = self.columns[column]
        found_N_N = values_N_M[:, np.maximum(numbers_N, 0)]
        found_N_N[:, numbers_N == NO_RESPONSE] = np.nan
        return found_N_N

    def plain(self) -> list[object]:
        """Return samples, distinct responses and columns as plain data, to be hashed."""
        columns = {name: numbers_N.tolist() for name, numbers_N in self.columns.items()}
        return [[sample.content_hash for sample in self.samples], self.texts, columns]

    def mark(self, mask_N_M: NDArray[np.bool_], column: str, pairs_N_N: NDArray[np.bool_]) -> None:
        """Set the entries of a mask of inputs and distinct responses that stand for these pairs of a column."""
        rows, samples = np.nonzero(pairs_N_N & (self.columns[column] != NO_RESPONSE))
        mask_N_M[rows, self.columns[column][samples]] = True


@dataclass(frozen=True)
class Design:
    """What is damaged, and how, and what it is compared with."""

    settings: DegradationSettings
    train: tuple[Sample, ...]
    """What the baseline is trained on."""
    degradations: tuple[Degradation, ...]
    """One a kind, in the order of the settings."""
    subsets: Mapping[str, SubsetResponses]

    @property
    def columns(self) -> dict[Kind, Mapping[float, str]]:
        """Kind -> share -> name of its column."""
        return {found.kind: found.methods for found in self.degradations}

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All test samples."""
        return tuple(sample for found in self.subsets.values() for sample in found.samples)

    @cached_property
    def key(self) -> str:
        """Equal exactly when samples, distinct responses and columns are."""
        return content_key({key: found.plain() for key, found in self.subsets.items()})


def make_design(train: Sequence[Sample], test: Mapping[str, Sequence[Sample]], settings: DegradationSettings) -> Design:
    """Damage the golden responses of test samples in every way that the settings name."""
    samples = [sample for chosen in test.values() for sample in chosen]
    degradations = tuple(degrade(samples, kind, seed=settings.seed, shares=settings.shares) for kind in settings.kinds)
    columns = {GOLDEN: {sample.sample_id: sample.golden_response for sample in samples}}
    for found in degradations:
        columns |= {name: {} for name in found.methods.values()}
        for row in found.rows:
            columns[row["method"]][row["sample_id"]] = row["response"]
    subsets = {key: _subset(tuple(chosen), columns) for key, chosen in test.items()}
    return Design(settings, tuple(train), degradations, subsets)


def _subset(samples: tuple[Sample, ...], columns: Mapping[str, Mapping[str, str]]) -> SubsetResponses:
    ids = [sample.sample_id for sample in samples]
    texts = tuple(dict.fromkeys(given[name] for given in columns.values() for name in ids if name in given))
    numbers = {text: number for number, text in enumerate(texts)}
    return SubsetResponses(
        samples,
        texts,
        {
            column: np.array([numbers[given[name]] if name in given else NO_RESPONSE for name in ids], dtype=np.int64)
            for column, given in columns.items()
        },
    )
