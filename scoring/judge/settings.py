"""Which models judge: the sections of a judging configuration that are about one judge."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.endpoint import EndpointSettings
from benchmark.spending import Prices


class EndpointJudgeSettings(EndpointSettings):
    """A judge at an OpenAI-compatible endpoint."""

    name: str | None = Field(default=None, min_length=1, max_length=80)
    """What the judge is called in all files; the model's name if it is not given."""
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=1024, ge=1)
    """Room for reasons and verdict; a thinking model needs more. An answer cut by it has no verdict."""
    prices: Prices | None = None

    @property
    def label(self) -> str:
        """What the judge is called."""
        return self.name or self.model

    def identity(self) -> dict[str, Any]:
        """Return what the answers depend on; a longer limit, another address or more patience changes no good one."""
        sampled = {"model", "temperature", "extra_body"}
        return {"kind": "endpoint", "judge": self.label, **self.model_dump(include=sampled)}


class LocalJudgeSettings(BaseModel):
    """A judge on this machine. It decodes greedily."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    """Packaged name, folder, or hub id."""
    name: str | None = Field(default=None, min_length=1, max_length=80)
    """What the judge is called in all files; the model's name if it is not given."""
    max_tokens: int = Field(default=512, ge=1)
    """Room for reasons and verdict. An answer cut by it has no verdict."""
    batch_tokens: int = Field(default=16384, ge=1)
    """Memory: most tokens in a batch, padding and room for the answers included."""
    prices: Prices | None = None
    """What the machine costs, where that is to be counted."""

    @property
    def label(self) -> str:
        """What the judge is called."""
        return self.name or self.model
