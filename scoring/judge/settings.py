"""Which models judge, and what they may cost: the sections of a judging configuration that are about one judge."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.endpoint import EndpointSettings


class Prices(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class SpendLimit(BaseModel):
    """Where asking stops. It counts all answers that the run directory keeps of the judges, unreadable ones too.

    Requests that are under way when the limit is reached still come in, so the sum may exceed it by them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    usd: float | None = Field(default=None, gt=0)
    """By the judges' prices."""
    tokens: int | None = Field(default=None, ge=1)
    """Prompts and answers together, judges on this machine included."""


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
