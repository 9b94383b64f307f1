"""The processes of a training on several devices: who writes, what all are told, how parts become whole.

All of them run the same code. What is not training is done by the first, and the others are told what came of it. In
a training by one process these functions do the work and nothing else.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist

from benchmark.errors import RpmMethodsError

T = TypeVar("T")

Sharding = Literal["", "fsdp", "zero1", "zero2", "zero3"]
"""What is shared out over the processes beside the batches: nothing, or what FSDP and DeepSpeed's stages share out."""
WEIGHTS_IN_PARTS = ("fsdp", "zero3")
"""With these no process holds a whole model."""
PATIENCE = timedelta(days=7)
"""How long a process waits for another: for all that a teacher or the first process alone has to do. One that died is
noticed by who started them."""


def join(device: str) -> None:
    """Join the other processes that accelerate's launcher started with this one, if there are any.

    Args:
        device: "cpu", or "cuda", of which each process takes its own.
    """
    from accelerate import PartialState

    if device == "cpu":
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # else it says cpu:0, to which torch loads no checkpoint
    PartialState(cpu=device == "cpu", timeout=PATIENCE)


def leave() -> None:
    """Take leave of the other processes; nothing can be asked of them any more."""
    if _joined():
        dist.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if _joined() else 1


def index() -> int:
    """Return this process's place among them, from 0."""
    return dist.get_rank() if _joined() else 0


def is_first() -> bool:
    """Tell whether this is the process that writes."""
    return index() == 0


def by_first(work: Callable[[], T]) -> T:
    """Let the first process do something, and return in all what came of it.

    Within the work nothing may be asked of the others: they are waiting.

    Raises:
        RpmMethodsError: in all processes, where the work raised one.
    """
    if count() == 1:
        return work()
    group = _talk()
    told: list[Any] = [_outcome(work) if is_first() else None]
    dist.broadcast_object_list(told, src=0, group=group)
    value, error = told[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]  # it came through a list of anything


def _outcome(work: Callable[[], T]) -> tuple[T | None, RpmMethodsError | None]:
    try:
        return work(), None
    except RpmMethodsError as error:
        return None, error


def gathered(value: T) -> list[T]:
    """Return the values of all processes in their order, in each of them."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value, group=_talk())
    return values


def sharding() -> Sharding:
    """Return what accelerate's launcher told this process to share out with the others."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        return "fsdp"
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        stages: dict[str, Sharding] = {"1": "zero1", "2": "zero2", "3": "zero3"}
        return stages.get(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", ""), "")
    return ""


def weights_in_parts() -> bool:
    """Tell whether each process is to hold a part of the weights only."""
    return sharding() in WEIGHTS_IN_PARTS


def whole(parameter: Any) -> torch.Tensor:  # noqa: ANN401 - a parameter, also of FSDP's and DeepSpeed's kinds
    """Return a copy of a parameter; where each process holds a part, all must ask, and the copy is in main memory."""
    if hasattr(parameter, "full_tensor"):  # of FSDP 2
        full: torch.Tensor = parameter.full_tensor().detach().cpu()
        return full
    if hasattr(parameter, "ds_id"):  # of DeepSpeed's stage 3
        import deepspeed  # an extra

        with deepspeed.zero.GatheredParameters([parameter]):
            put_together: torch.Tensor = parameter.detach().cpu().clone()
        return put_together
    copied: torch.Tensor = parameter.detach().clone()
    return copied


@cache
def _talk() -> Any:  # noqa: ANN401 - a process group of torch's, or None for that of the training itself
    """Return the group by which the processes tell one another things: by gloo, so that no device is busy waiting."""
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo", timeout=PATIENCE)


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
