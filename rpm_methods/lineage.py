"""What a method starts from: the adapters of its parent, merged in order, with a new one trained on top."""

import shutil
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.run_store import disk_errors
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.checkpoints import CHECKPOINTS, remove_checkpoints
from rpm_methods.method import MethodSpec, TrainContext
from rpm_methods.processes import by_first, weights_in_parts
from scoring.models.causal_lm import load_weights, merge_adapter
from scoring.models.precision import QUANTIZED
from scoring.models.quantization import quantized

ADAPTER = "adapter"
"""Folder of the adapter that a method trains itself."""


def start_adapters(context: TrainContext) -> list[Path]:
    """Return the adapters of the policy that training starts from, in the order in which they are merged."""
    parent = context.parent
    return [] if parent is None else [parent.folder / name for name in parent.adapters]


def start_model(context: TrainContext) -> Any:  # noqa: ANN401 - a transformers model
    """Load the base model with the parent's adapters merged into it; on the CPU, or quantised on the device.

    Nothing is merged into quantised weights: they are made of the merged ones.

    Raises:
        RunFailure: the weights or an adapter cannot be read, or the parent was trained on another base; or quantised
            weights are to be taken apart.
    """
    parent = context.parent
    if parent is not None and parent.base_fingerprint != context.base.fingerprint:
        raise RunFailure(f"{parent.folder}: the {parent.method} policy was trained on another base; train it again")
    model = load_weights(context.base, context.dtype)
    for adapter in start_adapters(context):
        model = merge_adapter(model, adapter)
    if context.dtype not in QUANTIZED:
        return model
    if weights_in_parts():
        raise RunFailure("FSDP and DeepSpeed's stage 3 cannot take quantised weights apart; launch without them")
    return quantized(model, context.dtype, context.device)


def trained_artifact(
    spec: MethodSpec,
    context: TrainContext,
    *,
    template: str,
    training_tokens: int,
    training_counts: dict[str, int] | None = None,
) -> PolicyArtifact:
    """Write the artifact of a method whose adapter lies in the folder, with copies of its parent's; end the training.

    Only then do the checkpoints go: until the artifact is whole, training can be gone on from them.
    """
    return by_first(lambda: _write_artifact(spec, context, template, training_tokens, training_counts or {}))


def _write_artifact(
    spec: MethodSpec, context: TrainContext, template: str, training_tokens: int, training_counts: dict[str, int]
) -> PolicyArtifact:
    inherited = []
    for number, adapter in enumerate(start_adapters(context)):
        name = f"start-{number}"
        with disk_errors(context.folder):
            shutil.rmtree(context.folder / name, ignore_errors=True)
            shutil.copytree(adapter, context.folder / name)
        inherited.append(name)
    written = PolicyArtifact(
        folder=context.folder,
        method=spec.name,
        base_model=context.base.name,
        base_fingerprint=context.base.fingerprint,
        template=template,
        sampling=context.sampling,
        seed=context.seed,
        adapters=(*inherited, ADAPTER),
        training_tokens=training_tokens,
        training_counts=training_counts,
        thinking=spec.produces_reasoning,
    ).write()
    remove_checkpoints(context.folder / CHECKPOINTS)
    return written
