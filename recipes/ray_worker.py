"""What a Ray worker does with a unit: the same as the local executor, in a process that was made to be like it.

What goes wrong in it and is told to a user comes back as data, since Ray would wrap an error of ours in one of its own.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.run_lock import LOCK, only_worker_at
from recipes.environment import Compute, package_versions
from recipes.scheduler import Unit
from recipes.stage import ShardRecord, StageRecord
from scoring.models.precision import device_name

TOKEN = "executor.token"
"""A file of the run directory by which a worker sees that it shares the driver's file system."""


@dataclass(frozen=True)
class Ticket:
    """What a worker must find on its host before it may work at a run."""

    folder: Path
    """The run directory, absolute."""
    token: str
    cwd: Path
    """Where the command was given: what recipes name is relative to it."""
    versions: dict[str, str | None]
    """Of the packages that results depend on."""
    compute: Compute

    def take(self) -> None:
        """Make this process like the driver's.

        Raises:
            RunFailure: this host lacks the directories, sees no locks of others, or has other versions of packages.
        """
        import torch

        for folder in (self.folder, self.cwd):
            if not folder.is_dir():
                raise RunFailure(f"{_here()} has no folder {folder}; all hosts must share it, under the same path")
        path = self.folder / TOKEN
        found = path.read_text(encoding="utf-8") if path.is_file() else None
        if found != self.token:
            raise RunFailure(f"{_here()} has another {self.folder} than the driver; all hosts must share one")
        _see_the_lock_of_the_run(self.folder)
        versions = package_versions(self.compute)
        if other := [
            f"{name} {found} (not {self.versions[name]})"
            for name, found in versions.items()
            if found != self.versions[name]
        ]:
            raise RunFailure(f"{_here()} has {', '.join(other)}; install the driver's versions, or scores would differ")
        os.chdir(self.cwd)
        torch.set_num_threads(self.compute.threads)


def _here() -> str:
    return f"the host {socket.gethostname()}"


def _see_the_lock_of_the_run(folder: Path) -> None:
    """Raise RunFailure unless this process sees that the driver holds the run directory."""
    try:
        with only_worker_at(folder / LOCK, "the run", patience=0):
            pass
    except RunFailure:
        return
    raise RunFailure(f"{_here()} does not see file locks of other hosts in {folder}; mount its file system with locks")


@dataclass(frozen=True)
class Refusal:
    """An error that a user is told."""

    text: str
    mistakes: tuple[Mistake, ...] = ()

    def error(self) -> Exception:
        """Return the error as it was."""
        return UserMistakes(self.mistakes) if self.mistakes else RunFailure(self.text)


@dataclass(frozen=True)
class Host:
    """A host that was found fit."""

    name: str
    device: str


def look_at_host(ticket: Ticket) -> Host | Refusal:
    """Return this host with its device, or why it cannot be used."""
    device = ticket.compute.device
    try:
        ticket.take()
        return Host(socket.gethostname(), device_name(device) if _is_seen(device) else device)
    except RunFailure as error:
        return Refusal(str(error))


def _is_seen(device: str) -> bool:
    """Tell whether this process may ask for the device's name: Ray hides GPUs from those that reserved none."""
    import torch

    return device != "cuda" or torch.cuda.is_available()


def do_unit(unit: Unit, ticket: Ticket) -> StageRecord | ShardRecord | Refusal:
    """Do a unit, or say what a user is to be told."""
    try:
        ticket.take()
        return unit.do()
    except UserMistakes as error:
        return Refusal(str(error), error.mistakes)
    except RunFailure as error:
        return Refusal(str(error))
