"""One sample with every method's response, chosen by a rule that is printed with it (as the paper's Figure 11)."""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.figures.words import UNITS, subset_words
from reports.run_data import TOKEN, MethodKey, Row, RunData

_SEVERAL = "the sample whose contributions differ most between methods (largest less smallest"
_ONE = "the sample with the lowest contribution to the R-EMI of the run's only method"


@dataclass(frozen=True)
class CaseStudy:
    """A sample, its responses, and why it was chosen."""

    rule: str
    """How it was chosen, in a sentence."""
    sample: Row
    """As it stands in `samples.jsonl`."""
    responses: Mapping[MethodKey, Row]
    """In the run's order of methods, as in the responses' files."""
    contributions: Mapping[MethodKey, float]
    """What the sample adds to each method's R-EMI on its subset, in nats a token; methods without one are left out."""


def choose_case(run: RunData) -> CaseStudy | None:
    """Choose the sample that divides the methods most, where the risk is largest.

    Of the subsets with samples that have contributions, the one with the largest calibrated bound of any method is
    taken; all of them where the run has no bounds. In it, the sample with the largest spread over methods is taken, or
    the lowest contribution where the run has a single method. The smallest sample ID decides between equals.

    Returns:
        None where the run has no `samples.jsonl`, or no contributions of its samples; `why_no_case` says which.
    """
    contributions = {key: found for key in run.methods if (found := run.contributions(key))}
    known = {sample_id for found in contributions.values() for sample_id in found}
    candidates = {row["sample_id"]: row for row in run.samples() if row["sample_id"] in known}
    if not candidates:
        return None
    riskiest = _riskiest_subset(run, {row["subset"] for row in candidates.values()})
    chosen = [sample_id for sample_id, row in candidates.items() if riskiest in (None, row["subset"])]
    weights = {sample_id: _weight(contributions, sample_id) for sample_id in chosen}
    best = min(chosen, key=lambda sample_id: (-weights[sample_id], sample_id))
    return CaseStudy(
        rule=_rule(riskiest, len(contributions), weights[best], len(chosen)),
        sample=candidates[best],
        responses={key: rows[best] for key in run.methods if best in (rows := run.responses(key))},
        contributions={key: values[best] for key, values in contributions.items() if best in values},
    )


def why_no_case(run: RunData) -> str:
    """Say why `choose_case` found none."""
    if not run.samples():
        return "No sample is shown: the run has no samples.jsonl, or an empty one."
    return "No sample is shown: the run has no contributions of its samples (scores/contributions.jsonl)."


def _riskiest_subset(run: RunData, subsets: set[str]) -> str | None:
    rows = run.rows("bounds", form="calibrated")
    bounds = {(row["subset"], row["bound"]) for row in rows if row["bound"] is not None and row["subset"] in subsets}
    return max(bounds, key=lambda pair: (pair[1], pair[0]))[0] if bounds else None


def _weight(contributions: Mapping[MethodKey, Mapping[str, float]], sample_id: str) -> float:
    """Return how far the methods' contributions lie apart; the negative contribution of a single method."""
    values = [found[sample_id] for found in contributions.values() if sample_id in found]
    return max(values) - min(values) if len(contributions) > 1 else -values[0]


def _rule(riskiest: str | None, n_methods: int, weight: float, n_samples: int) -> str:
    where = (
        "of all subsets, as the run has no bounds"
        if riskiest is None
        else (f"of the {subset_words(riskiest)} subset, which has the largest calibrated bound")
    )
    unit = UNITS[TOKEN]
    what = f"{_SEVERAL}: {weight:.3f} {unit})" if n_methods > 1 else f"{_ONE} ({-weight:.3f} {unit})"
    return f"Chosen by rule: {what}, among the {n_samples} samples {where}."
