"""Trainings of a tiny model by every kind of trainer, run by one process or, as a script, by several under accelerate.

`accelerate launch ... launched_trainings.py MODEL OUT`: what one process does with a batch, several do with its parts.
Under a configuration of FSDP the processes share the weights out too.
"""

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from benchmark import PromptRenderer, RunFailure, load_benchmark
from rpm_methods import grpo
from rpm_methods.artifact import read_artifact
from rpm_methods.method import TrainContext
from rpm_methods.processes import count, join, leave, weights_in_parts
from rpm_methods.registry import get_method
from rpm_methods.rollout_source import RewardPart
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

METHODS = ("sft", "dpo", "grpo")
RESUMED = "resumed"
"""Folder of a training by SFT that was broken off and gone on with."""
STEPS: dict[str, Any] = {"max_steps": 4, "learning_rate": 1e-2, "save_steps": 2}
BATCH = {"sft": 4, "dpo": 4, "grpo": 8}
"""Rows that all processes together take at once."""
OTHERS: dict[str, dict[str, Any]] = {
    "grpo": {"num_generations": 4, "gradient_accumulation_steps": 2, "learning_rate": 1e-4}
}
"""GRPO goes in small steps: after large ones rounding is large enough to bring a draw to another word now and then."""


def uneven_reward(*arguments: object) -> RewardPart:
    """Return a reward that tells any two different answers apart."""
    return RewardPart("uneven", lambda sample, rollouts: [float(sum(rollout.ids) % 97) for rollout in rollouts])


def train(name: str, model: Path, out: Path, folder: str = "") -> None:
    """Train a method in a folder by its name, without dropout, which processes draw each for itself."""
    method = get_method(name)
    training = {**STEPS, **OTHERS.get(name, {}), "per_device_train_batch_size": BATCH[name] // count()}
    config = method.config_type.model_validate({"training": training, "lora": {"lora_dropout": 0.0}})
    context = TrainContext(
        base=locate_model(str(model)),
        dtype="float32",
        device="cpu",
        samples=load_benchmark("mini").train[:8],
        renderer=PromptRenderer(),
        sampling=Sampling(8),
        seed=3,
        folder=out / (folder or name),
        parent=None if method.spec.starts_from == "base" else read_artifact(out / method.spec.starts_from),
    )
    context.folder.mkdir(parents=True, exist_ok=True)
    with patch.object(grpo, "full_marks_reward", uneven_reward):
        method.train(config, context)


def train_all(model: Path, out: Path) -> None:
    """Train each method."""
    for name in METHODS:
        train(name, model, out)


def train_in_parts(model: Path, out: Path) -> None:
    """Train by SFT, once straight on and once broken off before the adapter is written."""
    train("sft", model, out)
    with patch("rpm_methods.adapter_training._save", side_effect=RunFailure("broken off")):
        try:
            train("sft", model, out, RESUMED)
        except RunFailure as error:
            assert str(error) == "broken off"
    train("sft", model, out, RESUMED)


def take_processors_for_devices() -> None:
    """Let accelerate share weights out over processes on processors; by itself it does so on GPUs alone."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda self, *given: ("gloo", DistributedType.MULTI_GPU)
    dist.init_process_group("gloo")


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = Path(sys.argv[1]), Path(sys.argv[2])
    if weights_in_parts():
        take_processors_for_devices()
        train_in_parts(*given)
    else:
        join("cpu")
        train_all(*given)
    leave()
    os._exit(0)  # threads that talked with the other processes now and then abort an ordinary end
