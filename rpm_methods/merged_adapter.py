"""A model with adapters as a bare model for a while: one adapter merged into its weights, or none.

Rollouts then run at the speed of the bare model, and adapters that share a base in memory serve one after the other.
Into quantised weights nothing is merged: there the adapter is computed beside them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from scoring.models.quantization import computing_in_float32, is_quantized


@contextmanager
def merged(model: Any, adapter: str | None = None) -> Iterator[Any]:  # noqa: ANN401 - a PEFT model
    """Give the transformers model below with an adapter added to its weights, in evaluation mode.

    Without a name it is the active one. Afterwards the weights are the very tensors that they were: taking the
    adapter's part away again by subtraction would leave rounding in them, more at each step.
    """
    if is_quantized(model):
        with _alone(model, adapter):
            yield model.get_base_model()
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    kept = [layer.get_base_layer().weight.data for layer in layers]
    training = model.training
    model.eval()
    model.base_model.merge_adapter(adapter_names=adapter and [adapter], safe_merge=True)  # safe: into copies
    try:
        yield model.get_base_model()
    finally:
        model.base_model.unmerge_adapter()
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight
        model.train(training)


@contextmanager
def _alone(model: Any, adapter: str | None) -> Iterator[None]:  # noqa: ANN401 - a PEFT model
    """Let one adapter alone be computed, in evaluation mode; afterwards those that were, with what was trainable."""
    training, active = model.training, model.active_adapter
    trainable = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    model.base_model.set_adapter(adapter or active, inference_mode=True)
    try:
        yield
    finally:
        model.base_model.set_adapter(active)
        for parameter, needed in trainable.items():
            parameter.requires_grad_(needed)
        model.train(training)


@contextmanager
def without_adapters(model: Any) -> Iterator[Any]:  # noqa: ANN401 - a PEFT model
    """Give the transformers model below as if it had no adapters, in evaluation mode."""
    training = model.training
    model.eval()
    try:
        with model.disable_adapter():
            yield model.get_base_model()
    finally:
        model.train(training)


@contextmanager
def in_float32(model: Any) -> Iterator[None]:  # noqa: ANN401 - a PEFT or transformers model
    """Let a model compute in float32 for a while; afterwards its weights are the very tensors that they were."""
    kept = {p: p.data for p in model.parameters() if p.is_floating_point() and p.dtype != torch.float32}
    for parameter in kept:
        parameter.data = parameter.data.float()
    try:
        with computing_in_float32(model):
            yield
    finally:
        for parameter, data in kept.items():
            parameter.data = data
