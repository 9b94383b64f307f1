"""What an estimator is: its description as `estimator.json` has it, and the estimator that was read from its directory.

A fold is one reasoning generator with one policy model, each the base model with LoRA adapters. With several folds a
sample is scored by the one that was not trained on it (cross-fitting).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from benchmark.errors import RunFailure
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.run_store import content_key
from benchmark.sample import Sample
from scoring.models.resolver import ModelLocation, locate_model

FORMAT_VERSION = 1
PROMPTS_BY_REASONING = {False: "policy_without_reasoning", True: "policy_with_reasoning"}
Role = Literal["generator", "policy"]


@dataclass(frozen=True)
class ReasoningSettings:
    """How reasoning is generated: greedily, under one template of `scoring.reasoning_text.TEMPLATES`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    template: str
    max_new_tokens: int
    repetition_penalty: float
    batch_tokens: int
    """Memory: most tokens in a generation batch."""

    def identity(self) -> dict[str, object]:
        """Return the settings that what is written depends on."""
        return {name: value for name, value in asdict(self).items() if name != "batch_tokens"}


@dataclass(frozen=True)
class FoldDescription:
    """The two models of one fold; paths are relative to the estimator's directory."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    generator: tuple[str, ...]
    """Adapters in the order in which they are merged."""
    policy: tuple[str, ...]
    generator_hash: str
    """Equal exactly when two generators write the same: of base, adapters, template, and settings but for memory."""
    policy_hash: str
    """Equal exactly when two policy models score the same: of base, adapters and template."""


@dataclass(frozen=True)
class EstimatorDescription:
    """What `estimator.json` says; the fields with defaults are those of kind "corl"."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["base", "corl"]
    """"base" (a plain model, no training) or "corl" (trained)."""
    base_model: str
    base_fingerprint: str
    reasoning: bool
    format_version: int = FORMAT_VERSION
    reasoning_settings: ReasoningSettings | None = None
    folds: tuple[FoldDescription, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """The recipe of its training as resolved."""
    notes: tuple[str, ...] = ()
    """Remarks on its training that belong beside every number made with it."""
    quantization: str | None = None
    """Bits of the base's weights in its training, "8bit" or "4bit"; None where they were whole. What it scores with is
    decided anew each time."""
    project_version: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path -> SHA-256 of every file beside `estimator.json`."""

    @property
    def label(self) -> str:
        """The name used in every output: "base smollm2-135m, w/o Reasoning", "corl smollm2-135m, 2 folds"."""
        name = f"{self.kind} {self.base_model}" + ("" if self.reasoning else ", w/o Reasoning")
        return name if len(self.folds) < 2 else f"{name}, {len(self.folds)} folds"

    def plain(self) -> dict[str, object]:
        """Return it as plain data, without the fields that are empty."""
        return {key: value for key, value in asdict(self).items() if value not in (None, (), {})}


@dataclass(frozen=True)
class Estimator:
    """An estimator read from its directory."""

    folder: Path
    description: EstimatorDescription
    renderer: PromptRenderer
    assignments: Mapping[str, int] = field(default_factory=dict)
    """Sample ID -> number of the fold that scores it."""

    @property
    def label(self) -> str:
        """The name used in every output."""
        return self.description.label

    @property
    def content_hash(self) -> str:
        """Equal exactly when two estimators give the same likelihoods."""
        folds = [[fold.generator_hash, fold.policy_hash] for fold in self.description.folds]
        if folds:
            return content_key([folds, dict(self.assignments) if len(folds) > 1 else {}])
        return content_key([self.description.plain(), self.renderer.content_hash(self._template)])

    @property
    def reasoning_settings(self) -> ReasoningSettings:
        """How its reasoning is generated; ValueError for an estimator without reasoning."""
        settings = self.description.reasoning_settings
        if settings is None:
            raise ValueError(f"{self.folder}: an estimator of kind {self.description.kind} writes no reasoning")
        return settings

    @property
    def n_folds(self) -> int:
        """Number of folds; 1 where nothing is cross-fitted."""
        return max(1, len(self.description.folds))

    def fold_of(self, sample_id: str) -> int:
        """Return the fold that scores a sample; one that is unknown is in no fold's training data and gets fold 0."""
        return self.assignments.get(sample_id, 0)

    def folds_of(self, samples: Sequence[Sample]) -> list[int] | None:
        """Return the fold of each sample, to be given to all that chooses negatives; None where there is one fold."""
        return None if self.n_folds == 1 else [self.fold_of(sample.sample_id) for sample in samples]

    def adapters(self, fold: int, role: Role) -> list[Path]:
        """Return the adapters of a fold's model in the order in which they are merged; none for kind "base"."""
        if not self.description.folds:
            return []
        chosen = self.description.folds[fold]
        return [self.folder / name for name in (chosen.generator if role == "generator" else chosen.policy)]

    def prompt(self, sample: Sample, reasoning: str | None = None) -> Prompt:
        """Return the prompt under which the responses to a sample are scored.

        Args:
            sample: x.
            reasoning: what the policy model is shown of r; None for an estimator without reasoning, and only there.

        Raises:
            ValueError: there is no reasoning where one is needed, or one that nothing can be done with.
        """
        if (reasoning is not None) != self.description.reasoning:
            wanted = "needs the reasoning of" if reasoning is None else "takes no reasoning for"
            raise ValueError(f"{self.folder}: this estimator {wanted} sample {sample.sample_id}")
        slots = {} if reasoning is None else {"reasoning": reasoning}
        return self.renderer.render(self._template, sample, **slots)

    def reasoning_prompt(self, sample: Sample) -> Prompt:
        """Return the prompt of the reasoning generator; ValueError for an estimator without reasoning."""
        return self.renderer.render(self.reasoning_settings.template, sample)

    @property
    def _template(self) -> str:
        return PROMPTS_BY_REASONING[self.description.reasoning]

    def base_location(self) -> ModelLocation:
        """Return where the base model lies.

        Raises:
            RunFailure: the model found now is not the one the estimator was made with.
        """
        location = locate_model(self.description.base_model)
        if location.fingerprint != self.description.base_fingerprint:
            raise RunFailure(
                f"{self.folder}: the estimator was made with other weights of {location.name} than those in "
                f"{location.folder}; make it again, or restore the weights"
            )
        return location
