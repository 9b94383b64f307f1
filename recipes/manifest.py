"""`manifest.json`: everything needed to say how a table came about, and to make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmark.run_store import content_key, write_json
from benchmark.sample import Sample
from recipes.comparison import Comparison
from recipes.environment import Compute, git_revision, package_versions
from recipes.estimator_source import EstimatorSource
from recipes.prepared_estimator import PreparedEstimator
from recipes.schema import ScoreSettings
from recipes.scoring_plan import ScoringInputs
from recipes.stage import StageRecord
from rpm_methods.registry import methods
from scoring.estimator import EstimatorDescription
from scoring.models.precision import device_name
from scoring.models.resolver import locate_model

FORMAT_VERSION = 1


def write_comparison_manifest(
    folder: Path,
    comparison: Comparison,
    compute: Compute,
    records: Sequence[StageRecord],
    estimator: EstimatorDescription,
    responses: dict[str, str],
    command: str,
    execution: Mapping[str, object],
) -> None:
    """Write the manifest of a comparison.

    `responses` maps each method's name in the run to its file; `command` makes the run again; `execution` says where
    the stages ran.
    """
    used = {recipe.method for recipe in (*comparison.recipes, *comparison.parents.values())}
    models = {recipe.base_model for recipe in comparison.recipes} | {estimator.base_model}
    recipes = [recipe.model_dump(mode="json") for recipe in comparison.recipes]
    specs = {name: asdict(method.spec) for name, method in methods().items() if name in used}
    facts = {
        "command": command,
        "execution": execution,
        "recipes": recipes,
        "backends": [r.generation.identity(r.method) or {"backend": "transformers"} for r in comparison.recipes],
        "parents": [recipe.model_dump(mode="json") for recipe in comparison.parents.values()],
        "estimator_source": _source(comparison.estimator),
        "methods": specs,
        "caution": comparison.shared.caution,
        "seed": comparison.shared.seed,
        "responses": responses,
        "hashes": {
            "templates": comparison.renderer.content_hash(),
            **_sample_hashes(comparison.train, comparison.test),
            "models": {name: locate_model(name).fingerprint for name in sorted(models)},
        },
    }
    _write(folder, facts, comparison.train, comparison.test, compute, records, estimator)


def write_score_manifest(
    folder: Path,
    inputs: ScoringInputs,
    methods: Sequence[str],
    settings: ScoreSettings,
    compute: Compute,
    records: Sequence[StageRecord],
    estimator: EstimatorDescription,
    command: str,
    execution: Mapping[str, object],
) -> None:
    """Write the manifest of responses made elsewhere.

    `methods` are their names, in the order of the file; `execution` says where the stages ran.
    """
    models = [estimator.base_model, settings.scoring.embedding]
    facts = {
        "command": command,
        "execution": execution,
        "recipes": [],
        "parents": [],
        "settings": settings.model_dump(mode="json"),
        "estimator_source": _source(inputs.estimator),
        "methods": {name: {"name": name, "label": name, "order": place} for place, name in enumerate(methods)},
        "caution": "",
        "seed": settings.seed,
        "responses": {name: f"responses/{name}.jsonl" for name in methods},
        "hashes": {
            **_sample_hashes(inputs.train, inputs.test),
            "models": {name: locate_model(name).fingerprint for name in models},
        },
    }
    _write(folder, facts, inputs.train, inputs.test, compute, records, estimator)


def write_estimator_manifest(
    folder: Path,
    prepared: PreparedEstimator,
    compute: Compute,
    records: Sequence[StageRecord],
    estimator: EstimatorDescription,
    execution: Mapping[str, object],
) -> None:
    """Write the manifest of an estimator that was trained by itself; its test samples are those it may be fitted on."""
    data = prepared.data
    facts = {
        "execution": execution,
        "recipes": [],
        "parents": [],
        "estimator_source": _source(prepared),
        "methods": {},
        "caution": "",
        "seed": prepared.recipe.seed,
        "responses": {},
        "hashes": {
            "templates": prepared.renderer.content_hash(),
            **_sample_hashes(data.train, data.subsets),
            "models": {estimator.base_model: estimator.base_fingerprint},
        },
    }
    _write(folder, facts, data.train, data.subsets, compute, records, estimator)


def _write(
    folder: Path,
    facts: Mapping[str, object],
    train: Sequence[Sample],
    test: Mapping[str, Sequence[Sample]],
    compute: Compute,
    records: Sequence[StageRecord],
    estimator: EstimatorDescription,
) -> None:
    """Write what is asked for with what every manifest has."""
    write_json(
        folder / "manifest.json",
        {
            "format_version": FORMAT_VERSION,
            **facts,
            "estimator": {**estimator.plain(), "label": estimator.label},
            "training_samples": [sample.sample_id for sample in train],
            "test_samples": {key: [s.sample_id for s in rows] for key, rows in test.items()},
            "package_versions": package_versions(compute),
            "git_revision": git_revision(),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": device_name(compute.device),
            "compute": asdict(compute),
            "stages": [asdict(record) for record in records],
        },
    )


def _source(estimator: EstimatorSource) -> object:
    if isinstance(estimator, Path):
        return str(estimator)
    recipe = estimator.recipe if isinstance(estimator, PreparedEstimator) else estimator
    return recipe.model_dump(mode="json")


def _sample_hashes(train: Sequence[Sample], test: Mapping[str, Sequence[Sample]]) -> dict[str, str]:
    tested = [sample.content_hash for samples in test.values() for sample in samples]
    return {
        "training_samples": content_key([sample.content_hash for sample in train]),
        "test_samples": content_key(tested),
    }
