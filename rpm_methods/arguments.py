"""Arguments that recipes pass through to TRL and PEFT under their own names, checked before anything runs."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field, field_validator

from benchmark.errors import nearest
from rpm_methods.method import MethodConfig

SET_BY_PROJECT = ("output_dir", "seed", "data_seed", "use_cpu", "bf16", "fp16", "max_length", "dataset_kwargs")
"""Arguments of TRL's configs that a recipe may not give: they follow from the rest of the recipe."""

WITHOUT_EFFECT = ("report_to", "run_name", "save_steps", "save_strategy", "save_total_limit", "disable_tqdm")
"""Arguments that change no policy, so that a change of them trains nothing anew."""


class AdapterSettings(MethodConfig):
    """Settings of every method that trains a LoRA adapter."""

    trl_config: ClassVar[str] = "SFTConfig"
    """Name of the class of TRL's that `training` is for."""
    training_defaults: ClassVar[dict[str, Any]] = {}
    """The method's own defaults for `training`."""
    lora_defaults: ClassVar[dict[str, Any]] = {}
    """The method's own defaults for `lora`."""
    rows_share_prompts: ClassVar[bool] = False
    """Whether several rows of a batch begin with the same prompt, and TRL asks for log-probabilities of labels."""
    reserved: ClassVar[tuple[str, ...]] = ()
    """Arguments that follow from elsewhere with this method."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Arguments of TRL's config under their own names."""
    lora: dict[str, Any] = Field(default_factory=dict)
    """Arguments of peft.LoraConfig under their own names."""

    def identity(self) -> dict[str, Any]:
        """Return the settings without arguments that say what is kept, logged and shown."""
        kept = super().identity()
        return {
            **kept,
            "training": {name: value for name, value in self.training.items() if name not in WITHOUT_EFFECT},
        }

    @field_validator("training")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        import trl

        config = getattr(trl, cls.trl_config)
        check_trackers(value.get("report_to"))
        reserved = (*SET_BY_PROJECT, *cls.reserved)
        return check_arguments(value, config, reserved, output_dir="unused", use_cpu=True, bf16=False)

    @field_validator("lora")
    @classmethod
    def _known_to_peft(cls, value: dict[str, Any]) -> dict[str, Any]:
        from peft import LoraConfig

        return check_arguments(value, LoraConfig, ("task_type",))


def check_arguments(
    arguments: dict[str, Any],
    config: Any,  # noqa: ANN401 - a dataclass of TRL's or PEFT's
    reserved: Iterable[str],
    **needed: object,
) -> dict[str, Any]:
    """Return the arguments if the config takes them all; ValueError names each that it does not."""
    known = [field.name for field in dataclasses.fields(config) if field.init]
    problems = [f"unknown argument '{key}', {nearest(key, known)}" for key in arguments if key not in known]
    problems += [f"'{key}' is set by the recipe's other keys" for key in arguments if key in reserved]
    if problems:
        raise ValueError("; ".join(problems))
    try:
        config(**arguments, **needed)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"refused by {config.__name__}: {error}") from error
    return arguments


def check_trackers(names: str | list[str] | None) -> None:
    """Raise ValueError for trackers in `report_to` whose packages are not installed: TRL would find out in training."""
    from transformers.integrations import get_available_reporting_integrations

    given = [names] if isinstance(names, str) else names or []
    absent = sorted(set(given) - {"none", "all", *get_available_reporting_integrations()})
    if absent:
        raise ValueError(
            f"report_to names {', '.join(absent)}, which is not installed (or no tracker of transformers')"
        )
