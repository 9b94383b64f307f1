"""vLLM's offline engine as a backend: batches as with transformers, each answered by the engine at once."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from scoring.models.backend_settings import VllmSettings
from scoring.models.chat import ChatTokenizer
from scoring.models.decoding import Drawn
from scoring.models.generation import Batch, Request, Sampling, answer_in_batches, generation_of
from scoring.models.vllm_process import VllmProcess

GPU_SHARE = 0.9
CPU_SHARE = 0.25
"""Of main memory, which other programs need too."""


def engine_arguments(
    folder: Path, *, dtype: str, device: str, seed: int, context_length: int, settings: VllmSettings
) -> dict[str, Any]:
    """Return the arguments of `vllm.LLM` for the model in a folder."""
    share = settings.gpu_memory_utilization or (CPU_SHARE if device == "cpu" else GPU_SHARE)
    return {
        "model": str(folder),
        "load_format": "safetensors",
        "dtype": dtype,
        "seed": seed,
        "max_model_len": context_length,
        "gpu_memory_utilization": share,
        "tensor_parallel_size": settings.tensor_parallel,
        "enable_prefix_caching": True,
        "enforce_eager": device == "cpu",
        "generation_config": "vllm",  # not the model's own, which would change how answers are drawn
    }


def sampling_arguments(request: Request, sampling: Sampling, end_ids: Sequence[int]) -> dict[str, Any]:
    """Return how one answer is drawn, under the names that SamplingParams and vLLM's server share.

    It ends with the very tokens and the stop string that end it with transformers. Its seed is its own, so that what
    is drawn with a temperature does not depend on the prompts beside it.
    """
    return {
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": derive_seed(sampling.seed, str(request.index)),
        "stop": [request.stop] if request.stop else [],
        "stop_token_ids": list(end_ids),
        "ignore_eos": True,  # the model's configuration may name others
    }


def read_drawn(chat: ChatTokenizer, ids: Sequence[int], stop: str) -> Drawn:
    """Return what an engine drew: the tokens with the one that ended the turn, or up to the end of the stop string."""
    end_id = ids[-1] if ids and ids[-1] in chat.end_ids else None
    kept = list(ids) if end_id is None else list(ids[:-1])
    return Drawn(kept, end_id, closed=bool(stop) and stop in chat.decode(kept))


@dataclass(frozen=True)
class VllmBackend:
    """A model in vLLM's engine."""

    process: VllmProcess
    chat: ChatTokenizer
    context_length: int

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
    ) -> Iterator[Batch]:
        """Yield finished batches as `answer_in_batches` does.

        Raises:
            RunFailure: the engine failed or ran out of memory.
        """

        def answer(requests: Sequence[Request]) -> Iterator[Batch]:
            asked = [
                {"ids": list(request.ids), "sampling": sampling_arguments(request, sampling, self.chat.end_ids)}
                for request in requests
            ]
            yield [
                (request.index, generation_of(self.chat, request, read_drawn(self.chat, ids, request.stop)))
                for request, ids in zip(requests, self.process.answer(asked), strict=True)
            ]

        return answer_in_batches(self.chat, self.context_length, prompts, sampling, answer, finished=finished)
