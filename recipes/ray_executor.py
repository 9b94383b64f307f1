"""Stages and shards carried out by the workers of a Ray cluster, one that is there or one started for the run.

Ray places tasks and tells of lost workers; the rest is ours: what is ready (`recipes.scheduler`), what a worker does
(`recipes.ray_worker`), and how often a lost one is replaced, so that it can be counted. Ray is an extra, and slow to
import: this module can be imported without it.
"""

import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.progress import Progress
from benchmark.run_store import RunStore, write_text
from recipes.environment import Compute, package_versions, usable_cores
from recipes.execution import Execution, check_execution
from recipes.ray_worker import TOKEN, Host, Ticket
from recipes.scheduler import Scheduler
from recipes.stage import RunObserver, Stage, StageRecord

if TYPE_CHECKING:
    from recipes.ray_workers import RayWorkers

STARTS = 3
"""Attempts to start a cluster here."""


@dataclass(frozen=True)
class RayExecutor:
    """A cluster that was found fit for the run."""

    progress: Progress
    hosts: Sequence[Host]
    workers: "RayWorkers"

    @property
    def facts(self) -> dict[str, object]:
        """The hosts with their devices."""
        return {"executor": "ray", "hosts": [asdict(host) for host in self.hosts]}

    def run(
        self, stages: Sequence[Stage], store: RunStore, observer: RunObserver
    ) -> tuple[dict[str, Path], list[StageRecord]]:
        """Do the stages, each as soon as what it needs is there."""
        return Scheduler(stages, store, observer, self.workers).run()


@contextmanager
def open_ray(
    address: str | None, compute: Compute, store: RunStore, progress: Progress, observer: RunObserver
) -> Iterator[RayExecutor]:
    """Have a cluster for as long as the block runs, and see first that each of its hosts can do the work.

    Raises:
        UserMistakes: Ray is not installed, or there is no cluster at the address.
        RunFailure: a host does not share the run directory or has other packages, or none has the cores or the GPU.
    """
    check_execution(Execution("ray", address))
    with _token(store.folder.resolve()) as token, _connected(address, compute):
        ticket = Ticket(store.folder.resolve(), token, Path.cwd(), package_versions(compute), compute)
        from recipes.ray_hosts import fit_hosts
        from recipes.ray_workers import RayWorkers, progress_to, start_mailbox

        hosts = fit_hosts(ticket)
        if len({host.device for host in hosts}) > 1:
            observer.note("the hosts' processors differ, so that last digits of scores may depend on who does what")
        mailbox = start_mailbox()
        yield RayExecutor(progress_to(mailbox), hosts, RayWorkers(ticket, mailbox, progress))


@contextmanager
def _token(folder: Path) -> Iterator[str]:
    """Leave a random word in the run directory that workers must find there."""
    token = secrets.token_hex(16)
    write_text(folder / TOKEN, token)
    try:
        yield token
    finally:
        (folder / TOKEN).unlink(missing_ok=True)


@contextmanager
def _connected(address: str | None, compute: Compute) -> Iterator[None]:
    """Be the driver of a cluster, quietly; one without an address starts here and ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # what Ray says of workers: we tell it ourselves
    import ray

    threads = os.environ.get("OMP_NUM_THREADS", str(usable_cores()))  # as this process has them: Ray would set one
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    shared = {**quiet, "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads}}}
    try:
        if address is None:
            _start_here(max(usable_cores(), compute.threads), shared)
        else:
            _join(address, shared)
        yield
    finally:
        ray.shutdown()


def _start_here(cores: int, shared: dict[str, Any]) -> None:
    """Start a cluster of this host; where the host is busy, Ray may give up before it has started."""
    import ray

    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # or Ray would end ours for memory that others hold
    for left in reversed(range(STARTS)):
        try:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **shared)
            return
        except Exception as error:  # a plain one where it takes too long
            ray.shutdown()
            if not left:
                raise RunFailure(f"Ray could not be started here ({_reason(error)})") from error


def _join(address: str, shared: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **shared)
    except Exception as error:  # Ray raises many kinds
        remedy = "run the command on a host of a cluster with the same Ray and Python, or leave out --address"
        raise UserMistakes([Mistake(f"--address {address}", f"cannot be used ({_reason(error)})", remedy)]) from error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
