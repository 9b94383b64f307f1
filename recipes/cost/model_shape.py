"""The size of a language model as its configuration gives it, and what follows: weights, operations, cache.

Counted are the matrices alone. Norms, biases and the look-up of embeddings are left out of the operations: together
they are under 1 % of a forward pass.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes
from recipes.yaml_origins import parse_yaml

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of a number by format."""
TWO_MATRICES = ("bert", "roberta", "xlm-roberta", "mpnet", "gpt2", "opt", "gpt_neox")
"""Model types whose feed-forward part has two matrices; all others are taken to have a gate, which makes three."""
NEEDED = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class ModelShape:
    """A dense transformer."""

    name: str
    layers: int
    hidden: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    """Width of the feed-forward part."""
    inner_matrices: int
    vocabulary: int
    tied: bool
    """Whether the output layer is the embedding."""
    dtype: str
    """Number format of the checkpoint."""

    @property
    def _matrices(self) -> list[tuple[int, int]]:
        """Return (inputs, outputs) of each matrix of a layer."""
        wide, narrow = self.heads * self.head_width, self.key_heads * self.head_width
        attention = [(self.hidden, wide), (self.hidden, narrow), (self.hidden, narrow), (wide, self.hidden)]
        gates = [(self.hidden, self.inner)] * (self.inner_matrices - 1)
        return [*attention, *gates, (self.inner, self.hidden)]

    @property
    def body(self) -> int:
        """Weights of all layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self._matrices)

    @property
    def head(self) -> int:
        """Weights of the output layer."""
        return self.hidden * self.vocabulary

    @property
    def parameters(self) -> int:
        """All weights: layers, embedding, and the output layer where it is not the embedding."""
        return self.body + self.head * (1 if self.tied else 2)

    def adapter(self, rank: int) -> int:
        """Return the weights of a LoRA adapter of this rank on all linear layers (Hu et al. 2022)."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self._matrices)

    @property
    def token_operations(self) -> int:
        """Operations of the matrices of all layers for one token, forward; a product and a sum count as two."""
        return 2 * self.body

    @property
    def head_operations(self) -> int:
        """Operations of the output layer for one position, forward."""
        return 2 * self.head

    @property
    def key_operations(self) -> int:
        """Operations of attention for one token and one key that it looks at, over all layers, forward."""
        return 4 * self.layers * self.heads * self.head_width

    @property
    def cache_numbers(self) -> int:
        """Numbers that the cache keeps of one token: its keys and values in all layers."""
        return 2 * self.layers * self.key_heads * self.head_width

    @property
    def inner_numbers(self) -> int:
        """Numbers that one layer makes of one token on the way, all of which a backward pass needs."""
        wide, narrow = self.heads * self.head_width, self.key_heads * self.head_width
        return 6 * self.hidden + 2 * wide + 2 * narrow + (self.inner_matrices + 1) * self.inner


def shape_of(name: str, config: Mapping[str, Any]) -> ModelShape:
    """Return the shape that a configuration of transformers describes.

    Raises:
        UserMistakes: numbers are missing, or the model is a mixture of experts, whose operations are not its weights'.
    """
    text = config.get("text_config") or config
    missing = [key for key in NEEDED if not isinstance(text.get(key), int)]
    if missing:
        raise UserMistakes([Mistake(name, f"its config.json does not give {', '.join(missing)}")])
    if any((text.get(key) or 0) > 1 for key in EXPERTS):
        raise UserMistakes(
            [Mistake(name, "is a mixture of experts, whose cost is not estimated", "take a dense model")]
        )
    heads = text["num_attention_heads"]
    return ModelShape(
        name=name,
        layers=text["num_hidden_layers"],
        hidden=text["hidden_size"],
        heads=heads,
        key_heads=text.get("num_key_value_heads") or heads,
        head_width=text.get("head_dim") or text["hidden_size"] // heads,
        inner=text["intermediate_size"],
        inner_matrices=2 if text.get("model_type") in TWO_MATRICES else 3,
        vocabulary=text["vocab_size"],
        tied=bool(text.get("tie_word_embeddings", True)),
        dtype=str(text.get("dtype") or text.get("torch_dtype") or "bfloat16"),
    )


def find_shape(name: str, where: str) -> ModelShape:
    """Return the shape of a model by the name that recipes give it; nothing is downloaded or loaded.

    Raises:
        UserMistakes: its configuration is not here; `where` names the key that named it.
    """
    if name in known_models():
        return shape_of(name, known_models()[name]["config"])
    file = local_file(name, "config.json")
    if file is None:
        remedy = "download its config.json into the hub's local cache, or give the folder of the model"
        raise UserMistakes([Mistake(where, f"the size of the model {name} is not known here", remedy)])
    return shape_of(name, json.loads(file.read_text(encoding="utf-8")))


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """Return name -> configuration and characters a token, of the models that are listed."""
    text = files("recipes.cost").joinpath("_models.yaml").read_text(encoding="utf-8")
    return dict(parse_yaml(text))


def local_file(name: str, file: str) -> Path | None:
    """Return a file of a model that is on this machine: a folder, a package, our cache or the hub's; None if not."""
    from scoring.models.cache import cache_folder

    for folder in (Path(name), *_packaged(name), cache_folder() / "models" / name):
        if (folder / file).is_file():
            return folder / file
    return _cached(name, file)


def _packaged(name: str) -> list[Path]:
    """Return the folder of a packaged model, if there is such a model and it is installed."""
    from scoring.models.packaged import PACKAGED, packaged_file

    try:
        return [packaged_file(name)] if name in PACKAGED else []
    except UserMistakes:
        return []


def _cached(name: str, file: str) -> Path | None:
    """Return a file of a model that the hub's client has downloaded."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, file)
    except HFValidationError:  # it is no hub id
        return None
    return Path(found) if isinstance(found, str) else None
