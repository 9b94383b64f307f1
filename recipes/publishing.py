"""Copies of what stages made, at the places where others read it."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.run_store import disk_errors, write_jsonl
from benchmark.sample import Sample
from corl.estimator_training import TRAINING
from recipes.stage_baseline import BASELINE
from recipes.stage_bounds import BOUNDS
from recipes.stage_convergence import CONVERGENCE
from recipes.stage_divergences import DIVERGENCES
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_reasoning import REASONING
from recipes.stage_scores import FILES as SCORES
from recipes.stage_tokens import TOKENS
from rpm_methods.adapter_training import TRAINING_LOG
from rpm_methods.preflight import FILE as PREFLIGHT
from rpm_methods.rollout_source import ROLLOUTS

SCORE_FILES = (
    *(("scores", name) for name in SCORES),
    ("divergences", DIVERGENCES),
    ("bounds", BOUNDS),
    ("convergence", CONVERGENCE),
    ("baseline", BASELINE),
    ("tokens", TOKENS),
)
"""What each stage gives to `scores/`; baseline and tokens are there if they were asked for."""

SAMPLES = "samples.jsonl"
TRAINING_FILES = (TRAINING_LOG, PREFLIGHT, ROLLOUTS)
"""What training leaves that people look at; the last is there where a policy learned from its own answers."""


def publish_scores(folders: Mapping[str, Path], out: Path) -> None:
    """Copy the files of the stages that ran to `scores/`, and remove those of stages that did not.

    The reasoning that the scores were made with goes to `reasoning.jsonl`.
    """
    targets = [(stage, name, out / "scores" / name) for stage, name in SCORE_FILES]
    for stage, name, target in (*targets, ("reasoning", REASONING, out / REASONING)):
        if stage in folders:
            publish(folders[stage] / name, target)
        else:
            target.unlink(missing_ok=True)


def publish_samples(train: Iterable[Sample], test: Mapping[str, Sequence[Sample]], out: Path) -> None:
    """Write what was trained and tested on to `samples.jsonl`, training samples first."""
    tested = (sample for samples in test.values() for sample in samples)
    write_jsonl(out / SAMPLES, (asdict(sample) for sample in (*train, *tested)))


def publish_training(folders: Mapping[str, Path], out: Path) -> None:
    """Copy what trainings left to `training/METHOD/` and `training/estimator/`.

    Parents that are not compared are included. Trainings in phases have a folder for each phase.
    """
    with disk_errors(out):
        for old in (out / "training", out / "figures" / "training"):
            shutil.rmtree(old, ignore_errors=True)
    for stage, folder in folders.items():
        kind, _, method = stage.partition("/")
        if kind == "policy":
            _publish_phases(folder, out / "training" / method)
        elif stage == ESTIMATOR:
            publish_estimator_training(folder, out)


def publish_estimator_training(folder: Path, out: Path) -> None:
    """Copy what an estimator's training left to `training/estimator/`; that of methods stays as it is."""
    with disk_errors(out):
        for old in (out / "training" / ESTIMATOR, out / "figures" / "training" / ESTIMATOR):
            shutil.rmtree(old, ignore_errors=True)
    _publish_phases(folder / TRAINING, out / "training" / ESTIMATOR)


def _publish_phases(folder: Path, target: Path) -> None:
    """Copy what people look at of all trainings below a folder; none has an adapter's own folder between."""
    for path in sorted(folder.rglob("*.json*")):
        if path.name in TRAINING_FILES:
            publish(path, target / path.relative_to(folder))


def publish(source: Path, target: Path) -> None:
    """Copy a file; readers see the old content or the new, never a part."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
