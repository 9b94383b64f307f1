"""LoRA in the number format of the model it sits on, with its weights kept in float32.

PEFT keeps adapters of bfloat16 models in float32, which small learning rates need, and computes them in float32 too:
every input of every layer is copied into float32 and multiplied there. On a CPU that costs a quarter of a training
step. Here the small matrices are rounded for the products instead; gradients reach the float32 weights through the
rounding. Measured against float32 throughout, gradients are no farther off than PEFT's (`make bench`).
"""

from typing import Any

import torch

from scoring.models.quantization import is_quantized


class RoundedLinear(torch.nn.Linear):
    """A linear layer whose float32 weights are rounded to its input's number format for the product."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product in the input's format; an adapter has no bias."""
        return torch.nn.functional.linear(inputs, self.weight.to(inputs.dtype))


def compute_in_model_format(model: Any) -> None:  # noqa: ANN401 - a PEFT model
    """Let the LoRA layers of a model compute in the format of their inputs."""
    from peft.tuners.lora import LoraLayer

    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        matrices = [*layer.lora_A.values(), *layer.lora_B.values()]
        if any(type(matrix) is not torch.nn.Linear or matrix.bias is not None for matrix in matrices):
            continue  # embeddings, convolutions and adapters with a bias stay as PEFT has them
        layer.cast_input_dtype_enabled = False
        for matrix in matrices:
            matrix.__class__ = RoundedLinear


def keep_in_float32(model: Any) -> None:  # noqa: ANN401 - a PEFT model
    """Give trainable weights the format that PEFT gave them, float32.

    TRL rounds adapters of quantised models to bfloat16, in which steps of a small learning rate are lost.
    """
    if is_quantized(model):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
