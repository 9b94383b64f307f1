"""From finished samples to rows of RPGBench's schema, under names that count within each split."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from benchmark.sample import Sample
from benchmark.subsets import SPLITS, subset


def final_names(samples: Iterable[Sample]) -> dict[str, str]:
    """Return for each sample's working name its name in the benchmark: the split and a number."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for sample in samples:
        counts[sample.split] += 1
        names[sample.sample_id] = f"{sample.split}-{counts[sample.split]}"
    return names


def renamed(sample: Sample, names: Mapping[str, str]) -> Sample:
    """Return a sample under its final name, its sources too."""
    sources = tuple(names[source] for source in sample.source_sample_ids)
    return replace(sample, sample_id=names[sample.sample_id], source_sample_ids=sources)


def sample_rows(samples: Iterable[Sample]) -> dict[str, list[dict[str, Any]]]:
    """Return split -> rows; only splits that have samples."""
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for sample in samples:
        rows[sample.split].append(_row(sample))
    return {split: listed for split, listed in rows.items() if listed}


def _row(sample: Sample) -> dict[str, Any]:
    context: list[dict[str, str]] = []
    for turn in sample.turns:
        context += [{"user_query": turn.user_query}, {"agent_response": turn.agent_response}]
    row: dict[str, Any] = {
        "sample_ID": sample.sample_id,
        "user_persona": sample.user_persona,
        "agent_character": asdict(sample.agent_character),
        "dialogue_context": [*context, {"user_query": sample.last_query}],
        "agent_golden_response": sample.golden_response,
    }
    chosen = subset(sample.subset)
    if chosen.tag is not None:
        row["subset_tag"] = f"{chosen.tag}-Fictional" if chosen.shift == "character" else chosen.tag
    if sample.source_sample_ids:
        row["source_sample_IDs"] = list(sample.source_sample_ids)
    return row
