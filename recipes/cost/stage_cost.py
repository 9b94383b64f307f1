"""What one stage of a run is expected to cost."""

from dataclasses import dataclass

from recipes.cost.hardware import GIGA, Hardware
from recipes.cost.teacher import Asking
from recipes.cost.work import Work

HOUR = 3600.0


@dataclass(frozen=True)
class StageCost:
    """A stage, its pieces of work, and the machine that does them."""

    name: str
    works: tuple[Work, ...] | None
    """None where the stage is of a kind that is not known."""
    hardware: Hardware
    asking: Asking | None = None
    """What a teacher's endpoint is asked for."""

    @property
    def kind(self) -> str:
        """The part of the name before the first "/"."""
        return self.name.partition("/")[0]

    @property
    def tokens(self) -> float:
        """Tokens that pass through a model."""
        return sum(work.tokens for work in self.works or ())

    @property
    def operations(self) -> float:
        """Operations of models."""
        return sum(work.operations for work in self.works or ())

    @property
    def seconds(self) -> float | None:
        """Wall time; None where the stage is not known."""
        return None if self.works is None else sum(self.hardware.seconds(work) for work in self.works)

    @property
    def usd(self) -> float | None:
        """Price of the whole machine for that time; None where the stage is not known."""
        return None if self.seconds is None else self.seconds / HOUR * self.hardware.price

    @property
    def memory_gb(self) -> float | None:
        """Most memory that is held at a time, 10^9 bytes: on one device, or on the host by work of the processor.

        None for a stage without work.
        """
        return max((work.memory for work in self.works), default=0.0) / GIGA if self.works else None

    @property
    def room_gb(self) -> float | None:
        """The memory that is there for it; None where it is not known."""
        on_host = all(work.kind == "processor" for work in self.works or ()) and not self.hardware.processor
        return self.hardware.host_memory_gb if on_host else self.hardware.memory_gb

    @property
    def fits(self) -> bool | None:
        """Whether there is as much memory as it needs; None where one of the two is not known."""
        needed, room = self.memory_gb, self.room_gb
        return None if needed is None or room is None else needed <= room
