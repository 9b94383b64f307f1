"""What `degradations.json` holds: every number of a study, what it was made with, and what is odd, in sentences.

The same study gives the same content, however often it was interrupted; times alone differ from machine to machine.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.run_store import content_key, read_json
from benchmark.subsets import subset
from recipes.degradation_design import Design
from recipes.degradation_likelihoods import POOLS
from recipes.degradation_stages import TRENDS
from recipes.degradation_trends import AVERAGE
from recipes.environment import Compute, git_revision, package_versions
from recipes.stage import StageRecord
from recipes.stage_baseline import UNIT
from recipes.stage_embeddings import COVERAGE
from scoring.estimator import Estimator
from scoring.models.precision import device_name
from scoring.remi import UNITS
from scoring.statistics import holm
from scoring.stratified import MINIMUM_SAMPLES

FORMAT_VERSION = 1
BASELINE = "baseline"
"""The measure EMI, beside those named after estimators."""
Row = dict[str, Any]


@dataclass(frozen=True)
class StudyFacts:
    """What a study was run with."""

    benchmark: str
    command: str
    compute: Compute
    records: Sequence[StageRecord]


def study_content(
    design: Design, estimators: Mapping[str, Estimator], folders: Mapping[str, Path], facts: StudyFacts
) -> dict[str, Any]:
    """Return what `degradations.json` holds.

    Args:
        design: what was damaged.
        estimators: by name, as given.
        folders: of the finished stages, by name.
        facts: what else it was run with.
    """
    measures = list(_measures(design, estimators, folders))
    trends = {measure["name"]: read_json(folders[f"trends/{measure['name']}"] / TRENDS) for measure in measures}
    rows = {
        kind: [{"measure": name, **row} for name, found in trends.items() for row in found[kind]]
        for kind in ("slopes", "points", "steps")
    }
    _adjust(rows["slopes"])
    notes = [
        *study_notes(design),
        *(note for measure in measures for note in _measure_notes(measure, rows["slopes"], folders)),
    ]
    return {
        "format_version": FORMAT_VERSION,
        "command": facts.command,
        "benchmark": facts.benchmark,
        "settings": design.settings.model_dump(mode="json"),
        "hashes": {
            "training_samples": content_key([sample.content_hash for sample in design.train]),
            "test_samples": content_key([sample.content_hash for sample in design.samples]),
        },
        "kinds": [
            {
                "kind": found.kind,
                "columns": {f"{share:g}": name for share, name in found.methods.items()},
                "left_out": dict(found.left_out),
                "unchanged": list(found.unchanged),
            }
            for found in design.degradations
        ],
        "subsets": {
            key: {
                "shift": subset(key).shift,
                "n_samples": len(found.samples),
                "n_distinct_responses": len(found.texts),
            }
            for key, found in design.subsets.items()
        },
        "measures": measures,
        **rows,
        "notes": notes,
        "compute": asdict(facts.compute),
        "device": device_name(facts.compute.device),
        "package_versions": package_versions(),
        "git_revision": git_revision(),
        "stages": [{k: v for k, v in asdict(record).items() if k != "reused"} for record in facts.records],
    }


def kind_words(kind: str) -> str:
    """Return a kind of damage in words."""
    return kind.replace("_", " ")


def study_notes(design: Design) -> Iterator[str]:
    """Yield what is known before anything is scored: how much there is to score, and who cannot be damaged."""
    distinct = sum(len(found.texts) for found in design.subsets.values())
    columns = 1 + sum(len(found.methods) for found in design.degradations)
    held = columns * len(design.samples)
    yield f"{len(design.samples)} samples in {columns} columns: {held} responses, {distinct} of them distinct"
    for found in design.degradations:
        for reason, count in Counter(found.left_out.values()).items():
            yield f"{kind_words(found.kind)}: {count} samples are not damaged and left out ({reason})"
        if found.unchanged:
            yield f"{kind_words(found.kind)}: {len(found.unchanged)} damaged responses read like the golden ones"
    if design.settings.scoring.gaussian_baseline and len(design.train) < MINIMUM_SAMPLES:
        yield f"EMI is left out: it needs {MINIMUM_SAMPLES} training samples, and there are {len(design.train)}"


def _measures(
    design: Design, estimators: Mapping[str, Estimator], folders: Mapping[str, Path]
) -> Iterator[dict[str, Any]]:
    """Yield what measures there are, each with the label that tells it from the others."""
    labels = Counter(estimator.label for estimator in estimators.values())
    for name, estimator in estimators.items():
        plain = {**estimator.description.plain(), "content_hash": estimator.content_hash}
        label = estimator.label if labels[estimator.label] == 1 else f"{estimator.label} ({name})"
        yield {"name": name, "quantity": "R-EMI", "label": label, "units": list(UNITS), "estimator": plain}
    if f"trends/{BASELINE}" in folders:
        label = f"Gaussian CLUB on {design.settings.scoring.embedding}"
        made_with = {"n_training_pairs": len(design.train), "estimator": None}
        yield {"name": BASELINE, "quantity": "EMI", "label": label, "units": [UNIT], **made_with}


def _adjust(slopes: Sequence[Row]) -> None:
    """Correct the p-values of a measure in a unit by Holm, over all kinds, subsets and averages."""
    for family in dict.fromkeys((row["measure"], row["unit"]) for row in slopes):
        members = [row for row in slopes if (row["measure"], row["unit"]) == family]
        for row, adjusted in zip(members, holm([row["p_value"] for row in members]), strict=True):
            row["adjusted_p"] = adjusted


def _measure_notes(measure: Row, slopes: Sequence[Row], folders: Mapping[str, Path]) -> Iterator[str]:
    """Yield what is odd about a measure's numbers."""
    name, label = measure["name"], f"{measure['quantity']}, {measure['label']}"
    if measure["quantity"] == "EMI":
        yield f"{label}: trained on {measure['n_training_pairs']} golden pairs; it needs thousands to say anything"
        yield from _script_notes(label, read_json(folders["embeddings/samples"] / COVERAGE))
    else:
        yield from (f"{label}: {note}" for note in measure["estimator"].get("notes", ()))
        if len(measure["estimator"].get("folds", ())) > 1:
            yield f"{label}: responses are compared with those of their own fold alone, unlike those of EMI"
        pools = read_json(folders[f"likelihoods/{name}"] / POOLS)
        for key, pool in pools.items():
            if left := sum(map(len, pool["unscored"].values())):
                yield f"{label}: {left} responses of the columns of {key} do not fit into the context and are unscored"
    missing: dict[tuple[str, int], list[str]] = {}
    for row in slopes:
        if (row["measure"], row["unit"], row["slope"]) == (name, measure["units"][0], None):
            missing.setdefault((row["subset"], row["n_samples"]), []).append(kind_words(row["kind"]))
    for (key, n_samples), kinds in missing.items():
        if key == AVERAGE:
            yield f"{label}: no subset has an estimate of {', '.join(kinds)}"
        else:
            yield (
                f"{label}: too few samples of {key} can be compared ({n_samples}; {MINIMUM_SAMPLES} are needed), so "
                f"that it has no estimate and takes no part in the average of {', '.join(kinds)}"
            )


def _script_notes(label: str, coverage: Mapping[str, Mapping[str, Row]]) -> Iterator[str]:
    unread = [key for key, components in coverage.items() if any(c["measures_script"] for c in components.values())]
    if unread:
        yield f"{label}: the embedding cannot read the script of {', '.join(unread)}"
