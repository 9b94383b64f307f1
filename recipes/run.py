"""Run a comparison from recipes to tables."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import RunStore, disk_errors
from recipes.comparison import Comparison
from recipes.environment import settle_compute
from recipes.manifest import write_manifest
from recipes.plan import Planner
from recipes.stage import StageRecord, run_stages
from recipes.stage_baseline import BASELINE
from recipes.stage_bounds import BOUNDS
from recipes.stage_divergences import DIVERGENCES
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_responses import RESPONSES
from recipes.stage_scores import DIFFERENCES, REMI, REMID
from reports.table20 import write_table20
from scoring.estimator import read_estimator

SCORE_FILES = (
    ("scores", REMI),
    ("scores", REMID),
    ("scores", DIFFERENCES),
    ("divergences", DIVERGENCES),
    ("bounds", BOUNDS),
    ("baseline", BASELINE),
)
"""What a stage gives to `scores/`."""


@dataclass(frozen=True)
class FinishedRun:
    """What a run left."""

    folder: Path
    records: list[StageRecord]
    table: Path
    """The Markdown table."""


def run_comparison(
    comparison: Comparison, out: Path, *, progress: Progress, tell: Callable[[str], None]
) -> FinishedRun:
    """Run all stages that are not done yet, then write scores, manifest and tables.

    Raises:
        RunFailure: a stage failed; what was finished stays, and the same call goes on from it.
    """
    compute = settle_compute(comparison.shared.compute)
    store = RunStore(out)
    planner = Planner(comparison, compute, store, progress)
    folders, records = run_stages(planner.stages(), store, tell)
    names = [planner.name(recipe) for recipe in comparison.recipes]
    responses = {name: f"responses/{name}.jsonl" for name in names}
    for name in names:
        _publish(folders[f"responses/{name}"] / RESPONSES, out / responses[name])
    for stage, name in SCORE_FILES:
        if stage in folders:
            _publish(folders[stage] / name, out / "scores" / name)
    description = read_estimator(folders["estimator"] / ESTIMATOR).description
    write_manifest(out, comparison, compute, records, description, responses)
    return FinishedRun(out, records, write_table20(out))


def _publish(source: Path, target: Path) -> None:
    """Copy a stage's result to the stable place where others read it."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
