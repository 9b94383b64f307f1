"""Which hosts of a Ray cluster can work at a run: every one is looked at before anything is sent to it."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.errors import RunFailure
from recipes.environment import Compute
from recipes.ray_worker import Host, Refusal, Ticket, look_at_host

LOOKING = 180.0
"""Seconds that hosts have to start a process that says whether they are fit."""


def fit_hosts(ticket: Ticket, compute: Compute) -> list[Host]:
    """Look at every host that could do work and return them.

    Raises:
        RunFailure: no host has the cores or the GPU, or some host lacks what the run needs; all such are named.
    """
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray says of it no more
    alive = [node for node in nodes if node["Alive"]]
    able = [node for node in alive if _has_room(node["Resources"], compute)]
    if not able:
        wanted = f"{compute.threads} cores" + (" and a GPU" if compute.device == "cuda" else "")
        found = "; ".join(f"{n['NodeManagerHostname']}: {n['Resources'].get('CPU', 0):.0f} cores" for n in alive)
        raise RunFailure(f"no host of the cluster has {wanted} ({found}); set compute.threads or compute.device")
    calls = 1 if compute.device == "cuda" else 0  # a process that has looked at a GPU holds memory of it until it ends
    look = ray.remote(num_cpus=0, max_retries=0, max_calls=calls)(look_at_host)
    found_at = {}
    for node in alive:
        if node["Resources"].get("CPU", 0) > 0:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            found_at[look.options(scheduling_strategy=place).remote(ticket, compute.device)] = node
    answered, silent = ray.wait(list(found_at), num_returns=len(found_at), timeout=LOOKING)
    problems = [f"{found_at[ref]['NodeManagerHostname']} did not answer in {LOOKING:.0f} s" for ref in silent]
    answers = [_answer(ref, found_at[ref]["NodeManagerHostname"]) for ref in answered]
    problems += [answer.text for answer in answers if isinstance(answer, Refusal)]
    if problems:
        raise RunFailure("; ".join(problems))
    return sorted((host for host in answers if isinstance(host, Host)), key=lambda host: host.name)


def _has_room(resources: dict[str, float], compute: Compute) -> bool:
    return resources.get("CPU", 0) >= compute.threads and (compute.device != "cuda" or resources.get("GPU", 0) >= 1)


def _answer(ref: Any, hostname: str) -> Host | Refusal:  # noqa: ANN401 - Ray's references have no useful type
    try:
        answer: Host | Refusal = ray.get(ref)
        return answer
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return Refusal(f"{hostname} cannot do work ({reason}); install rpm-methods there as it is here")
