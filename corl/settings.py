"""Settings of co-evolution, which the estimator and the reasoning role-playing model share (paper, section 3.3, D)."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator

from rpm_methods.arguments import AdapterSettings, check_arguments
from rpm_methods.method import MethodConfig
from rpm_methods.reasoning_source import ReasoningSource
from rpm_methods.rollout_training import RolloutSettings
from scoring.reasoning_text import TEMPLATES


class ImitationSettings(AdapterSettings):
    """A phase of supervised fine-tuning; defaults of the authors' released cold start."""

    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 2e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,  # a share of all steps
        "max_grad_norm": 0.3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
    }


class ReasoningReward(MethodConfig):
    """What a reasoning is rewarded for; the parts are added up."""

    likelihood: Literal["sum", "mean_probability"] = "sum"
    """log p(y | x, r) of the golden response as the sum over its tokens, as in the paper, or exp of its mean over
    them, as in the released code."""
    form: bool = False
    """Whether to add up to 1 for the marked block and all headings, as the released code does."""
    length: bool = False
    """Whether to add the length of the features / 600 words, at most 1, as the released code does."""


class HeldOutSettings(MethodConfig):
    """Perplexity of golden responses that a fold does not train on, measured while it trains."""

    samples: int = Field(default=0, ge=0)
    """How many of them; 0 measures nothing."""
    every: int = Field(default=5, ge=1)
    """Steps of reinforcement learning between measurements; the first step has one."""


class CoEvolutionSettings(MethodConfig):
    """Settings of every training by co-evolution."""

    iterations: int = Field(default=2, ge=0)
    """The paper's is 2; 0 is the cold start alone (its "w/o CoRL")."""
    max_reasoning_tokens: int = Field(default=2048, ge=1)
    max_response_tokens: int = Field(default=256, ge=1)
    """Of responses drawn in training."""
    reasoning_batch_tokens: int = Field(default=65536, ge=1)
    """Memory: most tokens in a batch of reasonings, prompts included."""
    reward: ReasoningReward = ReasoningReward()
    reward_precision: Literal["float32", "model"] = "float32"
    """Number format in which rewards are computed; "model" is that of the run."""
    lora: dict[str, Any] = Field(default_factory=dict)
    """Arguments of peft.LoraConfig under their own names."""
    reasoning_rl: RolloutSettings = RolloutSettings()
    """GRPO on the reasoning."""
    imitation: ImitationSettings = ImitationSettings()
    """SFT on the golden responses behind the reasoning that the model itself wrote."""
    response_rl: RolloutSettings = RolloutSettings()
    """GRPO on the responses."""

    @field_validator("lora")
    @classmethod
    def _known_to_peft(cls, value: dict[str, Any]) -> dict[str, Any]:
        from peft import LoraConfig

        return check_arguments(value, LoraConfig, ("task_type",))

    @field_validator("reasoning_rl", "imitation", "response_rl")
    @classmethod
    def _one_adapter(cls, value: AdapterSettings) -> AdapterSettings:
        return _without_lora(value)

    def identity(self) -> dict[str, Any]:
        """Return the settings without those of memory and of what is kept and shown."""
        phases = {name: value.identity() for name, value in self if isinstance(value, AdapterSettings)}
        kept = super().identity() | phases
        return {name: value for name, value in kept.items() if name != "reasoning_batch_tokens"}


class EstimatorSettings(CoEvolutionSettings, ReasoningSource):
    """Settings of the estimator's training."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a key given by mistake

    template: Literal[TEMPLATES] = "reasoning"  # type: ignore[valid-type]
    """Whether the generator writes the whole reasoning (`reasoning`) or its features alone (`reasoning_features`)."""
    samples: int | None = Field(default=1000, ge=1)
    """Most samples that a fold co-evolves on, a seeded draw; null takes all. The released code draws 1,000."""
    cold_start_samples: int | None = Field(default=1000, ge=1)
    """Most training samples with a teacher's reasoning; null takes all."""
    repetition_penalty: float = Field(default=1.05, gt=0)
    """Of the reasoning written for samples; rollouts have none."""
    copying_limit: float = Field(default=0.5, gt=0, le=1)
    """A teacher's features that repeat more than this share of the golden response's word sequences are left out."""
    cold_start: ImitationSettings = ImitationSettings()
    """SFT of both models on the teacher's reasoning."""
    held_out: HeldOutSettings = HeldOutSettings()

    @field_validator("cold_start")
    @classmethod
    def _same_adapter(cls, value: AdapterSettings) -> AdapterSettings:
        return _without_lora(value)


def _without_lora(value: AdapterSettings) -> AdapterSettings:
    if value.lora:
        raise ValueError("one adapter is trained all along; give its arguments in `lora` of the whole")
    return value
