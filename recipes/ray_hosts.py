"""Which hosts of a Ray cluster can work at a run: every one is looked at before anything is sent to it."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.errors import RunFailure
from recipes.ray_worker import Host, Refusal, Ticket, look_at_host

LOOKING = 180.0
"""Seconds that hosts have to start a process that says whether they are fit."""


def fit_hosts(ticket: Ticket) -> list[Host]:
    """Look at every host that could do work and return them.

    Raises:
        RunFailure: no host has the cores or the GPU, or some host lacks what the run needs; all such are named.
    """
    gpus = 1 if ticket.compute.device == "cuda" else 0
    require_room(ticket.compute.threads, gpus)
    # A process that has looked at a GPU holds memory of it until it ends.
    look = ray.remote(num_cpus=0, max_retries=0, max_calls=gpus)(look_at_host)
    names: dict[Any, str] = {}
    for node in _alive():
        if node["Resources"].get("CPU", 0) > 0:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            names[look.options(scheduling_strategy=place).remote(ticket)] = node["NodeManagerHostname"]
    answered, silent = ray.wait(list(names), num_returns=len(names), timeout=LOOKING)
    answers = [_answer(reference, names[reference]) for reference in answered]
    problems = [f"{names[reference]} did not answer in {LOOKING:.0f} s" for reference in silent]
    problems += [answer.text for answer in answers if isinstance(answer, Refusal)]
    if problems:
        raise RunFailure("; ".join(problems))
    return sorted((host for host in answers if isinstance(host, Host)), key=lambda host: host.name)


def require_room(cores: int, gpus: int) -> None:
    """Raise RunFailure where no host, were it free, could do a piece of work: Ray would wait for one without end."""
    hosts = [(node["NodeManagerHostname"], node["Resources"]) for node in _alive()]
    if any(room.get("CPU", 0) >= cores and room.get("GPU", 0) >= gpus for _, room in hosts):
        return
    found = "; ".join(f"{name}: {room.get('CPU', 0):.0f} cores, {room.get('GPU', 0):.0f} GPUs" for name, room in hosts)
    wanted = f"{cores} cores" + (f" and {gpus} GPUs" if gpus else "")
    raise RunFailure(f"no host of the cluster has {wanted} ({found}); set compute.threads or compute.device")


def _alive() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray says of it no more
    return [node for node in nodes if node["Alive"]]


def _answer(ref: Any, hostname: str) -> Host | Refusal:  # noqa: ANN401 - Ray's references have no useful type
    try:
        answer: Host | Refusal = ray.get(ref)
        return answer
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return Refusal(f"{hostname} cannot do work ({reason}); install rpm-methods there as it is here")
