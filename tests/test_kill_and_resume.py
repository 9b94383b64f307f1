"""A run killed with SIGKILL goes on when started again and ends in the same table as one left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 8, test_samples: 3}}
generation: {{max_new_tokens: 24, batch_tokens: 2500}}
scoring: {{batch_tokens: 64, embedding: {embedding}}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
SFT = """kind: method
extends: _base
method: sft
config: {training: {max_steps: 30, learning_rate: 1e-3, save_steps: 3, per_device_train_batch_size: 1}}
"""
KILLS = 4


def write_recipes(folder: Path, model: Path, embedding: Path) -> None:
    folder.mkdir()
    (folder / "_base.yaml").write_text(BASE.format(model=model, embedding=embedding))
    (folder / "sft.yaml").write_text(SFT)
    (folder / "icl.yaml").write_text("kind: method\nextends: _base\nmethod: icl\nconfig: {examples: 1}\n")
    (folder / "estimator.yaml").write_text(f"kind: estimator\nestimator: base\nmodel: {model}\n")


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from recipes.cli import main; main()", "compare", str(folder), "--out", str(out)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_in_the_same_table(
    tmp_path: Path, tiny_model: Path, tiny_embedding: Path
) -> None:
    recipes = tmp_path / "recipes"
    write_recipes(recipes, tiny_model, tiny_embedding)
    straight = start(recipes, tmp_path / "straight")
    begun = time.monotonic()
    straight.communicate(timeout=600)
    assert straight.returncode == 0
    duration = time.monotonic() - begun

    generator = random.Random(0)
    killed = 0
    for _ in range(KILLS):
        process = start(recipes, tmp_path / "killed")
        try:
            process.wait(timeout=generator.uniform(0.3, 0.9) * duration)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    last = start(recipes, tmp_path / "killed")
    shown, _ = last.communicate(timeout=600)
    assert last.returncode == 0
    assert killed >= 1
    assert "reused" in shown
    made = [path for folder in ("tables", "scores") for path in (tmp_path / "straight" / folder).iterdir()]
    assert len(made) >= 9
    for path in made:
        assert (tmp_path / "killed" / path.parent.name / path.name).read_bytes() == path.read_bytes(), path.name
