"""Who carries out the stages of a plan: this process, one after the other, or the workers of a Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.progress import Progress
from benchmark.run_store import RunStore
from recipes.environment import Compute
from recipes.execution import Execution
from recipes.stage import RunObserver, Stage, StageRecord, run_stages


class StageExecutor(Protocol):
    """Carries out stages. What comes out does not depend on which it is."""

    @property
    def progress(self) -> Progress:
        """What the work of the stages is to report to."""

    @property
    def facts(self) -> dict[str, object]:
        """What the manifest says of where the stages ran."""

    def run(
        self, stages: Sequence[Stage], store: RunStore, observer: RunObserver
    ) -> tuple[dict[str, Path], list[StageRecord]]:
        """Do what is not done yet and return (folders by stage name, records)."""


@dataclass(frozen=True)
class LocalExecutor:
    """This process."""

    progress: Progress

    @property
    def facts(self) -> dict[str, object]:
        """That it was this process."""
        return {"executor": "local"}

    def run(
        self, stages: Sequence[Stage], store: RunStore, observer: RunObserver
    ) -> tuple[dict[str, Path], list[StageRecord]]:
        """Do the stages in order."""
        return run_stages(stages, store, observer)


@contextmanager
def open_executor(
    execution: Execution, compute: Compute, store: RunStore, progress: Progress, observer: RunObserver
) -> Iterator[StageExecutor]:
    """Have an executor for a run directory, which this process holds.

    Raises:
        UserMistakes: there is no Ray, or no cluster at the address.
        RunFailure: the cluster cannot do the work.
    """
    if execution.executor == "local":
        yield LocalExecutor(progress)
        return
    from recipes.ray_executor import open_ray

    with open_ray(execution.address, compute, store, progress, observer) as executor:
        yield executor
