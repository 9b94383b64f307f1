"""What the tests of trained estimators share: tiny LoRA adapters, and estimators of one fold or two made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import PromptRenderer
from scoring.estimator import Estimator, FoldSource, ReasoningSettings, write_corl_estimator
from scoring.models import generation
from scoring.models.causal_lm import CausalLM, load_weights
from scoring.models.resolver import locate_model

REASONING = ReasoningSettings("reasoning_features", max_new_tokens=8, repetition_penalty=1.05, batch_tokens=8192)
ADAPTERS = ("generator-0", "policy-0", "policy-0-more", "generator-1", "policy-1")


def silent(units: int = 1) -> None:
    """Tell nobody of an advance."""


def batches_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that takes the size of each batch that is generated from now on."""
    sizes: list[int] = []
    decode = generation.decode

    def counting(lm: CausalLM, prompts: Sequence[Sequence[int]], *rest: Any) -> Any:  # noqa: ANN401
        sizes.append(len(prompts))
        return decode(lm, prompts, *rest)

    monkeypatch.setattr(generation, "decode", counting)
    return sizes


def make_adapter(model: Path, folder: Path, seed: int) -> Path:
    """Save a random LoRA adapter of rank 2 that changes the model."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        get_peft_model(load_weights(locate_model(str(model)), "float32"), config).save_pretrained(folder)
    return folder


def make_adapters(model: Path, folder: Path) -> dict[str, Path]:
    """Return the adapters of two folds by name; the first fold's policy model is made of two."""
    return {name: make_adapter(model, folder / name, seed) for seed, name in enumerate(ADAPTERS, start=1)}


def two_folds(adapters: Mapping[str, Path]) -> list[FoldSource]:
    """Return two folds of the adapters of `make_adapters`."""
    return [
        FoldSource((adapters["generator-0"],), (adapters["policy-0"], adapters["policy-0-more"])),
        FoldSource((adapters["generator-1"],), (adapters["policy-1"],)),
    ]


def write(folder: Path, model: Path, adapters: Mapping[str, Path], **changes: Any) -> Estimator:  # noqa: ANN401
    """Write a trained estimator with some arguments of `write_corl_estimator` changed."""
    given: dict[str, Any] = {
        "base": locate_model(str(model)),
        "folds": two_folds(adapters),
        "assignments": {"a": 0, "b": 1},
        "renderer": PromptRenderer(),
        "reasoning": REASONING,
        "settings": {"iterations": 2, "rewards": {"form": False}},
        "curves": [{"place": "fold-0", "step": 1, "loss": 0.5}],
        "notes": ["fold 1: iteration 2 diverged"],
    }
    return write_corl_estimator(folder, **{**given, **changes})
