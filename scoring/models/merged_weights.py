"""A model with its adapters as a model of its own: merged in order and written as safetensors, for other engines."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmark.run_store import disk_errors
from scoring.models.causal_lm import load_chat, load_weights, merge_adapter
from scoring.models.chat import CHATML
from scoring.models.resolver import ModelLocation


def write_merged(location: ModelLocation, adapters: Sequence[Path], dtype: str, folder: Path) -> Path:
    """Write weights and tokenizer into `folder`, which appears only when it is whole; return it.

    The tokenizer gets the chat template that prompts here are written with, where it has none of its own.

    Raises:
        RunFailure: weights or adapters cannot be read, or the disk is full.
    """
    making = folder.with_name(f".{folder.name}.making")
    model = load_weights(location, dtype)
    for adapter in adapters:
        model = merge_adapter(model, adapter)
    tokenizer = load_chat(location).tokenizer
    tokenizer.chat_template = tokenizer.chat_template or CHATML
    with disk_errors(folder):
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(making, safe_serialization=True)
        tokenizer.save_pretrained(making)
        making.rename(folder)
    return folder
