"""The engines that answer prompts, behind one interface, so that what asks does not know which one it has."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import Prompt
from scoring.models.backend_settings import BackendSettings, ServerSettings
from scoring.models.backends_server import open_server
from scoring.models.backends_vllm import VllmBackend, engine_arguments
from scoring.models.causal_lm import CausalLM, context_length, load_causal_lm, load_chat
from scoring.models.generation import Batch, Sampling, generate_batches
from scoring.models.merged_weights import write_merged
from scoring.models.out_of_memory import out_of_memory_names
from scoring.models.resolver import ModelLocation
from scoring.models.vllm_process import VllmProcess

MERGED = "merged"
"""Folder of the weights that vLLM loads; it is removed when the answers are there."""
LOG = "vllm.log"


class Backend(Protocol):
    """A model that answers prompts."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
    ) -> Iterator[Batch]:
        """Yield finished batches of (index of the prompt, its generation).

        Batches, "prompt_too_long" and what `finished` does are as `answer_in_batches` says; which tokens end an
        answer, and how its text is cut, is the same with every backend.
        """


@dataclass(frozen=True)
class TransformersBackend:
    """A model in this process."""

    lm: CausalLM

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
    ) -> Iterator[Batch]:
        """Yield finished batches; RunFailure when they take more memory than there is."""
        with out_of_memory_names("generation.batch_tokens"):
            yield from generate_batches(self.lm, prompts, sampling, finished=finished)


@dataclass(frozen=True)
class ServedModel:
    """What a backend is to serve."""

    location: ModelLocation
    adapters: Sequence[Path]
    """LoRA adapters in the order in which they are merged."""
    method: str
    """Key of the method whose policy it is."""
    dtype: str
    device: str


@contextmanager
def open_backend(settings: BackendSettings, model: ServedModel, sampling: Sampling, folder: Path) -> Iterator[Backend]:
    """Give the backend that the settings name, and free what it holds afterwards.

    Args:
        settings: which backend, and how it is to work.
        model: what it serves.
        sampling: how answers are drawn.
        folder: for what the backend has to leave on disk; what is needed to go on after an interruption stays.

    Raises:
        UserMistakes: a server has no name for the method's model.
        RunFailure: weights cannot be read, or the engine does not start.
    """
    if settings.backend == "vllm":
        with closing(_vllm_process(settings, model, sampling, folder)) as process:
            yield VllmBackend(process, load_chat(model.location), context_length(model.location))
    elif settings.server is not None and settings.backend == "server":
        name = served_name(settings.server, model.method)
        yield open_server(settings.server, name, load_chat(model.location), context_length(model.location), sampling)
    else:
        adapters = model.adapters
        yield TransformersBackend(
            load_causal_lm(model.location, dtype=model.dtype, device=model.device, adapters=adapters)
        )


def served_name(settings: ServerSettings, method: str) -> str:
    """Return the server's name of a method's model; UserMistakes where the settings have none."""
    name = settings.model_of(method)
    if name is None:
        remedy = "add it; `rpm-methods export` writes a method's model for a server"
        raise UserMistakes([Mistake("generation.server.model", f"names no model for {method}", remedy)])
    return name


def _vllm_process(settings: BackendSettings, model: ServedModel, sampling: Sampling, folder: Path) -> VllmProcess:
    """Start vLLM with the model's weights, merged into a copy on disk where there are adapters."""
    weights = model.location.folder
    if model.adapters:
        weights = folder / MERGED
        if not weights.is_dir():  # else of an interrupted run
            write_merged(model.location, model.adapters, model.dtype, weights)
    arguments = engine_arguments(
        weights,
        dtype=model.dtype,
        device=model.device,
        seed=sampling.seed,
        context_length=context_length(model.location),
        settings=settings.vllm,
    )
    return VllmProcess(arguments, folder / LOG, threads=torch.get_num_threads())
