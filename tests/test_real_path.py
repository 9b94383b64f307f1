"""The demo's own path with the packaged language model, on a few samples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.models.cache import CACHE_VARIABLE

SMALLER = ("benchmark.train_samples=3", "benchmark.test_samples=3", "benchmark.subsets=[id, german]", "seed=7")
UNTRAINED = """kind: estimator
estimator: base
model: smollm2-135m
"""
TRAINED = """kind: estimator
extends: demo/estimator
benchmark: {train_samples: 3}
config:
  max_reasoning_tokens: 16
  max_response_tokens: 8
  cold_start: {training: {max_steps: 1}}
  reasoning_rl: {training: {max_steps: 1, num_generations: 2, per_device_train_batch_size: 2}}
  imitation: {training: {max_steps: 1}}
  response_rl: {training: {max_steps: 1, num_generations: 2, per_device_train_batch_size: 2}}
"""


@pytest.mark.parametrize("estimator", [UNTRAINED, pytest.param(TRAINED, marks=pytest.mark.slow)], ids=["base", "corl"])
def test_the_demo_compares_two_of_its_methods_with_the_real_model(tmp_path: Path, estimator: str) -> None:
    (tmp_path / "estimator.yaml").write_text(estimator)
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from recipes.cli import main; main()", "compare"]
    command += ["demo/icl", "demo/sft", str(tmp_path / "estimator.yaml"), "--out", str(out)]
    for assignment in (*SMALLER, "generation.max_new_tokens=8"):
        command += ["--set", assignment]
    users_own_cache = {name: value for name, value in os.environ.items() if name != CACHE_VARIABLE}
    result = subprocess.run(command, capture_output=True, text=True, env=users_own_cache, timeout=900, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Where everything lies" in result.stdout
    scores = json.loads((out / "scores" / "remi.json").read_text())
    estimates = {(row["method"], row["subset"]): row for row in scores if row["unit"] == "nats_per_token"}
    assert set(estimates) == {(method, subset) for method in ("icl", "sft") for subset in ("id", "german")}
    for row in estimates.values():
        assert row["n_samples"] == 3
        assert row["reference_mi"] > 0, "a golden response is likelier behind its own input than behind another's"
        assert abs(row["remi"]) < 20
    manifest = json.loads((out / "manifest.json").read_text())
    if estimator == TRAINED:
        assert manifest["estimator"]["label"] == "corl smollm2-135m"
        assert len((out / "reasoning.jsonl").read_text().splitlines()) == 6
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "OOD1Test-german" in (out / "report.html").read_text()
    assert "too small to rank methods" in manifest["caution"]
