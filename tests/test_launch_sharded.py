"""Two processes that hold half of the weights each train as one does that holds them all, and leave a whole adapter."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import launched_trainings
import pytest
import yaml
from launched_trainings import RESUMED
from safetensors.torch import load_file

from benchmark.run_store import read_json
from recipes.finding import bundled_launches


@pytest.fixture(scope="module")
def out(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a training by one process, in `alone`, and those by two, in folders by their names."""
    folder = tmp_path_factory.mktemp("sharded")
    config = folder / "fsdp.yaml"
    bundled = yaml.safe_load(bundled_launches()["fsdp"].read_text())
    config.write_text(yaml.safe_dump(bundled | {"num_processes": 2}))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    script = [launched_trainings.__file__, str(tiny_model), str(folder)]
    with subprocess.Popen([*launcher, "--main_process_port", "0", *script]) as process:
        launched_trainings.train("sft", tiny_model, folder, "alone")
        assert process.wait(timeout=900) == 0
    return folder


def steps(folder: Path) -> list[tuple[float, float]]:
    return [(row["loss"], row["grad_norm"]) for row in read_json(folder / "training_log.json") if "loss" in row]


def adapter(folder: Path) -> dict[str, Any]:
    return dict(load_file(folder / "adapter" / "adapter_model.safetensors"))


@pytest.mark.slow
def test_losses_and_the_adapter_are_those_of_one_process_up_to_rounding(out: Path) -> None:
    alone, together = steps(out / "alone"), steps(out / "sft")
    assert len(together) == launched_trainings.STEPS["max_steps"]
    assert together == [pytest.approx(step, rel=1e-4) for step in alone]
    one, other = adapter(out / "alone"), adapter(out / "sft")
    assert {name: tensor.shape for name, tensor in one.items()} == {name: t.shape for name, t in other.items()}
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 0.01 * largest
    tokens = [read_json(out / name / "policy.json")["training_tokens"] for name in ("alone", "sft")]
    assert tokens[0] == tokens[1] > 0


@pytest.mark.slow
def test_a_training_that_was_broken_off_goes_on_from_its_checkpoint_to_the_same_end(out: Path) -> None:
    assert steps(out / RESUMED) == steps(out / "sft")
    straight, resumed = adapter(out / "sft"), adapter(out / RESUMED)
    assert all(tensor.equal(resumed[name]) for name, tensor in straight.items())


@pytest.mark.slow
def test_the_preflight_says_that_the_longest_batch_was_not_tried(out: Path) -> None:
    found = read_json(out / "sft" / "preflight.json")
    assert found["longest_batch"] is None
    assert "the longest batch is not tried before training, which takes the weights apart" in found["notes"]
