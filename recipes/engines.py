"""Whether the engines that recipes name can be used here: found before anything runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.errors import Mistake
from recipes.schema import MethodRecipe
from scoring.models.precision import default_device
from scoring.models.vllm_version import INSTALL, why_no_vllm


def check_engines(recipes: Sequence[tuple[Path, MethodRecipe]]) -> list[Mistake]:
    """Return what keeps the engines for answers and for rollouts from being used."""
    return [mistake for path, recipe in recipes for mistake in (*_answers(path, recipe), *_rollouts(path, recipe))]


def _answers(path: Path, recipe: MethodRecipe) -> Iterator[Mistake]:
    settings = recipe.generation
    if settings.backend == "vllm":
        if (reason := why_no_vllm()) is not None:
            yield Mistake(f"{path}: generation.backend", reason, f"{INSTALL}, or set backend: transformers")
        if recipe.compute.quantization != "none":
            problem = "vllm answers with whole weights, and the recipe quantises them for training and scoring"
            yield Mistake(f"{path}: generation.backend", problem, "set compute.quantization: none, or another backend")
    server = settings.server if settings.backend == "server" else None
    if server is not None and server.model_of(recipe.method) is None:
        remedy = "add it; `rpm-methods export` writes a method's model for a server"
        yield Mistake(f"{path}: generation.server.model", f"names no model for {recipe.method}", remedy)


def _rollouts(path: Path, recipe: MethodRecipe) -> Iterator[Mistake]:
    """Check TRL's own use of vLLM, which needs vLLM in the training process and a device to send weights over."""
    training = recipe.config.get("training")
    if not isinstance(training, dict) or not training.get("use_vllm"):
        return
    where = f"{path}: config.training.use_vllm"
    if (reason := why_no_vllm()) is not None:
        yield Mistake(where, reason, f"{INSTALL}, or leave use_vllm out")
    device = default_device() if recipe.compute.device == "auto" else recipe.compute.device
    if device != "cuda":
        yield Mistake(
            where, f"TRL hands weights to vLLM on CUDA devices only, and this run is on {device}", "leave it out"
        )
