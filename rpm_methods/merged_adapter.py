"""An adapter in training merged for a while, so that rollouts run at the speed of the bare model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def merged(model: Any) -> Iterator[Any]:  # noqa: ANN401 - a PEFT model
    """Give the transformers model below with the adapter added to its weights, in evaluation mode.

    Afterwards the weights are the very tensors that they were: taking the adapter's part away again by subtraction
    would leave rounding in them, more at each step.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    kept = [layer.get_base_layer().weight.data for layer in layers]
    training = model.training
    model.eval()
    model.base_model.merge_adapter(safe_merge=True)  # safe: into copies
    try:
        yield model.get_base_model()
    finally:
        model.base_model.unmerge_adapter()
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight
        model.train(training)
