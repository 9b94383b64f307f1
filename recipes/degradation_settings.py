"""What a study of known degradations can be told by `--set`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from benchmark.degradation import KINDS, SHARES, Kind
from benchmark.subsets import SUBSET_KEYS
from recipes.schema import ComputeSettings, ScoringSettings, Section

_WITHOUT_USE = ("arithmetic", "h_hat", "token_log_probs")
"""Settings of `scoring` that such a study does nothing with."""


class DegradationSettings(Section):
    """Which damages to which responses, and how they are scored."""

    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    shares: tuple[float, ...] = SHARES
    """Shares of each subset's responses to damage, in whole per cents from 0 to 1; two or more."""
    subsets: tuple[Literal[SUBSET_KEYS], ...] = SUBSET_KEYS  # type: ignore[valid-type]
    test_samples: int | None = Field(default=None, ge=1)
    """Size of a seeded draw from each test subset; null takes all."""
    scoring: ScoringSettings = ScoringSettings()
    """Arithmetic is always exact."""
    compute: ComputeSettings = ComputeSettings()
    seed: int = 42

    @field_validator("kinds")
    @classmethod
    def _each_kind_once(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError("name each kind of damage once")
        return kinds

    @field_validator("shares")
    @classmethod
    def _shares_make_a_line(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= share <= 1 or abs(100 * share - round(100 * share)) > 1e-9 for share in shares):
            raise ValueError("use whole per cents from 0 to 1")
        if len(set(shares)) < max(2, len(shares)):
            raise ValueError("name two shares or more, each once")
        return tuple(sorted(shares))

    @model_validator(mode="after")
    def _scoring_settings_have_a_use(self) -> "DegradationSettings":
        idle = [f"scoring.{name}" for name in _WITHOUT_USE if name in self.scoring.model_fields_set]
        if idle:
            raise ValueError(f"{', '.join(idle)} has no use in a study of degradations; leave it out")
        return self
