"""Intervals, tests and paired differences from resamples, with crossed clusters and Holm's correction.

The variance is that of Cameron, Gelbach and Miller (2011) for two-way clustering: by persona plus by character less by
cell, since what the samples of one cell share is in both. Multiplying the weights of both kinds instead would count
the noise of single samples three times, and one kind alone leaves out what the other's samples share. Quantiles are of
Student's t with the smaller number of clusters less one. docs/validation.md has the coverage of all of these.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from scoring.bootstrap import ClusterBootstrap
from scoring.resamples import ClubBootstrap, Mask, Resamples, average, club_resamples, linear_resamples
from scoring.stratified import ComparedSamples, StratifiedClub, compare_samples

__all__ = [
    "ClubBootstrap",
    "ClusterBootstrap",
    "Interval",
    "MethodMatrix",
    "PairedDifference",
    "Resamples",
    "SubsetMatrices",
    "average",
    "club_resamples",
    "holm",
    "interval",
    "linear_resamples",
    "p_value",
    "paired_differences",
    "standard_error",
]
LEVEL = 0.95
RELIABLE_CLUSTERS = 20
"""Below this an interval is marked unreliable: it rests on the means of few clusters being normal and of like size."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of its statistic."""

    low: float
    high: float
    standard_error: float
    reliable: bool
    """Whether there are at least `RELIABLE_CLUSTERS`."""


def standard_error(resamples: Resamples) -> float | None:
    """Return the two-way clustered standard error; None where a clustering has a single cluster.

    By chance the sum less the cells' variance can fall below either one-way variance, most easily with few clusters
    that hardly differ; the larger one-way variance is then taken.
    """
    persona, character, cell = (float(variance) for variance in resamples.deviations_3_B.var(axis=1, ddof=1))
    variance = max(persona + character - cell, persona, character)
    return math.sqrt(variance) if math.isfinite(persona + character + cell) else None


def interval(resamples: Resamples, n_clusters: int, level: float = LEVEL) -> Interval | None:
    """Return estimate -+ t * standard error, with t of n_clusters - 1 degrees of freedom.

    Args:
        resamples: the statistic, in nats.
        n_clusters: the smaller of the numbers of personas and characters.
        level: coverage aimed at, between 0 and 1.

    Returns:
        None below two clusters, or where the variance cannot be computed.

    Raises:
        ValueError: level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; use one between 0 and 1")
    error = standard_error(resamples)
    if n_clusters < 2 or error is None:
        return None
    margin = float(scipy.stats.t.ppf((1 + level) / 2, n_clusters - 1)) * error
    return Interval(resamples.estimate - margin, resamples.estimate + margin, error, n_clusters >= RELIABLE_CLUSTERS)


def p_value(resamples: Resamples, n_clusters: int) -> float | None:
    """Return the two-sided p-value against zero, by t with n_clusters - 1 degrees of freedom.

    None below two clusters, or where the variance is zero or cannot be computed.
    """
    error = standard_error(resamples)
    if n_clusters < 2 or not error:
        return None
    return float(2 * scipy.stats.t.sf(abs(resamples.estimate) / error, n_clusters - 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Holm (1979), in the order given; None stays None and is not counted.

    Raises:
        ValueError: a p-value is not between 0 and 1.
    """
    known = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    if any(not 0 <= p <= 1 for p, _ in known):
        raise ValueError(f"p-values must lie between 0 and 1: {[p for p, _ in known]}")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, position) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[position] = largest
    return adjusted


@dataclass(frozen=True)
class MethodMatrix:
    """One method's log-likelihoods on a subset."""

    log_probs_N_N: NDArray[np.float64]
    """Entry [i, j] is log p(y_j | x_i) in nats (a token or a response); NaN outside the scored samples."""
    scored_N: NDArray[np.bool_]
    """Samples that take part."""


@dataclass(frozen=True)
class SubsetMatrices:
    """What the methods' comparison on one subset needs."""

    personas_N: NDArray[np.int64]
    """Numbers as given to the bootstrap."""
    characters_N: NDArray[np.int64]
    negatives_N_N: Mask
    methods: Mapping[str, MethodMatrix]
    folds_N: NDArray[np.int64] | None = None
    """The fold of each sample, which CLUB is made within (see `scoring.stratified`); None for one fold."""


@dataclass(frozen=True)
class PairedDifference:
    """CLUB of one method less that of another, over the samples that both scored and that their fold can compare."""

    subset: str | None
    """None for the average over the subsets that have a difference."""
    first: str
    second: str
    difference: float | None
    """R-EMI of the first less R-EMI of the second (the reference term cancels), in the matrices' unit."""
    interval: Interval | None
    p_value: float | None
    adjusted_p: float | None
    """By Holm over everything returned by one call."""
    n_samples: int
    n_clusters: int


def paired_differences(
    subsets: Mapping[str, SubsetMatrices], bootstrap: ClusterBootstrap, *, level: float = LEVEL
) -> list[PairedDifference]:
    """Compare every two methods on every subset that has both, and on the average over these subsets.

    Samples are paired, so what the methods share (hard samples, clusters, the reference) cancels. A pair with a
    difference on two subsets or more has an average too. The family of Holm's correction is all pairs and columns,
    averages included. Where fewer than three samples or no negatives are left, everything is None.
    """
    names = list(dict.fromkeys(name for subset in subsets.values() for name in subset.methods))
    columns: dict[_Pair, list[_Column]] = {pair: [] for pair in combinations(names, 2)}
    for key, subset in subsets.items():
        for pair, column in _subset_columns(key, subset, bootstrap, list(columns)):
            columns[pair].append(column)
    found = [
        _difference(column, pair, level)
        for pair, of_pair in columns.items()
        for column in [*of_pair, *_average_column(of_pair)]
    ]
    adjusted = holm([row.p_value for row in found])
    return [replace(row, adjusted_p=p) for row, p in zip(found, adjusted, strict=True)]


_Pair = tuple[str, str]


@dataclass(frozen=True)
class _Column:
    """A difference before it is tested."""

    subset: str | None
    resamples: Resamples | None
    personas_N: NDArray[np.int64]
    characters_N: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        return min(len(np.unique(self.personas_N)), len(np.unique(self.characters_N)))


def _subset_columns(
    key: str, subset: SubsetMatrices, bootstrap: ClusterBootstrap, pairs: Sequence[_Pair]
) -> Iterator[tuple[_Pair, _Column]]:
    """Yield the difference of each pair that the subset has; pairs that scored the same samples are done together."""
    weights = bootstrap.weights(subset.personas_N, subset.characters_N)
    groups: dict[bytes, list[_Pair]] = {}
    for first, second in pairs:
        if first in subset.methods and second in subset.methods:
            kept_N = subset.methods[first].scored_N & subset.methods[second].scored_N
            groups.setdefault(kept_N.tobytes(), []).append((first, second))
    for content, group in groups.items():
        kept_N = np.frombuffer(content, dtype=bool)
        compared = compare_samples(kept_N, subset.negatives_N_N, weights, subset.folds_N)
        codes = subset.personas_N[compared.chosen_N], subset.characters_N[compared.chosen_N]
        found: Sequence[Resamples | None] = [None] * len(group)
        if compared.club is not None:
            found = _group_differences(subset, group, compared, compared.club)
        for pair, resamples in zip(group, found, strict=True):
            yield pair, _Column(key, resamples, *codes)


def _group_differences(
    subset: SubsetMatrices, group: Sequence[_Pair], compared: ComparedSamples, club: StratifiedClub
) -> list[Resamples]:
    """Return CLUB(first) - CLUB(second), which is CLUB(first - second): in whichever form needs fewer products."""
    names = {name for pair in group for name in pair}
    matrices_K_K = {name: compared.square(subset.methods[name].log_probs_N_N) for name in names}
    if len(names) > len(group):
        return [club.resamples(matrices_K_K[first] - matrices_K_K[second]) for first, second in group]
    resamples = {name: club.resamples(matrix_K_K) for name, matrix_K_K in matrices_K_K.items()}
    return [resamples[first] - resamples[second] for first, second in group]


def _average_column(columns: Sequence[_Column]) -> list[_Column]:
    known = [column for column in columns if column.resamples is not None]
    if len(known) < 2:
        return []
    personas = np.concatenate([column.personas_N for column in known])
    characters = np.concatenate([column.characters_N for column in known])
    return [_Column(None, average([c.resamples for c in known if c.resamples is not None]), personas, characters)]


def _difference(column: _Column, pair: _Pair, level: float) -> PairedDifference:
    resamples, (first, second) = column.resamples, pair
    return PairedDifference(
        subset=column.subset,
        first=first,
        second=second,
        difference=None if resamples is None else resamples.estimate,
        interval=None if resamples is None else interval(resamples, column.n_clusters, level),
        p_value=None if resamples is None else p_value(resamples, column.n_clusters),
        adjusted_p=None,
        n_samples=len(column.personas_N),
        n_clusters=column.n_clusters,
    )
