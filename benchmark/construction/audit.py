"""All checks once more over the finished set: whatever the way on which a sample came, it has to pass here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmark.construction.checks import Checks, is_composed
from benchmark.construction.composed_checks import changed_words, fault_of_composition, queries, returning
from benchmark.construction.languages import LanguageCheck
from benchmark.construction.leakage import Leakage
from benchmark.construction.settings import CheckSettings
from benchmark.construction.text_measures import share_changed
from benchmark.sample import Sample
from benchmark.subsets import TRAIN_SPLIT

ROUNDS = {"turn_level": 8}
"""User queries of a dialogue, where they are not four."""


@dataclass(frozen=True)
class Audit:
    """What the checks found."""

    faults: dict[str, str]
    """Name of a sample -> the first thing that is wrong with it."""
    findings: dict[str, Any]
    """What was measured over the others, as plain data."""


def audit(samples: Sequence[Sample], settings: CheckSettings, languages: LanguageCheck) -> Audit:
    """Check all samples, in their order, beside each other; composed ones need their sources among them."""
    by_id = {sample.sample_id: sample for sample in samples}
    leakage = Leakage(sample for sample in samples if sample.split == TRAIN_SPLIT)
    checks = Checks(settings, languages)
    faults: dict[str, str] = {}
    for sample in samples:
        fault = _fault(sample, by_id, faults, settings, leakage) or checks.take(sample)
        if fault is not None:
            faults[sample.sample_id] = fault
    good = [sample for sample in samples if sample.sample_id not in faults]
    return Audit(faults, _findings(good, by_id, checks))


def _fault(
    sample: Sample, by_id: dict[str, Sample], faults: dict[str, str], settings: CheckSettings, leakage: Leakage
) -> str | None:
    rounds = ROUNDS.get(sample.subset, 4)
    if len(queries(sample)) != rounds:
        return f"it has {len(queries(sample))} rounds, not {rounds}"
    if is_composed(sample):
        missing = [source for source in sample.source_sample_ids if source not in by_id or source in faults]
        if missing:
            return f"its source {missing[0]} is not in the benchmark"
        if fault := fault_of_composition(sample, [by_id[source] for source in sample.source_sample_ids], settings):
            return fault
    return leakage.fault(sample) if sample.split != TRAIN_SPLIT else None


def _findings(samples: Sequence[Sample], by_id: dict[str, Sample], checks: Checks) -> dict[str, Any]:
    """Return counts of what was judged, and the figures behind the thresholds."""
    edits = [(s, by_id[s.source_sample_ids[0]]) for s in samples if s.subset == "word_level"]
    mixed = [(s, [by_id[source] for source in s.source_sample_ids]) for s in samples if s.subset == "turn_level"]
    changed = Counter(changed_words(source.last_query, sample.last_query) for sample, source in edits)
    responses = [share_changed(source.golden_response, sample.golden_response) for sample, source in edits]
    back = [returning(queries(source), queries(sample)) for sample, sources in mixed for source in sources]
    return {
        "texts_whose_language_was_judged": checks.languages.judged,
        "largest_share_between_golden_responses": round(checks.largest_share, 3),
        "word_level_changed_words": {str(words): changed[words] for words in sorted(changed)},
        "word_level_response_change": _range(responses),
        "turn_level_queries_from_a_source": _range([float(count) for count in back]),
    }


def _range(values: Sequence[float]) -> dict[str, float] | None:
    """Return the smallest, the middle and the largest value; None where there is none."""
    if not values:
        return None
    return {"smallest": round(min(values), 3), "median": round(median(values), 3), "largest": round(max(values), 3)}
