"""The stage that makes the estimator, or takes over one that exists."""

import shutil
from pathlib import Path

from benchmark.run_store import disk_errors
from recipes.schema import EstimatorRecipe
from recipes.stage import StageReport
from scoring.estimator import DESCRIPTION, write_base_estimator

ESTIMATOR = "estimator"


def make_estimator(recipe: EstimatorRecipe, templates: str | None, folder: Path) -> StageReport:
    """Make the estimator that a recipe describes, anew where an interrupted run left a part of it."""
    target = folder / ESTIMATOR
    with disk_errors(target):
        shutil.rmtree(target, ignore_errors=True)
    write_base_estimator(recipe.model, target, templates=Path(templates) if templates else None)
    return StageReport()


def adopt_estimator(source: Path, folder: Path) -> StageReport:
    """Copy an estimator's directory into the run, so that the run stays whole without it."""
    target = folder / ESTIMATOR
    with disk_errors(target):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source / "templates", target / "templates")
        shutil.copy2(source / DESCRIPTION, target / DESCRIPTION)
    return StageReport()
