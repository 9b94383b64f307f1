"""What the processes of a launched training are told: the stage, and everything from which its run is planned again.

It is plain data. Each process reads the benchmark, draws the samples and plans by itself; that the key of the stage
comes out the same proves that it plans the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.loading import load_benchmark
from benchmark.progress import Progress
from benchmark.prompts import PromptRenderer
from benchmark.run_store import RunStore, read_json, write_json
from recipes.comparison import Comparison
from recipes.environment import Compute
from recipes.estimator_source import EstimatorSource
from recipes.launch_config import Devices
from recipes.plan import Planner
from recipes.prepared_estimator import PreparedEstimator, prepare_estimator
from recipes.samples import draw_samples
from recipes.schema import BaseEstimatorRecipe, CoRLEstimatorRecipe, MethodRecipe
from recipes.stage import Stage
from recipes.stage_estimator import training_stage

JOB = "job.json"
Described = Mapping[str, Any]
"""A comparison or an estimator's recipe as plain data."""


@dataclass(frozen=True)
class Job:
    """One stage for several processes."""

    stage: str
    key: str
    folder: Path
    """The stage's."""
    run_folder: Path
    described: Described
    compute: Compute
    devices: Devices
    lifeline: Path

    def write(self, place: Path) -> None:
        """Leave the job in a folder for the processes."""
        paths = {name: str(getattr(self, name)) for name in ("folder", "run_folder", "lifeline")}
        write_json(place / JOB, {**asdict(self), **paths})


def read_job(place: Path) -> Job:
    """Read the job that `write` left in a folder."""
    plain = read_json(place / JOB)
    paths = {name: Path(plain[name]) for name in ("folder", "run_folder", "lifeline")}
    compute, devices = Compute(**plain["compute"]), Devices(**plain["devices"])
    return Job(**{**plain, **paths, "compute": compute, "devices": devices})


def describe_comparison(comparison: Comparison) -> Described:
    """Return the recipes of a comparison as they were resolved."""
    return {
        "recipes": [_plain(recipe) for recipe in comparison.recipes],
        "parents": [_plain(recipe) for recipe in comparison.parents.values()],
        "estimator": _plain_estimator(comparison.estimator),
    }


def describe_estimator(prepared: PreparedEstimator) -> Described:
    """Return the recipe of an estimator that is trained by itself."""
    return {"estimator": _plain(prepared.recipe)}


def planned_stage(job: Job, progress: Progress) -> Stage:
    """Plan the run again and return the job's stage.

    Raises:
        RunFailure: it depends on something that has changed since.
    """
    store = RunStore(job.run_folder)
    if "recipes" in job.described:
        comparison = _comparison(job.described)
        stages = Planner(comparison, job.compute, store, progress, job.devices).stages()
    else:
        recipe = CoRLEstimatorRecipe.model_validate(job.described["estimator"])
        prepared = prepare_estimator(recipe, PromptRenderer(recipe.templates))
        stages = [training_stage(prepared, job.compute, store, progress, job.devices)]
    found = [stage for stage in stages if (stage.name, stage.key) == (job.stage, job.key)]
    if not found:
        raise RunFailure(f"what {job.stage} depends on has changed since the run began; start the run again")
    return found[0]


def _plain(recipe: MethodRecipe | BaseEstimatorRecipe | CoRLEstimatorRecipe) -> dict[str, Any]:
    """Return what was set in a recipe: some of what may be left out may not be given."""
    return recipe.model_dump(mode="json", exclude_unset=True)


def _plain_estimator(source: EstimatorSource) -> str | dict[str, Any]:
    if isinstance(source, Path):
        return str(source)
    return _plain(source.recipe if isinstance(source, PreparedEstimator) else source)


def _comparison(described: Described) -> Comparison:
    recipes = tuple(MethodRecipe.model_validate(plain) for plain in described["recipes"])
    parents = [MethodRecipe.model_validate(plain) for plain in described["parents"]]
    shared = recipes[0]
    benchmark, renderer = load_benchmark(shared.benchmark.source), PromptRenderer(shared.templates)
    train, test = draw_samples(benchmark, shared.benchmark, shared.seed)
    return Comparison(
        recipes=recipes,
        parents={(recipe.base_model, recipe.method): recipe for recipe in parents},
        estimator=_estimator(described["estimator"], renderer),
        train=train,
        whole_test={key: benchmark.test[key] for key in test},
        test=test,
        renderer=renderer,
    )


def _estimator(plain: str | dict[str, Any], renderer: PromptRenderer) -> EstimatorSource:
    if isinstance(plain, str):
        return Path(plain)
    if plain["estimator"] == "base":
        return BaseEstimatorRecipe.model_validate(plain)
    return prepare_estimator(CoRLEstimatorRecipe.model_validate(plain), renderer)
