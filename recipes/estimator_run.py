"""Train an estimator by itself, in a run directory that later comparisons can name it from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.progress import Progress
from benchmark.prompts import PromptRenderer
from benchmark.run_store import RunStore
from recipes.environment import settle_compute
from recipes.execution import ON_THIS_DEVICE, Execution
from recipes.launch import Launcher, devices_of, launch_facts, launch_of_estimator
from recipes.launch_job import describe_estimator
from recipes.manifest import write_estimator_manifest
from recipes.prepared_estimator import PreparedEstimator, prepare_estimator, read_estimator_recipe
from recipes.publishing import publish_estimator_training
from recipes.quantized_weights import refuse_for_training
from recipes.stage import RunObserver, StageRecord, run_stages
from recipes.stage_estimator import ESTIMATOR, training_stage
from reports.training.page import write_training_report
from scoring.estimator import Estimator, copy_estimator, read_estimator


@dataclass(frozen=True)
class FinishedEstimator:
    """What a training left."""

    estimator: Estimator
    """In the run directory."""
    record: StageRecord


def prepare_training(name: str, overrides: Sequence[str]) -> PreparedEstimator:
    """Read and check a recipe and all that it names, before anything heavy runs.

    Raises:
        UserMistakes: all mistakes found.
    """
    recipe = read_estimator_recipe(name, overrides)
    prepared = prepare_estimator(recipe, PromptRenderer(recipe.templates))
    refuse_for_training(prepared)
    return prepared


def run_training(
    prepared: PreparedEstimator,
    out: Path,
    *,
    progress: Progress,
    observer: RunObserver,
    execution: Execution = ON_THIS_DEVICE,
) -> FinishedEstimator:
    """Train the estimator, or go on with it, and leave it in `OUT/estimator`.

    Raises:
        UserMistakes: it cannot be launched as `execution` says.
        RunFailure: the training failed; what was finished stays, and the same call goes on from it.
    """
    compute = settle_compute(prepared.recipe.compute)
    launch = launch_of_estimator(execution, compute)
    store = RunStore(out)
    with store.held():
        stage = training_stage(prepared, compute, store, progress, devices_of(launch))
        stages = [stage]
        if launch is not None:
            stages = Launcher(launch, describe_estimator(prepared), compute, out, progress).launched(stages)
        folders, (record,) = run_stages(stages, store, observer)
        copy_estimator(folders[stage.name] / ESTIMATOR, out / ESTIMATOR)
        publish_estimator_training(folders[stage.name], out)
        write_training_report(out)
        estimator = read_estimator(out / ESTIMATOR)
        facts = {"executor": "local", **launch_facts(launch)}
        write_estimator_manifest(out, prepared, compute, [record], estimator.description, facts)
        return FinishedEstimator(estimator, record)
