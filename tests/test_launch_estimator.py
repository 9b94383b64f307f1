"""Co-evolution by two processes: both take every turn, the first alone writes, and both stop when it collapses."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.progress import SilentProgress
from benchmark.run_store import read_json
from corl.held_out import PERPLEXITY
from corl.phases import DIVERGED, FINISHED
from recipes.display import StageLines
from recipes.estimator_run import FinishedEstimator, prepare_training, run_training
from recipes.execution import Execution
from rpm_methods.group_trainer import NO_SPREAD

SFT: dict[str, Any] = {"training": {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 1}}
RL: dict[str, Any] = {
    "training": {"max_steps": 2, "learning_rate": 1e-2, "num_generations": 2, "per_device_train_batch_size": 2},
    "keep_rollouts_every": 1,
}
CONFIG: dict[str, Any] = {
    "template": "reasoning_features",
    "iterations": 1,
    "samples": 4,
    "max_reasoning_tokens": 8,
    "max_response_tokens": 6,
    "held_out": {"samples": 1, "every": 1},
    "cold_start": SFT,
    "imitation": SFT,
    "reasoning_rl": RL,
    "response_rl": {**RL, "training": {**RL["training"], "temperature": 1e-4}, "collapse_steps": 1},
}
"""Responses are drawn so cold that all to a prompt are alike, so that their training collapses at its first step."""
FOLDS = 2


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedEstimator:
    folder = tmp_path_factory.mktemp("launched")
    content = {
        "kind": "estimator",
        "estimator": "corl",
        "model": str(tiny_model),
        "benchmark": {"source": "mini", "subsets": ["german", "film"], "train_samples": 4},
        "fit_on": ["german", "film"],
        "folds": FOLDS,
        "config": CONFIG,
        "compute": {"device": "cpu", "dtype": "float32", "threads": 2},
    }
    path = folder / "estimator.yaml"
    path.write_text(yaml.safe_dump(content))
    return run_training(
        prepare_training(str(path), []),
        folder / "out",
        progress=SilentProgress(),
        observer=StageLines(lambda line: None),
        execution=Execution(launch=Path("ddp_cpu2")),
    )


@pytest.fixture
def turns(finished: FinishedEstimator) -> list[Path]:
    """Return the folder of the only iteration of each fold."""
    out = finished.estimator.folder.parent
    found = sorted(out.glob("stages/estimator-*/training/fold-*/iteration-01"))
    assert len(found) == FOLDS
    return found


@pytest.mark.slow
def test_a_collapse_ends_the_iteration_in_both_processes_and_the_cold_start_is_kept(
    finished: FinishedEstimator, turns: list[Path]
) -> None:
    for turn in turns:
        assert (turn / "2-policy-sft" / FINISHED).is_file()
        assert not (turn / "3-policy-rl" / FINISHED).exists()
        assert "training collapsed: in 1 steps in a row" in read_json(turn / DIVERGED)["message"]
    notes = finished.estimator.description.notes
    assert len(notes) == FOLDS
    for fold, note in enumerate(notes):
        assert note.startswith(f"fold {fold}: iteration 1 diverged, so the adapters of the cold start are kept")
    for fold, turn in enumerate(turns):
        for name, model in (("1-generator-sft", "generator"), ("2-policy-sft", "policy")):
            cold = turn.parent / "cold-start" / name / "adapter" / "adapter_model.safetensors"
            (kept,) = finished.estimator.adapters(fold, model)
            assert (kept / "adapter_model.safetensors").read_bytes() == cold.read_bytes()


@pytest.mark.slow
def test_the_generator_learned_from_the_rollouts_of_both_processes(turns: list[Path]) -> None:
    for turn in turns:
        log = [row for row in read_json(turn / "1-generator-rl" / "training_log.json") if "loss" in row]
        assert [row["step"] for row in log] == [1, 2]
        assert all(row[NO_SPREAD] < 1 and row["grad_norm"] > 0 for row in log)
        rollouts = [json.loads(line) for line in (turn / "1-generator-rl" / "rollouts.jsonl").open()]
        assert [row["step"] for row in rollouts] == [1] * 4 + [2] * 4
        assert all(len({row["sample_id"] for row in rollouts if row["step"] == step}) == 2 for step in (1, 2))
        mean = sum(row["reward"] for row in rollouts[:4]) / 4
        assert log[0]["reward"] == pytest.approx(mean, rel=1e-6)


@pytest.mark.slow
def test_what_is_measured_and_written_beside_training_is_done_once(turns: list[Path]) -> None:
    for turn in turns:
        log = [row for row in read_json(turn / "1-generator-rl" / "training_log.json") if "loss" in row]
        assert all(row[PERPLEXITY] > 1 for row in log)
        for step in (1, 2):
            written = (turn / "held-out" / f"step-{step:06d}.jsonl").read_text().splitlines()
            assert len(written) == 1
        reasonings = (turn / "reasoning.jsonl").read_text().splitlines()
        assert len(reasonings) == len(set(reasonings))


@pytest.mark.slow
def test_the_manifest_tells_phases_and_processes(finished: FinishedEstimator) -> None:
    manifest = read_json(finished.estimator.folder.parent / "manifest.json")
    assert manifest["execution"]["launch"]["processes"] == 2
    assert finished.record.counts["folds_that_diverged"] == FOLDS
    places = [part["place"] for part in finished.record.parts]
    assert len(places) == FOLDS * 4, "two of the cold start, two of the iteration"
    assert all(part["tokens"] > 0 for part in finished.record.parts)
