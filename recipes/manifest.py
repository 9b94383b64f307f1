"""`manifest.json`: everything needed to say how a table came about, and to make it again."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.run_store import content_key, write_json
from recipes.comparison import Comparison
from recipes.environment import Compute, git_revision, package_versions
from recipes.schema import EstimatorRecipe
from recipes.stage import StageRecord
from rpm_methods.registry import methods
from scoring.estimator import EstimatorDescription
from scoring.models.precision import device_name
from scoring.models.resolver import locate_model

FORMAT_VERSION = 1


def write_manifest(
    folder: Path,
    comparison: Comparison,
    compute: Compute,
    records: Sequence[StageRecord],
    estimator: EstimatorDescription,
    responses: dict[str, str],
) -> None:
    """Write the manifest of a finished run; `responses` maps each method's name in the run to its file."""
    source = comparison.estimator
    used = {recipe.method for recipe in comparison.recipes}
    models = {recipe.base_model for recipe in comparison.recipes} | {estimator.base_model}
    write_json(
        folder / "manifest.json",
        {
            "format_version": FORMAT_VERSION,
            "recipes": [recipe.model_dump(mode="json") for recipe in comparison.recipes],
            "estimator_source": source.model_dump(mode="json") if isinstance(source, EstimatorRecipe) else str(source),
            "estimator": {**asdict(estimator), "label": estimator.label},
            "methods": {name: asdict(method.spec) for name, method in methods().items() if name in used},
            "caution": comparison.shared.caution,
            "seed": comparison.shared.seed,
            "training_samples": [sample.sample_id for sample in comparison.train],
            "test_samples": {key: [s.sample_id for s in rows] for key, rows in comparison.test.items()},
            "hashes": {
                "templates": comparison.renderer.content_hash(),
                "training_samples": content_key([sample.content_hash for sample in comparison.train]),
                "test_samples": content_key([sample.content_hash for sample in comparison.test_samples]),
                "models": {name: locate_model(name).fingerprint for name in sorted(models)},
            },
            "package_versions": package_versions(),
            "git_revision": git_revision(),
            "device": device_name(compute.device),
            "compute": asdict(compute),
            "responses": responses,
            "stages": [asdict(record) for record in records],
        },
    )
