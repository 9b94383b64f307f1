"""What `judge_report.json` holds: means with intervals, what has no score and why, biases, and what it cost."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.spending import Ledger
from scoring.bootstrap import SubsetWeights
from scoring.clusters import SampleClusters
from scoring.judge.bias import Measured, length_bias, position_bias
from scoring.judge.judges import Judge
from scoring.judge.rubric import METRICS, ORDERS, Metric, bundled_rubric
from scoring.judge.scores import ENSEMBLE, Score
from scoring.judge.verdict import DIMENSIONS, HIGHEST, LOWEST
from scoring.resamples import Resamples, average, linear_resamples
from scoring.statistics import interval

SCALES: Mapping[Metric, str] = {
    "win_rate": "0 to 1: 1 better than the golden response, 0.5 a tie; mean over both orders",
    "point_score": f"{LOWEST} to {HIGHEST}: mean over {', '.join(DIMENSIONS)}",
}
Row = dict[str, Any]


def judge_report(scores: Sequence[Score], judges: Sequence[Judge], ledger: Ledger, *, resamples: int, seed: int) -> Row:
    """Return the report as plain data.

    Args:
        scores: all of them, those without a value too.
        judges: in order.
        ledger: what their answers took.
        resamples: behind every interval.
        seed: of the resamples.
    """
    summary = _Summary(scores, resamples, seed)
    metrics = [metric for metric in METRICS if any(score.metric == metric for score in scores)]
    return {
        "format_version": 1,
        "judges": [{**judge.identity, "max_tokens": judge.max_tokens} for judge in judges],
        "metrics": [{**bundled_rubric(metric).identity, "scale": SCALES[metric]} for metric in metrics],
        "means": list(summary.means()),
        "dimensions": list(summary.dimensions()),
        "unscored": list(_unscored(scores)),
        "position_bias": list(summary.position_bias()),
        "length_bias": list(summary.length_bias()),
        "spending": list(_spending(ledger)),
        "seed": seed,
    }


class _Summary:
    """Statistics of scores from one bootstrap over all their samples."""

    def __init__(self, scores: Sequence[Score], resamples: int, seed: int) -> None:
        samples = {score.response.sample.sample_id: score.response.sample for score in scores}
        self._clusters = SampleClusters(samples.values(), resamples=resamples, seed=seed)
        self._columns: defaultdict[tuple[Metric, str, str], list[Score]] = defaultdict(list)
        """Metric, judge and method -> its scores."""
        self._judged: defaultdict[tuple[Metric, str], list[Score]] = defaultdict(list)
        """Metric and judge -> their scores of all methods."""
        for score in scores:
            self._columns[score.metric, score.judge, score.response.method].append(score)
            self._judged[score.metric, score.judge].append(score)
        self._known: dict[tuple[str, ...], SubsetWeights] = {}

    def means(self) -> Iterator[Row]:
        """Yield the mean of each column on each subset, and on average over its subsets (subset null)."""
        for (metric, judge, method), column in self._columns.items():
            head = {"method": method, "judge": judge, "metric": metric}
            found = {key: self._mean(rows) for key, rows in _by_subset(column).items()}
            for key, rows in _by_subset(column).items():
                yield {**head, "subset": key, **self._fields(rows, found[key])}
            known = [resamples for resamples in found.values() if resamples is not None]
            yield {**head, "subset": None, **self._fields(column, average(known) if known else None)}

    def dimensions(self) -> Iterator[Row]:
        """Yield the mean points of each dimension, over all samples that have a score."""
        for (metric, judge, method), column in self._columns.items():
            scored = _scored(column)
            for name in DIMENSIONS if metric == "point_score" and scored else ():
                mean = float(np.mean([score.parts[name] for score in scored]))
                yield {"method": method, "judge": judge, "dimension": name, "mean": mean, "n_scored": len(scored)}

    def position_bias(self) -> Iterator[Row]:
        """Yield what the order does to each judge."""
        for (metric, judge), rows in self._judged.items():
            if metric != "win_rate" or judge == ENSEMBLE:
                continue
            scored = _scored(rows)
            first_N, second_N = ([score.parts[order] for score in scored] for order in ORDERS[metric])
            found = position_bias(first_N, second_N, self._weights(rows, _mask(rows)))
            yield {
                "judge": judge,
                "n_scored": found.n,
                **_measured("disagree", found.disagree),
                **_measured("first_place", found.first_place),
            }

    def length_bias(self) -> Iterator[Row]:
        """Yield how each judge's values go with length."""
        for (metric, judge), rows in self._judged.items():
            scored = _scored(rows)
            found = length_bias(
                _values(rows),
                [len(score.response.text or "") for score in scored],
                [len(score.response.sample.golden_response) for score in scored],
                [score.response.method for score in scored],
                self._weights(rows, _mask(rows)),
            )
            slope = _measured("per_doubling", found.per_doubling)
            yield {"judge": judge, "metric": metric, "n_scored": found.n, "spearman": found.spearman, **slope}

    def _mean(self, rows: Sequence[Score]) -> Resamples | None:
        values = _values(rows)
        if not values:
            return None
        return linear_resamples(values, self._weights(rows, _mask(rows)), estimate=float(np.mean(values)))

    def _fields(self, rows: Sequence[Score], found: Resamples | None) -> Row:
        scored = [score.response.sample for score in _scored(rows)]
        codes = self._clusters.codes(scored)
        n_clusters = min(len(np.unique(kind)) for kind in codes)
        limits = None if found is None else interval(found, n_clusters)
        return {
            "mean": None if found is None else found.estimate,
            "ci_low": None if limits is None else limits.low,
            "ci_high": None if limits is None else limits.high,
            "interval_reliable": limits is not None and limits.reliable,
            "n_samples": len(rows),
            "n_scored": len(scored),
            "n_clusters": n_clusters,
        }

    def _weights(self, rows: Sequence[Score], kept_N: NDArray[np.bool_]) -> SubsetWeights:
        """Return the weights of the rows that are kept; they are drawn once for the same samples."""
        key = tuple(score.response.sample.sample_id for score in rows)
        if key not in self._known:
            self._known[key] = self._clusters.weights([score.response.sample for score in rows])
        return self._known[key].take(kept_N)


def _unscored(scores: Iterable[Score]) -> Iterator[Row]:
    """Yield how many scores of each judge and metric have no value, by the kind of the reason."""
    counts = Counter((s.judge, s.metric, s.reason.partition(":")[0]) for s in scores if s.reason is not None)
    for (judge, metric, kind), count in sorted(counts.items()):
        yield {"judge": judge, "metric": metric, "reason": kind, "count": count}


def _spending(ledger: Ledger) -> Iterator[Row]:
    for judge, spent in ledger.spent.items():
        prices = ledger.prices[judge]
        by_kind = None if prices is None else prices.model_dump()
        yield {"judge": judge, **asdict(spent), "prices": by_kind, "money": spent.money(prices)}


def _scored(rows: Iterable[Score]) -> list[Score]:
    return [score for score in rows if score.value is not None]


def _values(rows: Iterable[Score]) -> list[float]:
    return [score.value for score in rows if score.value is not None]


def _mask(rows: Iterable[Score]) -> NDArray[np.bool_]:
    return np.array([score.value is not None for score in rows], dtype=bool)


def _by_subset(rows: Iterable[Score]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for score in rows:
        found.setdefault(score.response.sample.subset, []).append(score)
    return found


def _measured(name: str, found: Measured) -> Row:
    limits = found.interval
    return {
        name: found.value,
        f"{name}_ci_low": None if limits is None else limits.low,
        f"{name}_ci_high": None if limits is None else limits.high,
        f"{name}_interval_reliable": limits is not None and limits.reliable,
    }
