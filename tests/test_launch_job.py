"""What a process of a launched training is told is enough for it to plan the same stage; a changed world is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest
from recipe_helpers import write_recipes

from benchmark import RunFailure
from benchmark.progress import SilentProgress
from benchmark.run_store import RunStore
from recipes.comparison import prepare_comparison
from recipes.environment import Compute
from recipes.estimator_run import prepare_training
from recipes.launch_config import ONE_DEVICE, Devices
from recipes.launch_job import Described, Job, describe_comparison, describe_estimator, planned_stage, read_job
from recipes.plan import Planner
from recipes.stage import Stage
from recipes.stage_estimator import training_stage
from rpm_methods.registry import methods

COMPUTE = Compute("cpu", "float32", 1)
TWO = Devices(2)
BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 16, test_samples: 3, subsets: [german, film]}}
scoring: {{embedding: {embedding}}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
ESTIMATOR = """kind: estimator
estimator: corl
model: {model}
benchmark: {{source: mini, train_samples: 4}}
fit_on: [german, film]
folds: null
config: {{iterations: 1, reasoning_rl: {{training: {{num_generations: 2, per_device_train_batch_size: 2}}}}}}
"""


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a recipe for every method and one of a trained estimator."""
    base = BASE.format(model=tiny_model, embedding=tiny_embedding)
    lines = dict.fromkeys(methods(), "") | {"icl": "config: {examples: 1}"}
    folder = write_recipes(tmp_path / "recipes", base, lines, ESTIMATOR.format(model=tiny_model))
    monkeypatch.chdir(folder)
    return folder


def plan(recipes: Path, out: Path, devices: Devices = ONE_DEVICE) -> tuple[list[Stage], Described]:
    comparison = prepare_comparison([str(recipes)], ["seed=7"])
    stages = Planner(comparison, COMPUTE, RunStore(out), SilentProgress(), devices).stages()
    return stages, describe_comparison(comparison)


def told(stage: Stage, described: Described, folder: Path, devices: Devices = TWO) -> Job:
    """Return the job of a stage as a process reads it."""
    folder.mkdir(exist_ok=True)
    Job(stage.name, stage.key, folder, folder, described, COMPUTE, devices, folder / "line").write(folder)
    return read_job(folder)


def test_every_training_of_a_comparison_is_planned_again_under_its_key(recipes: Path, tmp_path: Path) -> None:
    stages, described = plan(recipes, tmp_path, TWO)
    trainings = [stage for stage in stages if stage.trains]
    assert {stage.name for stage in trainings} == {
        "estimator",
        *(f"policy/{name}" for name, method in methods().items() if method.spec.trains),
    }
    for stage in trainings:
        again = planned_stage(told(stage, described, tmp_path), SilentProgress())
        assert (again.name, again.key) == (stage.name, stage.key)


def test_an_estimator_that_is_trained_alone_is_planned_again_under_its_key(recipes: Path, tmp_path: Path) -> None:
    prepared = prepare_training(str(recipes / "estimator.yaml"), ["seed=7"])
    stage = training_stage(prepared, COMPUTE, RunStore(tmp_path), SilentProgress(), TWO)
    again = planned_stage(told(stage, describe_estimator(prepared), tmp_path), SilentProgress())
    assert (again.name, again.key) == (stage.name, stage.key)


def test_a_process_that_would_train_something_else_stops(recipes: Path, tmp_path: Path) -> None:
    stages, described = plan(recipes, tmp_path, TWO)
    stage = next(stage for stage in stages if stage.name == "policy/sft")
    job = told(stage, described, tmp_path)
    for changed in (replace(job, devices=Devices(4)), replace(job, compute=replace(COMPUTE, threads=2))):
        with pytest.raises(RunFailure, match="what policy/sft depends on has changed since the run began"):
            planned_stage(changed, SilentProgress())


def test_the_number_of_processes_is_in_the_keys_of_trainings_and_of_what_follows_alone(
    recipes: Path, tmp_path: Path
) -> None:
    alone, together = ({s.name: s.key for s in plan(recipes, tmp_path, devices)[0]} for devices in (ONE_DEVICE, TWO))
    same = {name for name in alone if alone[name] == together[name]}
    assert same == {"policy/icl", "responses/icl", "embeddings/icl", "embeddings/samples", "divergences"}
