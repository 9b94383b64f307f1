"""The stage that makes the estimator, trains it, or takes over one that exists."""

import shutil
from functools import partial
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import RunStore, disk_errors
from corl.estimator_training import ESTIMATOR, EstimatorTraining
from recipes.environment import Compute, stage_key
from recipes.launch_config import ONE_DEVICE, Devices
from recipes.prepared_estimator import PreparedEstimator
from recipes.schema import BaseEstimatorRecipe
from recipes.stage import Stage, StageReport
from scoring.estimator import copy_estimator, write_base_estimator
from scoring.models.resolver import locate_model

__all__ = ["ESTIMATOR", "adopt_estimator", "estimator_training", "make_estimator", "training_stage"]


def make_estimator(recipe: BaseEstimatorRecipe, templates: str | None, folder: Path) -> StageReport:
    """Make the estimator that a recipe describes, anew where an interrupted run left a part of it."""
    target = folder / ESTIMATOR
    with disk_errors(target):
        shutil.rmtree(target, ignore_errors=True)
    write_base_estimator(recipe.model, target, templates=Path(templates) if templates else None)
    return StageReport()


def training_stage(
    prepared: PreparedEstimator,
    compute: Compute,
    store: RunStore,
    progress: Progress,
    devices: Devices = ONE_DEVICE,
) -> Stage:
    """Return the stage that trains the estimator of a recipe on the devices."""
    recipe, data = prepared.recipe, prepared.data
    parts: list[object] = [
        recipe.config.identity(),
        recipe.folds,
        locate_model(recipe.model).fingerprint,
        prepared.renderer.content_hash(),
        [sample.content_hash for sample in data.train],
        {key: [sample.content_hash for sample in samples] for key, samples in data.subsets.items()},
        data.co_evolve_on_train,
        *devices.identity(),
    ]
    work = partial(_train, prepared, compute, store.folder / "teacher", progress)
    return Stage("estimator", stage_key("estimator", parts, recipe.seed, compute), work, trains=True)


def _train(
    prepared: PreparedEstimator, compute: Compute, teacher_folder: Path, progress: Progress, folder: Path
) -> StageReport:
    """Train the estimator of a recipe, going on from what an interrupted run left."""
    trained = estimator_training(prepared, compute, folder, teacher_folder, progress).run()
    tokens = sum(phase["tokens"] for phase in trained.phases)
    return StageReport(tokens=tokens, counts=trained.counts, parts=trained.phases)


def estimator_training(
    prepared: PreparedEstimator, compute: Compute, folder: Path, teacher_folder: Path, progress: Progress
) -> EstimatorTraining:
    """Return the training of a recipe's estimator in a folder."""
    recipe = prepared.recipe
    return EstimatorTraining(
        settings=recipe.config,
        base=locate_model(recipe.model),
        dtype=compute.dtype,
        device=compute.device,
        renderer=prepared.renderer,
        data=prepared.data,
        n_folds=recipe.folds,
        seed=recipe.seed,
        folder=folder,
        described=recipe.model_dump(mode="json"),
        teacher_folder=teacher_folder,
        progress=progress,
    )


def adopt_estimator(source: Path, folder: Path) -> StageReport:
    """Copy an estimator's directory into the run, so that the run stays whole without it."""
    copy_estimator(source, folder / ESTIMATOR)
    return StageReport()
