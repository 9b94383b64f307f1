"""Do the scores agree with judges, and the bound with what it bounds? Correlations over (method, subset) points.

As in the paper's section 3.4: R-EMI against a judge's score, R-EMID against what the judge's score loses from the
in-distribution test, the same for the embedding baseline, and the bound against R-EMID by shift (Table 13) and as the
number of samples grows (Figure 5a). Nothing but a run directory is read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmark.run_store import read_jsonl, write_json
from benchmark.seeds import derive_seed
from reports.judge_means import judge_means, judge_metrics
from reports.run_data import TOKEN, MethodKey, Row, RunData
from scoring.agreement import Correlations, correlations

AGREEMENT = "agreement.json"
ID = "id"
ALL = "all"
"""Shift of a row over all subsets."""
Point = tuple[MethodKey, str]
Values = Mapping[Point, float]


@dataclass(frozen=True)
class Pairing:
    """Two quantities at the points that have both."""

    name: str
    x: Values
    y: Values
    fields: Mapping[str, object]
    """What else its row says."""

    @property
    def points(self) -> list[Point]:
        """The points that have both, in the order of the first."""
        return [point for point in self.x if point in self.y]


def write_agreement(run: RunData) -> list[dict[str, Any]]:
    """Write `scores/agreement.json` of a run and return its rows; a correlation that cannot be had is null."""
    rows = [_row(run, pairing) for pairing in _pairings(run)]
    rows += _convergence(run)
    write_json(run.folder / "scores" / AGREEMENT, rows)
    return rows


def _pairings(run: RunData) -> Iterator[Pairing]:
    remi, remid = _values(run, "remi", "remi"), _values(run, "remid", "remid")
    emi = _baseline(run, "emi")
    for metric in judge_metrics(run):
        judged = judge_means(run, metric)
        lost = _lost(judged)
        fields = {"metric": metric, "shift": ALL}
        yield Pairing("remi_and_judges", remi, judged, fields)
        yield Pairing("remid_and_loss_by_judges", remid, lost, fields)
        if emi:
            yield Pairing("emi_and_judges", emi, judged, fields)
            yield Pairing("emid_and_loss_by_judges", _baseline(run, "emid"), lost, fields)
    for form in dict.fromkeys(row["form"] for row in run.scores["bounds"]):
        rows = run.rows("bounds", form=form)
        for shift in (*dict.fromkeys(row["shift"] for row in rows), ALL):
            chosen = [row for row in rows if shift in (row["shift"], ALL)]
            fields = {"form": form, "shift": shift}
            yield Pairing("bound_and_remid", _by_point(chosen, "bound"), _by_point(chosen, "remid"), fields)


def _values(run: RunData, name: str, field: str) -> Values:
    return _by_point(run.rows(name, unit=TOKEN), field)


def _baseline(run: RunData, field: str) -> Values:
    return _by_point(run.scores["baseline_emi"], field)


def _by_point(rows: Sequence[Row], field: str) -> Values:
    return {
        (MethodKey(row["base_model"], row["method"]), row["subset"]): row[field]
        for row in rows
        if row[field] is not None
    }


def _lost(judged: Values) -> Values:
    """Return what each method loses from the in-distribution test to each shifted subset."""
    return {
        (key, subset): judged[key, ID] - value
        for (key, subset), value in judged.items()
        if subset != ID and (key, ID) in judged
    }


def _row(run: RunData, pairing: Pairing) -> dict[str, Any]:
    points = pairing.points
    seed = derive_seed(run.manifest.get("seed", 0), "agreement", pairing.name, *map(str, pairing.fields.values()))
    found = _correlate(points, pairing.x, pairing.y, seed)
    return {"name": pairing.name, **pairing.fields, "n_points": found.n_points, **_coefficients(found)}


def _correlate(points: Sequence[Point], x: Values, y: Values, seed: int, resamples: int = 2000) -> Correlations:
    models, subsets = [key for key, _ in points], [subset for _, subset in points]
    of_x, of_y = [x[point] for point in points], [y[point] for point in points]
    return correlations(of_x, of_y, models, subsets, seed=seed, resamples=resamples)


def _coefficients(found: Correlations) -> dict[str, float | None]:
    named = {"pearson": found.pearson, "spearman": found.spearman, "kendall": found.kendall}
    fields: dict[str, float | None] = {}
    for name, one in named.items():
        fields |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return fields


def _convergence(run: RunData) -> Iterator[dict[str, Any]]:
    """Yield the mean correlation of bound and R-EMID over the draws of each size, by shift and over all."""
    path = run.folder / "scores" / "convergence.jsonl"
    draws: dict[tuple[str, float], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in read_jsonl(path) if path.is_file() else []:
        for shift in (row["shift"], ALL):
            draws[shift, row["share"]][row["draw"]].append(row)
    for (shift, share), of_share in draws.items():
        values = [value for rows in of_share.values() if (value := _pearson(rows)) is not None]
        rows = [row for of_draw in of_share.values() for row in of_draw]
        low, high = np.quantile(values, [0.025, 0.975]).tolist() if len(values) > 1 else (None, None)
        yield {
            "name": "bound_convergence",
            "form": "calibrated",
            "shift": shift,
            "share": share,
            "n_samples": median(row["n_samples"] for row in rows),
            "n_points": max(map(len, of_share.values())),
            "n_draws": len(values),
            "pearson": fmean(values) if values else None,
            "draws_low": low,
            "draws_high": high,
        }


def _pearson(rows: Sequence[Row]) -> float | None:
    x, y = _by_point(rows, "bound"), _by_point(rows, "remid")
    return _correlate(list(x), x, y, seed=0, resamples=2).pearson.value
