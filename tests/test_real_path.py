"""The demo's own path with the packaged language model, on a few samples."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scoring.models.cache import CACHE_VARIABLE

SMALLER = ("benchmark.train_samples=3", "benchmark.test_samples=3", "benchmark.subsets=[id, german]", "seed=7")


def test_the_demo_compares_two_of_its_methods_with_the_real_model(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from recipes.cli import main; main()", "compare"]
    command += ["demo/icl", "demo/sft", "demo/estimator", "--out", str(tmp_path)]
    for assignment in (*SMALLER, "generation.max_new_tokens=8"):
        command += ["--set", assignment]
    users_own_cache = {name: value for name, value in os.environ.items() if name != CACHE_VARIABLE}
    result = subprocess.run(command, capture_output=True, text=True, env=users_own_cache, timeout=900, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Where everything lies" in result.stdout
    scores = json.loads((tmp_path / "scores" / "remi.json").read_text())
    estimates = {(row["method"], row["subset"]): row for row in scores if row["unit"] == "nats_per_token"}
    assert set(estimates) == {(method, subset) for method in ("icl", "sft") for subset in ("id", "german")}
    for row in estimates.values():
        assert row["n_samples"] == 3
        assert row["reference_mi"] > 0, "a golden response is likelier behind its own input than behind another's"
        assert abs(row["remi"]) < 20
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["estimator"]["base_model"] == "smollm2-135m"
    assert "too small to rank methods" in manifest["caution"]
