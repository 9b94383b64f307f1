"""Two processes with half a batch each train as one process with the whole batch does, with every kind of trainer."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launched_trainings
import pytest
from safetensors.torch import load_file

from benchmark.run_store import read_json
from recipes.finding import bundled_launches

TOLERANCE = 1e-4
"""Relative. Both add the same float32 numbers up in another order: one rounding is 6e-8, a gradient sums some thousand,
and four steps at a learning rate of 0.01 let differences grow. Measured: 5e-6 in losses, 1e-5 in norms of gradients."""
MICRO_BATCHES = ("entropy",)
"""Logged as a mean over micro-batches, which are made of other rows."""
OF_TIME = ("step_time", "train_runtime", "train_tokens_per_second")


@dataclass(frozen=True)
class Trained:
    """The folders of the trainings, each with one for every method."""

    alone: Path
    together: Path


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    config = bundled_launches()["ddp_cpu2"]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--multi_gpu"]
    script = [launched_trainings.__file__, str(tiny_model), str(together)]
    with subprocess.Popen([*launcher, "--main_process_port", "0", *script]) as process:
        launched_trainings.train_all(tiny_model, alone)
        assert process.wait(timeout=900) == 0
    return Trained(alone, together)


def steps(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_json(folder / "training_log.json") if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize("method", launched_trainings.METHODS)
def test_losses_gradients_and_all_that_is_logged_are_equal_up_to_rounding(trained: Trained, method: str) -> None:
    alone, together = steps(trained.alone / method), steps(trained.together / method)
    assert [row["step"] for row in together] == [row["step"] for row in alone] == [1, 2, 3, 4]
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        names = [name for name in one if name not in (*OF_TIME, *MICRO_BATCHES)]
        assert {"loss", "grad_norm", "learning_rate"} <= set(names)
        for name in names:
            assert other[name] == pytest.approx(one[name], rel=TOLERANCE, abs=1e-6), (method, name, one["step"])
    assert all(row["grad_norm"] > 0 for row in together)


@pytest.mark.slow
@pytest.mark.parametrize("method", launched_trainings.METHODS)
def test_adapters_are_equal_up_to_rounding_and_count_the_tokens_of_both_processes(
    trained: Trained, method: str
) -> None:
    one, other = (
        load_file(folder / method / "adapter" / "adapter_model.safetensors")
        for folder in (trained.alone, trained.together)
    )
    assert one.keys() == other.keys()
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    # Adam divides by the gradient's size, so that where it is all but nothing rounding decides where a weight goes
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 0.01 * largest
    counted = [read_json(folder / method / "policy.json") for folder in (trained.alone, trained.together)]
    assert counted[0]["training_tokens"] == counted[1]["training_tokens"] > 0
    assert counted[0]["training_counts"] == counted[1]["training_counts"]


@pytest.mark.slow
def test_both_draw_the_same_rollouts_and_the_whole_steps_are_kept(trained: Trained) -> None:
    one, other = ((folder / "grpo" / "rollouts.jsonl").read_text() for folder in (trained.alone, trained.together))
    assert one == other
    rows = [json.loads(line) for line in other.splitlines()]
    assert len(rows) == 16, "four prompts, answered four times each"
    assert len({row["text"] for row in rows}) > 8


@pytest.mark.slow
def test_the_preflight_says_how_many_train_together_and_what_a_step_takes(trained: Trained) -> None:
    notes = {
        name: read_json(trained.together / name / "preflight.json")["notes"] for name in launched_trainings.METHODS
    }
    assert "2 processes train together: a step takes 4 rows" in notes["sft"]
    assert "a step answers 4 prompts 4 times each" in notes["grpo"]
    assert "2 processes train together: a step takes 16 rows" in notes["grpo"]
    assert not any("processes" in note for note in read_json(trained.alone / "sft" / "preflight.json")["notes"])
