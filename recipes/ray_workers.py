"""The workers of a Ray cluster as the scheduler sees them.

Ray places each unit where its cores are free, and tells when a worker is gone. That a unit has begun, and how far it
is, workers post to an actor that the driver empties.
"""

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.errors import RunFailure
from benchmark.progress import Advance, Progress
from recipes.ray_hosts import require_room
from recipes.ray_mailbox import Advanced, Begun, Closed, Mailbox, Opened, Report, ReportingProgress
from recipes.ray_worker import Refusal, Ticket, do_unit
from recipes.scheduler import Began, Event, Failed, Finished, Lost, Unit
from recipes.stage import ShardRecord, StageRecord

WAITING = 0.5
"""Seconds between looks at what workers report."""
STOPPING = 10.0
"""Seconds that workers have to end."""


def start_mailbox() -> Any:  # noqa: ANN401 - an actor's handle, which has the methods of its class with `.remote`
    """Start the actor that keeps what workers report until the driver takes it; it comes back empty if it dies."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, max_restarts=-1)(Mailbox).options(scheduling_strategy=here).remote()


def progress_to(mailbox: Any) -> ReportingProgress:  # noqa: ANN401
    """Return the progress that workers report to."""
    return ReportingProgress(partial(_post, mailbox))


def _post(mailbox: Any, report: Report) -> None:  # noqa: ANN401
    """Send a report from the Ray task that this process works at."""
    mailbox.put.remote(ray.get_runtime_context().get_task_id(), report)


def _begin_and_do(unit: Unit, ticket: Ticket, mailbox: Any) -> StageRecord | ShardRecord | Refusal:  # noqa: ANN401
    _post(mailbox, Begun())
    return do_unit(unit, ticket)


@dataclass
class _Task:
    """A unit under way."""

    unit: Unit
    reference: Any
    """Ray's."""
    shown: dict[int, tuple[Advance, ExitStack]] = field(default_factory=dict)
    """The tasks of its work that are shown, by number, each with what ends it."""

    def close(self) -> None:
        """Show none of its tasks any longer."""
        for _, opened in self.shown.values():
            opened.close()


class RayWorkers:
    """The cluster's workers, as the scheduler sees them."""

    def __init__(self, ticket: Ticket, mailbox: Any, progress: Progress) -> None:  # noqa: ANN401
        """Take what workers need, and what shows the progress of their work."""
        self._ticket, self._mailbox, self._progress = ticket, mailbox, progress
        self._do = ray.remote(max_retries=0)(_begin_and_do)
        self._do_on_gpu = ray.remote(max_retries=0, max_calls=1)(_begin_and_do)
        """In a process that ends with the unit, as what it holds of a GPU's memory does."""
        self._tasks: dict[str, _Task] = {}
        """By Ray's name of the task."""
        self._asked: Any = None
        """Ray's reference to the mail that was asked for and has not come."""

    def start(self, unit: Unit) -> None:
        """Queue the unit: Ray starts it where the cores and GPUs that it takes are free.

        Raises:
            RunFailure: no host has so many.
        """
        stage, compute = unit.stage, self._ticket.compute
        cores = compute.threads if stage.uses_model else 1
        gpus = stage.gpus if stage.uses_model and compute.device == "cuda" else 0
        require_room(cores, gpus)
        do = self._do_on_gpu if gpus else self._do
        placed = do.options(name=unit.label, num_cpus=cores, num_gpus=gpus)
        reference = placed.remote(unit, self._ticket, self._mailbox)
        self._tasks[reference.task_id().hex()] = _Task(unit, reference)

    def happened(self) -> list[Event]:
        """Return what happened in the next half second, or sooner if a unit ends."""
        by_reference = {task.reference: name for name, task in self._tasks.items()}
        ended, _ = ray.wait(list(by_reference), num_returns=1, timeout=WAITING)
        events = self._read_mail()
        return events + [self._ended(self._tasks.pop(by_reference[reference])) for reference in ended]

    def stop(self) -> None:
        """End the workers that are at it; what they have made stays."""
        left = [task.reference for task in self._tasks.values()]
        for task in self._tasks.values():
            task.close()
            ray.cancel(task.reference, force=True)
        self._tasks.clear()
        if left:
            ray.wait(left, num_returns=len(left), timeout=STOPPING)

    def _read_mail(self) -> list[Event]:
        mail: list[tuple[str, Report]] = []
        if self._asked is None:
            self._asked = self._mailbox.take.remote()
        if ray.wait([self._asked], timeout=WAITING)[0]:
            with suppress(ray.exceptions.RayActorError):  # Ray starts it again; progress alone would lack
                mail = ray.get(self._asked)
            self._asked = None
        events: list[Event] = []
        for name, report in mail:
            task = self._tasks.get(name)
            if task is None:
                continue
            if isinstance(report, Begun):
                events.append(Began(task.unit.label))
            else:
                self._show(task, report)
        return events

    def _show(self, task: _Task, report: Opened | Advanced | Closed) -> None:
        if isinstance(report, Opened):
            opened = ExitStack()
            title = f"{task.unit.label}: {report.title}"
            shown = self._progress.task(title, report.total, alike=report.alike)
            task.shown[report.number] = opened.enter_context(shown), opened
        elif report.number in task.shown:
            advance, opened = task.shown[report.number]
            if isinstance(report, Advanced):
                advance(report.units)
            else:
                opened.close()

    def _ended(self, task: _Task) -> Event:
        task.close()
        label = task.unit.label
        try:
            outcome: StageRecord | ShardRecord | Refusal = ray.get(task.reference)
        except ray.exceptions.OutOfMemoryError:
            return Lost(label, "its host ran out of memory", crowded=True)
        except ray.exceptions.NodeDiedError:
            return Lost(label, "its host is gone")
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError):
            return Lost(label, "its process was killed or crashed")
        except ray.exceptions.RayTaskError as error:
            return Failed(label, error)  # a fault of the program, with the worker's traceback
        except ray.exceptions.RayError as error:
            return Failed(label, RunFailure(f"Ray could not do {label} ({str(error).strip().splitlines()[0]})"))
        return Failed(label, outcome.error()) if isinstance(outcome, Refusal) else Finished(label, outcome)
