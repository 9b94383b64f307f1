"""The stage that trains one method's policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recipes.stage import StageReport
from rpm_methods.artifact import DESCRIPTION, read_artifact
from rpm_methods.method import Method, MethodConfig, TrainContext


def train_policy(
    method: Method[Any], config: MethodConfig, context: Callable[[Path], TrainContext], folder: Path
) -> StageReport:
    """Train the method in the stage's folder, unless an interrupted run left its whole artifact there."""
    made = context(folder)
    trained = (folder / DESCRIPTION).is_file()
    artifact = read_artifact(folder) if trained else method.train(config, made)
    return StageReport(
        tokens=artifact.training_tokens, counts={"training_samples": len(made.samples), **artifact.training_counts}
    )
