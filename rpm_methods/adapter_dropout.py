"""Dropout before an adapter's first matrix, on a processor.

torch draws a random number for each element from one generator, and keeps for each of a layer's matrices the mask and
the input that it was laid upon: an eighth of a small model's training step. Here the numbers come in bulk, 16 bits for
an element, from a seed that torch's generator gives; masks are laid on by whole-number operations, and what is kept is
the seed and the input, which all matrices of a layer share. Elements are dropped as independently, with the probability
rounded to a whole number of 32,768ths, and those that are left are scaled to make up for it.
"""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear

from rpm_methods.adapter_precision import RoundedLinear

VALUES = 2**15
"""How many values an element's random number can have; a sixteenth bit is room for differences of two."""
WHOLE_NUMBERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of an element -> the format of whole numbers as wide."""


class DroppingLinear(RoundedLinear):
    """A linear layer that drops elements of its input in training and scales the rest, as torch's dropout would."""

    dropped: int
    """Of all `VALUES`, those by which an element is dropped."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product in the input's format."""
        if not self.training:
            return super().forward(inputs)
        seed = int(torch.randint(2**63 - 1, ()))
        product: torch.Tensor = _DroppedProduct.apply(inputs, self.weight, seed, self.dropped)  # type: ignore[no-untyped-call]
        return product


class _DroppedProduct(torch.autograd.Function):
    """The product of an input that has elements dropped with a matrix; the mask is made again for the gradient."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, seed: int, dropped: int) -> torch.Tensor:  # noqa: ANN401
        ctx.save_for_backward(inputs, weight)
        ctx.seed, ctx.dropped = seed, dropped
        kept = _laid_on(inputs, kept_elements(inputs.shape, seed, dropped))
        return linear(kept, _scaled(weight, dropped, inputs.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:  # noqa: ANN401
        inputs, weight = ctx.saved_tensors
        mask = kept_elements(inputs.shape, ctx.seed, ctx.dropped)
        of_weight = gradient.flatten(0, -2).mT @ _laid_on(inputs, mask).flatten(0, -2)
        of_inputs = _laid_on(gradient @ _scaled(weight, ctx.dropped, inputs.dtype), mask)
        return of_inputs, of_weight.to(weight.dtype) * _scale(ctx.dropped), None, None


def _scale(dropped: int) -> float:
    return VALUES / (VALUES - dropped)


def _scaled(weight: torch.Tensor, dropped: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix with the scale that makes up for what is dropped, rounded to the input's format."""
    return (weight * _scale(dropped)).to(dtype)


def kept_elements(shape: torch.Size, seed: int, dropped: int) -> torch.Tensor:
    """Return an int16 mask: no bit for an element to drop, all bits for the others.

    Each is dropped with the probability `dropped` / `VALUES`, whatever becomes of the others.
    """
    count = shape.numel()
    bits_N = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)[:count]
    drawn = torch.from_numpy(bits_N).view(shape) >> 1  # from -VALUES / 2 to VALUES / 2 - 1
    return drawn.sub_(VALUES // 2 - dropped).bitwise_right_shift_(15)  # the sign of the difference, in all bits


def _laid_on(elements: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the elements with 0 where the mask has no bits."""
    whole = WHOLE_NUMBERS[elements.element_size()]
    return (elements.view(whole) & mask.to(whole)).view(elements.dtype)


def drop_in_bulk(model: Any) -> None:  # noqa: ANN401 - a PEFT model whose adapters compute in its format
    """Let adapters that would drop elements by torch's dropout drop them in their first matrix."""
    from peft.tuners.lora import LoraLayer

    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        for name, matrix in layer.lora_A.items():
            dropout = layer.lora_dropout[name]
            if type(matrix) is not RoundedLinear or type(dropout) is not torch.nn.Dropout or name in layer.lora_variant:
                continue  # what is not computed in the model's format, and DoRA and its like, stay as PEFT has them
            dropped = round(dropout.p * VALUES)
            if 0 < dropped < VALUES:
                matrix.__class__ = DroppingLinear
                matrix.dropped = dropped  # type: ignore[assignment]  # of the class it has now
                layer.lora_dropout[name] = torch.nn.Identity()
