"""Short trainings of any method, behind those of the policies that it starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rpm_methods.artifact import PolicyArtifact, read_artifact
from rpm_methods.method import Method, MethodConfig, TrainContext
from rpm_methods.registry import get_method

TWO_STEPS = {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "save_steps": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "icl": {"examples": 2},
    "sft": {"training": TWO_STEPS},
    "da": {"training": TWO_STEPS},
    "dpo": {"training": TWO_STEPS},
    "rft": {"training": TWO_STEPS, "candidates": 2},
    "grpo": {"training": TWO_STEPS | {"num_generations": 2}},
    "thinking_sft": {"training": TWO_STEPS},
    "thinking_rl": {"training": TWO_STEPS | {"num_generations": 2}},
    "corl": {
        "iterations": 1,
        "max_reasoning_tokens": 8,
        "max_response_tokens": 6,
        "reasoning_rl": {"training": TWO_STEPS | {"num_generations": 2}},
        "imitation": {"training": TWO_STEPS},
        "response_rl": {"training": TWO_STEPS | {"num_generations": 2}},
    },
}
"""Settings that make a method small; one without an entry takes two steps, or its defaults if it trains nothing."""


def config_of(method: Method[Any]) -> MethodConfig:
    """Return a small config of a method."""
    small = {"training": TWO_STEPS} if method.spec.trains else {}
    return method.config_type.model_validate(CONFIGS.get(method.spec.name, small))


def train_once(method: Method[Any], setting: TrainContext) -> TrainContext:
    """Return the context that the method was trained in: in a folder of its name below the setting's, once."""
    ready = with_parent(method, setting, setting.folder / method.spec.name)
    if not ready.folder.exists():
        ready.folder.mkdir()
        method.train(config_of(method), ready)
    return ready


def with_parent(method: Method[Any], setting: TrainContext, folder: Path) -> TrainContext:
    """Return the context of a training in this folder; what the method starts from is trained below the setting's."""
    name = method.spec.starts_from
    parent = None if name == "base" else read_artifact(train_once(get_method(name), setting).folder)
    return replace(setting, folder=folder, parent=parent)


def make(method: Method[Any], setting: TrainContext, folder: Path) -> PolicyArtifact:
    """Train a method in a folder."""
    return method.train(config_of(method), with_parent(method, setting, folder))
