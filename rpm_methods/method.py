"""What a training method is: a spec, a typed config, and `train`, which leaves a policy artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from benchmark.errors import Mistake
from benchmark.progress import Progress, SilentProgress
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from rpm_methods.artifact import PolicyArtifact
from scoring.models.generation import Sampling
from scoring.models.resolver import ModelLocation

Family = Literal["icl", "sft", "preference", "rl", "thinking"]


@dataclass(frozen=True)
class MethodSpec:
    """What defines a method beside its code; stored in the manifest, where reports read it."""

    name: str
    label: str
    """Row head in tables."""
    family: Family
    order: int
    """Place among the rows of Table 20."""
    starts_from: Literal["base", "sft", "thinking_sft"]
    produces_reasoning: bool
    trains: bool
    draws_answers: bool = False
    """Whether training draws answers with the generation settings of the run, so that a change of them trains anew."""


class MethodConfig(BaseModel):
    """Base of the methods' own settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def identity(self) -> dict[str, Any]:
        """Return what the policy depends on, as plain data: a change of it trains anew.

        All settings by default. A method whose settings name files gives their contents in place of their paths, and
        leaves out what changes no result.
        """
        return self.model_dump()

    def faults(self, samples: Sequence[Sample], renderer: PromptRenderer) -> list[Mistake]:
        """Return what is wrong with these settings for these training samples; asked before anything runs."""
        return []


ConfigT = TypeVar("ConfigT", bound=MethodConfig, contravariant=True)


@dataclass(frozen=True)
class TrainContext:
    """What a method is given to train with."""

    base: ModelLocation
    dtype: str
    """"bfloat16" or "float32"."""
    device: str
    samples: tuple[Sample, ...]
    """The training samples."""
    renderer: PromptRenderer
    sampling: Sampling
    """How the trained policy answers unless told otherwise; kept in its artifact."""
    seed: int
    folder: Path
    """Where the artifact and the checkpoints go; holds those of an interrupted run."""
    parent: PolicyArtifact | None = None
    """The policy that training starts from; None for the base model."""
    adapter: Path | None = None
    """An adapter to train further; None for a new one."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Name -> adapter that is in memory beside the one in training, frozen, for rewards. Needs an `adapter`."""
    teacher_folder: Path | None = None
    """Where a teacher's answers are kept for later trainings too, since they are paid for; None for `folder`."""
    progress: Progress = field(default_factory=SilentProgress)


class Method(Protocol[ConfigT]):
    """A way of making a role-playing policy from a base model and training samples."""

    spec: MethodSpec
    config_type: type[MethodConfig]

    def train(self, config: ConfigT, context: TrainContext) -> PolicyArtifact:
        """Make the policy and write its artifact into `context.folder`."""

    def models_needed(self, config: ConfigT) -> Mapping[str, str]:
        """Return models beside the base, config key -> name, so that their absence shows before anything runs."""
