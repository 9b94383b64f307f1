"""Copies of what stages made, at the places where others read it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmark.run_store import disk_errors
from recipes.stage_baseline import BASELINE
from recipes.stage_bounds import BOUNDS
from recipes.stage_divergences import DIVERGENCES
from recipes.stage_scores import DIFFERENCES, REMI, REMID
from recipes.stage_tokens import TOKENS

SCORE_FILES = (
    ("scores", REMI),
    ("scores", REMID),
    ("scores", DIFFERENCES),
    ("divergences", DIVERGENCES),
    ("bounds", BOUNDS),
    ("baseline", BASELINE),
    ("tokens", TOKENS),
)
"""What each stage gives to `scores/`; baseline and tokens are there if they were asked for."""


def publish_scores(folders: Mapping[str, Path], out: Path) -> None:
    """Copy the files of the stages that ran to `scores/`, and remove those of stages that did not."""
    for stage, name in SCORE_FILES:
        if stage in folders:
            publish(folders[stage] / name, out / "scores" / name)
        else:
            (out / "scores" / name).unlink(missing_ok=True)


def publish(source: Path, target: Path) -> None:
    """Copy a file; readers see the old content or the new, never a part."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
