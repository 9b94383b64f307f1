"""Which engine answers prompts, and its settings: transformers, vLLM's own, or an OpenAI-compatible server."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.endpoint import fault_of_url
from scoring.models.vllm_version import vllm_version

BackendName = Literal["transformers", "vllm", "server"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class VllmSettings(BaseModel):
    """How vLLM's engine uses the machine. Nothing here changes what is drawn but for rounding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Memory: share of the GPU's that vLLM takes for weights and cache. On a CPU vLLM takes it of main memory. Null is
    0.9 on a GPU, which is vLLM's own default, and 0.25 on a CPU."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that one model is spread over."""


class ServerSettings(BaseModel):
    """Where and how to ask a server for completions."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    """Up to `/v1`."""
    model: str | dict[str, str]
    """The model as the server names it; or method -> name, where each method has a model of its own there."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key. If it is not set, no key is sent: local servers need none."""
    insecure: bool = False
    """Whether another machine may be asked without TLS (http://): key and texts then travel in the clear."""
    concurrency: int = Field(default=16, ge=1)
    """Requests under way at a time."""
    attempts: int = Field(default=6, ge=1)
    """Most requests for one prompt."""
    timeout_seconds: float = Field(default=300.0, gt=0)
    """Longest silence of the server within one request."""
    prompts: Literal["tokens", "text"] = "tokens"
    """What is sent: token ids, so that the server's tokenizer has no say, or text, for servers that take no ids."""
    dialect: Literal["vllm", "openai"] = "vllm"
    """Keys that the server knows: vLLM's, or OpenAI's alone, among which there is no repetition penalty."""

    @model_validator(mode="after")  # on the whole, since the error of a single field quotes its value
    def _holds_no_secret(self) -> "ServerSettings":
        if not _VARIABLE.fullmatch(self.api_key_env):
            named = "api_key_env is not the name of an environment variable in capitals"
            raise ValueError(f"{named}; the key itself stays in the environment")
        if fault := fault_of_url(self.url, insecure=self.insecure):
            raise ValueError(f"url {fault}")
        return self

    def model_of(self, method: str) -> str | None:
        """Return the server's name of a method's model; None where the mapping has none."""
        return self.model if isinstance(self.model, str) else self.model.get(method)


class BackendSettings(BaseModel):
    """The engine that answers; the settings of the others wait until they are chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: BackendName = "transformers"
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings | None = None

    @model_validator(mode="after")
    def _server_is_named(self) -> "BackendSettings":
        if self.backend == "server" and self.server is None:
            raise ValueError("backend server needs its url and model: generation.server")
        return self

    def identity(self, method: str) -> dict[str, Any] | None:
        """Return what answers depend on beside prompts and sampling; None for transformers.

        Of a server it is the name of the model, not its address: who serves other weights has to name them otherwise.
        """
        if self.backend == "vllm":
            return {"backend": "vllm", "version": vllm_version(), "tensor_parallel": self.vllm.tensor_parallel}
        if self.backend == "server" and self.server is not None:
            sent = self.server
            return {"backend": "server", "model": sent.model_of(method), "sent": [sent.prompts, sent.dialect]}
        return None
