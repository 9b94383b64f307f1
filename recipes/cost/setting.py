"""Where a stage works: a machine, a model, and how long texts are for it."""

from dataclasses import dataclass

from recipes.cost.hardware import Hardware
from recipes.cost.lengths import Lengths
from recipes.cost.model_shape import ModelShape
from recipes.cost.work import Precision


@dataclass(frozen=True)
class Setting:
    """A machine and a model on it."""

    hardware: Hardware
    shape: ModelShape
    lengths: Lengths
    precision: Precision = "bfloat16"
    """In which the run computes."""
