"""A causal language model in memory: weights with their adapters, tokenizer, device and limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import RunFailure
from scoring.models.attention import use_grouped_attention
from scoring.models.chat import ChatTokenizer
from scoring.models.precision import QUANTIZED, computing_dtype
from scoring.models.quantization import quantized
from scoring.models.resolver import ModelLocation


@dataclass(frozen=True)
class CausalLM:
    """A loaded model, ready to generate and to score."""

    model: Any
    """A transformers causal LM in evaluation mode, or PEFT's wrapping of one."""
    chat: ChatTokenizer
    context_length: int
    """Most tokens, prompt and answer together."""
    device: torch.device


def load_chat(location: ModelLocation) -> ChatTokenizer:
    """Load a model's tokenizer alone.

    Raises:
        RunFailure: the tokenizer files cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return ChatTokenizer(AutoTokenizer.from_pretrained(location.folder))
    except Exception as error:  # transformers raises many kinds for damaged files
        raise RunFailure(f"the tokenizer of {location.name} in {location.folder} cannot be read: {error}") from error


def load_causal_lm(location: ModelLocation, *, dtype: str, device: str, adapters: Sequence[Path] = ()) -> CausalLM:
    """Load a model and merge its LoRA adapters into it, in order.

    Where the weights are quantised the last adapter is not merged: it was trained on quantised weights, and beside
    them it does what it did in training, while quantising anew would round off a part of it.

    Args:
        location: where `locate_model` found it.
        dtype: format of the weights, "bfloat16" or "float32"; "8bit" or "4bit" compute in bfloat16.
        device: "cpu" or "cuda".
        adapters: folders of PEFT adapters; each is merged before the next is put on.

    Raises:
        RunFailure: the checkpoint or an adapter cannot be read.
    """
    chat = load_chat(location)
    model = load_weights(location, dtype)
    if dtype in QUANTIZED:
        model = _quantized_with(model, adapters, dtype, device)
    else:
        for adapter in adapters:
            model = merge_adapter(model, adapter)
        model.to(device)
    model.eval()
    use_grouped_attention(model)
    return CausalLM(model, chat, context_length(location), torch.device(device))


def load_weights(location: ModelLocation, dtype: str) -> Any:  # noqa: ANN401 - a transformers model
    """Load a model's weights without adapters, on the CPU; RunFailure when the checkpoint cannot be read.

    Weights that are to be quantised ("8bit", "4bit") are loaded in the format that they will compute in.
    """
    from transformers import AutoModelForCausalLM

    # transformers' fast attention leaves out a soft cap on attention scores without a word
    capped = getattr(_config(location).get_text_config(), "attn_logit_softcapping", None) is not None
    try:
        return AutoModelForCausalLM.from_pretrained(
            location.folder,
            dtype=computing_dtype(dtype),
            use_safetensors=True,
            attn_implementation="eager" if capped else None,
        )
    except Exception as error:  # transformers and safetensors raise many kinds for damaged files
        raise _unreadable(location, error) from error


def _config(location: ModelLocation) -> Any:  # noqa: ANN401 - a transformers configuration
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(location.folder)
    except Exception as error:  # as above
        raise _unreadable(location, error) from error


def _unreadable(location: ModelLocation, error: Exception) -> RunFailure:
    message = f"the checkpoint of {location.name} in {location.folder} cannot be read: {error}"
    return RunFailure(f"{message}; fetch or convert it again")


def context_length(location: ModelLocation) -> int:
    """Return the most tokens of prompt and answer together.

    Raises:
        RunFailure: the model's configuration does not say.
    """
    length = getattr(_config(location).get_text_config(), "max_position_embeddings", None)
    if length is None:
        raise RunFailure(
            f"{location.name} does not say how long its context is (max_position_embeddings); take another"
        )
    return int(length)


def merge_adapter(model: Any, adapter: Path) -> Any:  # noqa: ANN401 - a transformers model
    """Return the model with a LoRA adapter merged into its weights; RunFailure when the adapter cannot be read."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except Exception as error:  # as above
        raise RunFailure(f"the adapter {adapter} cannot be read: {error}") from error


def _quantized_with(model: Any, adapters: Sequence[Path], dtype: str, device: str) -> Any:  # noqa: ANN401
    """Return a model quantised on a device, all adapters but the last merged before, the last computed beside it."""
    for adapter in adapters[:-1]:
        model = merge_adapter(model, adapter)
    model = quantized(model, dtype, device)
    return _beside(model, adapters[-1]) if adapters else model


def _beside(model: Any, adapter: Path) -> Any:  # noqa: ANN401 - a transformers model
    """Return the model with a LoRA adapter that is computed beside its weights, in the model's number format."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    try:
        wrapped = PeftModel.from_pretrained(model, adapter)
    except Exception as error:  # as above
        raise RunFailure(f"the adapter {adapter} cannot be read: {error}") from error
    for layer in wrapped.modules():
        if isinstance(layer, BaseTunerLayer):
            for name in layer.adapter_layer_names:
                getattr(layer, name).to(model.dtype)
    return wrapped.get_base_model()
