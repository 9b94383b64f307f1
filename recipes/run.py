"""Run a comparison from recipes to tables."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import RunStore
from recipes.comparison import Comparison
from recipes.environment import settle_compute
from recipes.execution import ON_THIS_DEVICE, Execution
from recipes.executor import open_executor
from recipes.launch import Launcher, devices_of, launch_facts, launch_of_comparison
from recipes.launch_job import describe_comparison
from recipes.manifest import write_comparison_manifest
from recipes.plan import Planner
from recipes.publishing import publish, publish_samples, publish_scores, publish_training
from recipes.stage import RunObserver, StageRecord
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_responses import RESPONSES
from reports.tables.table20 import write_table20
from scoring.estimator import read_estimator


@dataclass(frozen=True)
class FinishedRun:
    """What a run left."""

    folder: Path
    records: list[StageRecord]
    table: Path
    """The Markdown table."""


def run_comparison(
    comparison: Comparison,
    out: Path,
    *,
    progress: Progress,
    observer: RunObserver,
    execution: Execution = ON_THIS_DEVICE,
    command: str = "",
) -> FinishedRun:
    """Run all stages that are not done yet, then write scores, manifest and tables.

    Args:
        comparison: what to run.
        out: the run directory.
        progress: told of the units of work within a stage.
        observer: told of the stages.
        execution: where the stages run.
        command: what makes the run again, for the manifest.

    Raises:
        UserMistakes: trainings cannot be launched as `execution` says.
        RunFailure: a stage failed; what was finished stays, and the same call goes on from it.
    """
    compute = settle_compute(comparison.shared.compute)
    launch = launch_of_comparison(execution, comparison, compute)
    store = RunStore(out)
    with store.held():
        with open_executor(execution, compute, store, progress, observer) as executor:
            planner = Planner(comparison, compute, store, executor.progress, devices_of(launch))
            stages = planner.stages()
            if launch is not None:
                described = describe_comparison(comparison)
                stages = Launcher(launch, described, compute, out, executor.progress).launched(stages)
            folders, records = executor.run(stages, store, observer)
        names = [planner.name(recipe) for recipe in comparison.recipes]
        responses = {name: f"responses/{name}.jsonl" for name in names}
        for name in names:
            publish(folders[f"responses/{name}"] / RESPONSES, out / responses[name])
        publish_samples(comparison.train, comparison.test, out)
        publish_scores(folders, out)
        publish_training(folders, out)
        facts = {**executor.facts, **launch_facts(launch)}
        description = read_estimator(folders["estimator"] / ESTIMATOR).description
        write_comparison_manifest(out, comparison, compute, records, description, responses, command, facts)
        return FinishedRun(out, records, write_table20(out))
