"""Models whose weights are held in 8 or 4 bits on a GPU, by bitsandbytes (QLoRA; Dettmers et al. 2022 and 2023).

Adapters are never merged into quantised weights: what is to be merged is merged before, on the CPU, and the whole is
quantised on its way to the device. 4 bits are NormalFloat with quantised constants, computing in bfloat16.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from scoring.models.precision import QUANTIZED, computing_dtype

QUANTIZER = "bitsandbytes"
OLDEST = (0, 49)
"""Version from which this package is used; older ones cannot move models between devices."""


def why_not_quantized(device: str) -> tuple[str, str] | None:
    """Return what keeps a device from holding quantised weights, and what to do about it; None for nothing."""
    if device != "cuda":
        there = "compute.device is cpu" if torch.cuda.is_available() else "there is no CUDA device here"
        remedy = "set compute.quantization: none, or run where there is one"
        return f"quantised weights need a CUDA device, and {there}", remedy
    try:
        found = version(QUANTIZER)
    except PackageNotFoundError:
        return f"quantised weights need {QUANTIZER}, which is not installed", 'pip install "rpm-methods[quantization]"'
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        return f"{QUANTIZER} {found} is too old for quantised weights", 'pip install "rpm-methods[quantization]"'
    return None


def quantized(model: Any, weights: str, device: str) -> Any:  # noqa: ANN401 - a transformers model
    """Return a copy of a model on a device with its linear layers, but for the output layer, quantised.

    Args:
        model: on the CPU, without adapters; let it go afterwards.
        weights: "8bit" or "4bit".
        device: "cuda", where these formats are meant to be; on a CPU bitsandbytes computes the same slowly.
    """
    _silence_casts()
    copy = type(model).from_pretrained(
        None,
        config=model.config,
        state_dict=model.state_dict(),
        dtype=computing_dtype(weights),
        quantization_config=_settings(weights),
        attn_implementation=model.config._attn_implementation,
        device_map=device,  # of "cuda" transformers makes the one of this process, as accelerate wants it
    )
    copy.name_or_path = model.name_or_path  # adapters name it as that of their base
    return copy.eval()


def is_quantized(model: Any) -> bool:  # noqa: ANN401 - a transformers or PEFT model
    """Tell whether a model's weights are quantised."""
    return any(getattr(model, f"is_loaded_in_{weights}", False) for weights in QUANTIZED)


@contextmanager
def computing_in_float32(model: Any) -> Iterator[None]:  # noqa: ANN401 - a transformers or PEFT model
    """Let 4-bit layers, if a model has any, compute in float32 for a while.

    Raises:
        ValueError: the weights are in 8 bits, whose products are of whole numbers.
    """
    if getattr(model, "is_loaded_in_8bit", False):
        raise ValueError("8-bit layers cannot compute in float32")
    layers = [module for module in model.modules() if hasattr(module, "compute_dtype")]  # bitsandbytes' alone have it
    before = [layer.compute_dtype for layer in layers]
    for layer in layers:
        layer.compute_dtype = torch.float32
    try:
        yield
    finally:
        for layer, dtype in zip(layers, before, strict=True):
            layer.compute_dtype = dtype


def _settings(weights: str) -> Any:  # noqa: ANN401 - transformers' own
    from transformers import BitsAndBytesConfig

    if weights == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computing_dtype(weights),
    )


def _silence_casts() -> None:
    """Leave out bitsandbytes' warning that 8-bit layers cast bfloat16 inputs to float16: it comes with each product."""
    logging.getLogger(f"{QUANTIZER}.autograd._functions").setLevel(logging.ERROR)
