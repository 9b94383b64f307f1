"""Policies with random adapters, made without training."""

from pathlib import Path
from typing import Any

import torch

from benchmark.run_store import DONE, write_json
from rpm_methods.artifact import PolicyArtifact
from scoring.models.causal_lm import load_weights
from scoring.models.generation import Sampling
from scoring.models.resolver import ModelLocation


def random_adapter(base: ModelLocation, folder: Path, *, seed: int, scale: float, dtype: str = "float32") -> Path:
    """Write a LoRA adapter on all linear layers whose every weight is random."""
    from peft import LoraConfig, get_peft_model

    model: Any = get_peft_model(
        load_weights(base, dtype), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter.dtype) * scale
    model.save_pretrained(folder)
    return folder


def stacked_policy(base: ModelLocation, folder: Path, sampling: Sampling, *, scale: float) -> PolicyArtifact:
    """Write a policy of two random adapters, one on top of the other."""
    names = ("start-0", "adapter")
    for seed, name in enumerate(names):
        random_adapter(base, folder / name, seed=seed, scale=scale)
    return PolicyArtifact(
        folder=folder,
        method="dpo",
        base_model=base.name,
        base_fingerprint=base.fingerprint,
        template="response",
        sampling=sampling,
        seed=1,
        adapters=names,
    ).write()


def finished(folder: Path, name: str, key: str) -> None:
    """Write the record that marks a stage's folder as finished."""
    record = {"name": name, "key": key, "reused": False, "seconds": 1.0, "peak_memory": 0, "tokens": 0, "counts": {}}
    write_json(folder / DONE, record | {"parts": []})
