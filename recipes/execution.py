"""How the stages of a run are carried out: in this process, spread by Ray, with trainings on several devices."""

import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from benchmark.errors import Mistake, UserMistakes

INSTALL_RAY = 'pip install "rpm-methods[ray]"'
CONNECTING = 10.0
"""Seconds that the host of a cluster has to answer."""
Executor = Literal["local", "ray"]


@dataclass(frozen=True)
class Execution:
    """Where stages run; what comes out does not depend on it, but for the number of devices that train together."""

    executor: Executor = "local"
    address: str | None = None
    """Of a Ray cluster; None starts one on this machine."""
    launch: Path | None = None
    """A configuration of accelerate's, by which trainings are started on several devices; None trains on one."""


ON_THIS_DEVICE = Execution()


def check_execution(execution: Execution) -> None:
    """See that stages can run where they are to, before anything of a run is made.

    Raises:
        UserMistakes: all that is wrong.
    """
    if mistakes := _cluster_mistakes(execution) + _launch_mistakes(execution):
        raise UserMistakes(mistakes)


def _launch_mistakes(execution: Execution) -> list[Mistake]:
    if execution.launch is None or execution.executor != "local":
        return []
    from recipes.launch_config import read_launch  # heavy

    try:
        read_launch(execution.launch)
    except UserMistakes as error:
        return list(error.mistakes)
    return []


def _cluster_mistakes(execution: Execution) -> list[Mistake]:
    if execution.executor == "local":
        remedy = "add --executor ray, or leave it out"
        return [] if execution.address is None else [Mistake("--address", "names a cluster that is not used", remedy)]
    mistakes = [] if find_spec("ray") else [Mistake("--executor ray", "Ray is not installed", INSTALL_RAY)]
    if execution.launch is not None:
        problem = "starts the processes of a training on this host, and with --executor ray trainings run on others"
        mistakes.append(Mistake("--launch", problem, "leave out one of the two"))
    if execution.address not in (None, "auto"):
        mistakes += _address_mistakes(str(execution.address))
    return mistakes


def _address_mistakes(address: str) -> list[Mistake]:
    """Try the address: Ray would try it for many minutes."""
    where = f"--address {address}"
    remedy = "give the HOST:PORT that `ray start --head` prints, on a host of the cluster"
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return [Mistake(where, "is not the address of a cluster", remedy)]
    try:
        socket.create_connection((host, int(port)), timeout=CONNECTING).close()
    except (OSError, OverflowError) as error:
        return [Mistake(where, f"no cluster answers ({error})", remedy)]
    return []
