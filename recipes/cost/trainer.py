"""What of a trainer's arguments decides about cost, with TRL's and this project's defaults where a recipe is silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import Mistake, UserMistakes

if TYPE_CHECKING:
    from rpm_methods.arguments import AdapterSettings

DEFAULTS = {
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_generations": 8,
}
"""TRL 1.16's own."""
RANK = 16


@dataclass(frozen=True)
class Trainer:
    """The arguments of one training."""

    epochs: float
    max_steps: int | None
    """Steps in all; None where epochs decide."""
    rows: int
    """Of a batch on one device."""
    accumulated: int
    """Batches a step."""
    generations: int
    """Rollouts of a prompt."""
    checkpointing: bool
    rank: int
    devices: int

    @property
    def rows_a_step(self) -> int:
        """Rows of a step on all devices."""
        return self.rows * self.accumulated * self.devices

    def rows_seen(self, n: int) -> float:
        """Return the rows that supervised training sees of n."""
        return n * self.epochs if self.max_steps is None else float(self.max_steps * self.rows_a_step)

    @property
    def prompts_a_step(self) -> int:
        """Prompts that are answered in a step of reinforcement learning, on all devices."""
        return max(1, self.rows_a_step // self.generations)

    def steps(self, n: int) -> int:
        """Return the steps of reinforcement learning on n prompts; those too few for a step are left out.

        Raises:
            UserMistakes: all of them are: training would refuse them too.
        """
        if n < self.prompts_a_step:
            on = f" on {self.devices} devices" if self.devices > 1 else ""
            problem = f"a step answers {self.prompts_a_step} prompts{on}, and there are {n} training samples"
            remedy = "lower gradient_accumulation_steps, or take fewer devices or more samples"
            raise UserMistakes([Mistake("config.training", problem, remedy)])
        return int(self.epochs * (n // self.prompts_a_step)) if self.max_steps is None else self.max_steps


def read_trainer(
    settings: "AdapterSettings", *, device: str, devices: int, lora: Mapping[str, Any] | None = None
) -> Trainer:
    """Return what a recipe's settings say; `lora` where the adapter's arguments stand elsewhere."""
    given: dict[str, Any] = {**DEFAULTS, **settings.training_defaults, **settings.training}
    adapter = settings.lora if lora is None else lora
    return Trainer(
        epochs=float(given["num_train_epochs"]),
        max_steps=given["max_steps"] if given["max_steps"] > 0 else None,
        rows=given["per_device_train_batch_size"],
        accumulated=given["gradient_accumulation_steps"],
        generations=given["num_generations"],
        checkpointing=bool(given.get("gradient_checkpointing", device != "cpu")),
        rank=adapter.get("r", RANK),
        devices=devices,
    )
