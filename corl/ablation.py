"""Does co-evolution help? Perplexity of golden responses under variants of the estimator (paper, Table 1).

Everything is measured on samples that nothing was trained on, each by the models of its own fold, and every variant on
the same samples. The paper gives no intervals; here they and the tests are those of `scoring.statistics`, for the
logarithm of the perplexity, whose replicates are taken to first order: it is a ratio of sums.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.sample import Sample
from benchmark.statistics import text_length
from benchmark.subsets import Shift, subset
from corl.ablation_variants import FULL, VARIANTS, FoldEvaluation
from corl.copying import copied_share
from scoring.bootstrap import SubsetWeights
from scoring.clusters import SampleClusters
from scoring.reasoning import Reasoning, reasoning_counts
from scoring.resamples import Resamples, linear_resamples
from scoring.rewards import AnswerLikelihood
from scoring.statistics import Interval, holm, interval, p_value

GROUPS: Mapping[str, Shift] = {"id": "none", "user": "user", "character": "character", "dialogue": "dialogue"}
"""The columns of Table 1: the in-distribution test, and all subsets of one shift together."""
RESAMPLES = 2000

Likelihoods = Mapping[str, AnswerLikelihood | None]
"""Sample ID -> log p of the golden response; None where it could not be scored."""


@dataclass(frozen=True)
class GroupPerplexity:
    """Perplexity a token of the golden responses of one group under one variant."""

    variant: str
    group: str
    perplexity: float | None
    """None where no sample is left."""
    interval: Interval | None
    """Of the perplexity; its standard error is that of the logarithm, in nats a token."""
    n_samples: int
    n_tokens: int
    n_clusters: int


@dataclass(frozen=True)
class VariantDifference:
    """Log-perplexity of one variant less that of another on the same samples, in nats a token."""

    group: str
    first: str
    second: str
    difference: float | None
    """Below 0 where the first is the better one."""
    interval: Interval | None
    p_value: float | None
    """None also where the two are the same on every sample."""
    adjusted_p: float | None
    """By Holm over all groups and pairs."""


@dataclass(frozen=True)
class ReasoningMeasures:
    """What a variant's policy model was shown: whether it foretells the golden response word for word, and more."""

    variant: str
    copied_share: float
    """Mean over the samples, 0 .. 1; see `corl.copying`."""
    copied_share_max: float
    shown_words: float
    """Mean length; of reasoning in a script without spaces, in characters."""
    counts: Mapping[str, int]
    """See `scoring.reasoning.reasoning_counts`."""


@dataclass(frozen=True)
class Ablation:
    """All that is compared."""

    folds: tuple[int, ...]
    """Those that were trained and evaluated."""
    held_out: int
    """Samples that these folds held out."""
    compared: int
    """Samples that every variant could score; all numbers are over these."""
    unscored: Mapping[str, int]
    """By variant, held-out samples whose prompt and response do not fit the context."""
    perplexities: tuple[GroupPerplexity, ...]
    differences: tuple[VariantDifference, ...]
    reasoning: tuple[ReasoningMeasures, ...]
    notes: tuple[str, ...]


def compare_variants(folds: Sequence[FoldEvaluation], *, seed: int, resamples: int = RESAMPLES) -> Ablation:
    """Return the ablation over the samples that some folds held out.

    Args:
        folds: evaluated folds, at least one.
        seed: of the bootstrap.
        resamples: of each clustering.
    """
    samples = [sample for fold in folds for sample in fold.samples]
    found = {v.name: _joined(fold.variants[v.name].likelihoods for fold in folds) for v in VARIANTS}
    common = [s for s in samples if all(of[s.sample_id] is not None for of in found.values())]
    clusters = SampleClusters(samples, resamples=resamples, seed=seed)
    groups = {
        name: [s for s in common if subset(s.subset).shift == shift]
        for name, shift in GROUPS.items()
        if any(subset(s.subset).shift == shift for s in samples)
    }
    return Ablation(
        folds=tuple(fold.number for fold in folds),
        held_out=len(samples),
        compared=len(common),
        unscored={name: sum(one is None for one in of.values()) for name, of in found.items()},
        perplexities=tuple(_perplexities(groups, found, clusters)),
        differences=tuple(_differences(groups, found, clusters)),
        reasoning=tuple(_reasoning(folds, common)),
        notes=tuple(f"fold {fold.number}: {note}" for fold in folds for note in fold.notes),
    )


def log_perplexity(log_probs_N: ArrayLike, tokens_N: ArrayLike) -> float:
    """Return -(sum of log p) / (sum of tokens), in nats a token.

    Args:
        log_probs_N: log p of each response, the sum over its tokens, nats.
        tokens_N: tokens of each response.

    Raises:
        ValueError: there are no responses, the two are not of one length, or a response has no token.
    """
    log_probs, tokens = _checked(log_probs_N, tokens_N)
    return float(-log_probs.sum() / tokens.sum())


def log_perplexity_influence(log_probs_N: ArrayLike, tokens_N: ArrayLike) -> NDArray[np.float64]:
    """Return the first-order influence of each response on `log_perplexity`, nats a token; their mean is zero.

    Under weights w that sum to one it is log_perplexity + sum_i (w_i - 1/N) influence_i up to second order. Of the
    ratio -sum_i w_i s_i / sum_i w_i t_i the derivative is -(s_i - m t_i) / mean(t), where m = sum(s) / sum(t).
    """
    log_probs, tokens = _checked(log_probs_N, tokens_N)
    ratio = log_probs.sum() / tokens.sum()
    return np.asarray(-(log_probs - ratio * tokens) / tokens.mean())


def log_perplexity_resamples(log_probs_N: ArrayLike, tokens_N: ArrayLike, weights: SubsetWeights) -> Resamples:
    """Return the log-perplexity with its first-order replicates; those of one set of weights can be subtracted."""
    influence_N = log_perplexity_influence(log_probs_N, tokens_N)
    return linear_resamples(influence_N, weights, estimate=log_perplexity(log_probs_N, tokens_N))


def _checked(log_probs_N: ArrayLike, tokens_N: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    log_probs, tokens = (np.asarray(values, dtype=np.float64) for values in (log_probs_N, tokens_N))
    if log_probs.ndim != 1 or log_probs.shape != tokens.shape or not len(tokens) or tokens.min() < 1:
        raise ValueError(
            f"log_probs_N and tokens_N have shapes {log_probs.shape} and {tokens.shape}; give both for each of one or "
            "more responses of at least one token"
        )
    return log_probs, tokens


def _joined(parts: Iterator[Likelihoods]) -> dict[str, AnswerLikelihood | None]:
    return {sample_id: one for part in parts for sample_id, one in part.items()}


def _perplexities(
    groups: Mapping[str, Sequence[Sample]], found: Mapping[str, Likelihoods], clusters: SampleClusters
) -> Iterator[GroupPerplexity]:
    for variant, likelihoods in found.items():
        for group, samples in groups.items():
            if not samples:
                yield GroupPerplexity(variant, group, None, None, 0, 0, 0)
                continue
            weights = clusters.weights(samples)
            resamples = _resamples(samples, likelihoods, weights)
            yield GroupPerplexity(
                variant=variant,
                group=group,
                perplexity=math.exp(resamples.estimate),
                interval=_exponentiated(interval(resamples, weights.n_clusters)),
                n_samples=len(samples),
                n_tokens=sum(one.tokens for one in _of(samples, likelihoods)),
                n_clusters=weights.n_clusters,
            )


def _differences(
    groups: Mapping[str, Sequence[Sample]], found: Mapping[str, Likelihoods], clusters: SampleClusters
) -> list[VariantDifference]:
    """Compare the co-evolved estimator with each other variant."""
    rows = [
        _difference(group, samples, found, other, clusters)
        for other in found
        if other != FULL
        for group, samples in groups.items()
    ]
    adjusted = holm([row.p_value for row in rows])
    return [replace(row, adjusted_p=p) for row, p in zip(rows, adjusted, strict=True)]


def _difference(
    group: str, samples: Sequence[Sample], found: Mapping[str, Likelihoods], other: str, clusters: SampleClusters
) -> VariantDifference:
    if not samples:
        return VariantDifference(group, FULL, other, None, None, None, None)
    weights = clusters.weights(samples)
    resamples = _resamples(samples, found[FULL], weights) - _resamples(samples, found[other], weights)
    return VariantDifference(
        group=group,
        first=FULL,
        second=other,
        difference=resamples.estimate,
        interval=interval(resamples, weights.n_clusters),
        p_value=p_value(resamples, weights.n_clusters),
        adjusted_p=None,
    )


def _resamples(samples: Sequence[Sample], likelihoods: Likelihoods, weights: SubsetWeights) -> Resamples:
    of = _of(samples, likelihoods)
    return log_perplexity_resamples([one.sum_log_prob for one in of], [one.tokens for one in of], weights)


def _of(samples: Sequence[Sample], likelihoods: Likelihoods) -> list[AnswerLikelihood]:
    """Return the likelihoods of samples that all have one."""
    return [one for sample in samples if (one := likelihoods[sample.sample_id]) is not None]


def _exponentiated(found: Interval | None) -> Interval | None:
    return None if found is None else replace(found, low=math.exp(found.low), high=math.exp(found.high))


def _reasoning(folds: Sequence[FoldEvaluation], common: Sequence[Sample]) -> Iterator[ReasoningMeasures]:
    """Yield what is measured of each variant's reasoning over the samples that are compared."""
    for variant in (variant for variant in VARIANTS if variant.reasoning and common):
        written: dict[str, Reasoning] = {
            one.sample_id: one for fold in folds for one in fold.variants[variant.name].reasonings or ()
        }
        shown = [written[sample.sample_id] for sample in common]
        shares = [copied_share(one.shown, s.golden_response) for one, s in zip(shown, common, strict=True)]
        lengths = [text_length(one.shown) for one in shown]
        yield ReasoningMeasures(variant.name, fmean(shares), max(shares), fmean(lengths), reasoning_counts(shown))
