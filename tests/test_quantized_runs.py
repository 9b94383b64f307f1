"""Runs on quantised weights from recipes to tables, by the real bitsandbytes on a CPU; left out where it is absent."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from recipe_helpers import base_estimator, write_recipes

from benchmark import Benchmark, PromptRenderer
from benchmark.progress import SilentProgress
from benchmark.run_store import read_json
from corl.estimator_training import EstimatorTraining, FitData
from corl.settings import EstimatorSettings
from recipes import environment
from recipes.comparison import prepare_comparison
from recipes.display import StageLines
from recipes.run import run_comparison
from rpm_methods.rollout_source import RewardPart
from scoring.estimator import Estimator
from scoring.models.resolver import locate_model

pytest.importorskip("bitsandbytes", reason="QUANTISED RUNS ARE NOT TESTED: pip install rpm-methods[quantization]")
pytestmark = pytest.mark.slow

BASE = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 3, test_samples: 3, subsets: [id, korean]}}
generation: {{max_new_tokens: 6, batch_tokens: 4096}}
scoring: {{embedding: {embedding}, resamples: 200, gaussian_baseline: false}}
compute: {{device: cpu, quantization: 4bit, threads: 1}}
"""
SFT = {"training": {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2}}
RL = {"training": SFT["training"] | {"num_generations": 2}}


@pytest.fixture(autouse=True)
def a_cpu_that_passes_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)  # see test_quantized_models.py
    monkeypatch.setattr(environment, "why_not_quantized", lambda device: None)


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path, tiny_embedding: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = BASE.format(model=tiny_model, embedding=tiny_embedding)
    lines = dict.fromkeys(("sft", "dpo"), "config: {training: {max_steps: 2, learning_rate: 1e-2}}")
    folder = write_recipes(tmp_path / "recipes", base, lines, base_estimator(tiny_model))
    monkeypatch.chdir(folder)
    return folder


def compare(folder: Path, out: Path, *overrides: str) -> list[str]:
    told: list[str] = []
    comparison = prepare_comparison([str(folder)], list(overrides))
    run_comparison(comparison, out, progress=SilentProgress(), observer=StageLines(told.append))
    return [" ".join(line.split()) for line in told]


def test_a_chain_of_methods_is_trained_answers_and_is_scored_in_four_bits(recipes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(recipes, out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["compute"]["dtype"] == "4bit"
    assert manifest["package_versions"]["bitsandbytes"]
    rows = json.loads((out / "scores" / "remi.json").read_text())
    assert {row["method"] for row in rows} == {"sft", "dpo"}
    assert all(row["n_unscored"] == 0 for row in rows)
    assert not any(line.startswith("run ") for line in compare(recipes, out)), "everything is reused"
    before = {stage["name"]: stage["key"] for stage in manifest["stages"]}
    compare(recipes, out, "compute.quantization=8bit")
    after = {stage["name"]: stage["key"] for stage in json.loads((out / "manifest.json").read_text())["stages"]}
    assert all(before[name] != after[name] for name in ("policy/sft", "policy/dpo", "responses/dpo", "likelihoods"))


def uneven(*given: object) -> list[RewardPart]:
    """Tell any two rollouts apart: a random model's "100%" is the same behind all of them."""
    return [RewardPart("uneven", lambda sample, rollouts: [float(sum(r.ids) % 97) for r in rollouts])]


def trained(
    model: Path, mini: Benchmark, renderer: PromptRenderer, folder: Path, weights: str, **changed: object
) -> Estimator:
    settings = {
        "template": "reasoning_features",
        "iterations": 1,
        "max_reasoning_tokens": 8,
        "max_response_tokens": 6,
        "lora": {"r": 2},
        "cold_start": SFT,
        "imitation": SFT,
        "reasoning_rl": RL,
        "response_rl": RL,
    }
    subsets: dict[str, Sequence[Any]] = {key: mini.test[key][:3] for key in ("german", "film")}
    training = EstimatorTraining(
        settings=EstimatorSettings.model_validate(settings | changed),
        base=locate_model(str(model)),
        dtype=weights,
        device="cpu",
        renderer=renderer,
        data=FitData(mini.train[:3], subsets, co_evolve_on_train=False),
        n_folds=None,
        seed=5,
        folder=folder,
        described={},
    )
    return training.run().estimator


def test_an_estimator_co_evolves_on_a_four_bit_base_says_so_and_scores_with_whole_weights_or_eight_bits(
    tiny_model: Path,
    mini: Benchmark,
    renderer: PromptRenderer,
    recipes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("corl.estimator_loop.response_rewards", uneven)
    estimator = trained(tiny_model, mini, renderer, tmp_path / "training", "4bit")
    assert estimator.description.quantization == "4bit"
    assert read_json(estimator.folder / "estimator.json")["quantization"] == "4bit"
    for name in ("dpo", "estimator"):
        (recipes / f"{name}.yaml").unlink()
    for bits in ("none", "8bit"):
        out = tmp_path / bits
        compare(recipes, out, f"estimator={estimator.folder}", f"compute.quantization={bits}")
        rows = json.loads((out / "scores" / "remi.json").read_text())
        assert rows
        assert all(row["remi"] is not None for row in rows)
        assert json.loads((out / "manifest.json").read_text())["estimator"]["quantization"] == "4bit"


def test_an_estimator_on_whole_weights_says_nothing_of_bits(
    tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path
) -> None:
    estimator = trained(tiny_model, mini, renderer, tmp_path / "training", "float32", iterations=0)
    assert estimator.description.quantization is None
    assert "quantization" not in read_json(estimator.folder / "estimator.json")
