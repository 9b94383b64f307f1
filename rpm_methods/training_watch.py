"""A callback that follows training: progress, a stop when it diverges, proof that the adapter moved.

What it decides it decides by numbers that are the same in all processes: one that stopped alone would leave the others
waiting.
"""

import math
from typing import Any

import torch

from benchmark.errors import RunFailure
from benchmark.progress import Advance
from benchmark.seeds import derive_seed
from rpm_methods.processes import gathered, index, is_first, whole


class TrainingDiverged(RunFailure):
    """Training went wrong by itself: a loss that is no number, or nothing left to learn."""


def trainable(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a PEFT model
    """Return copies of the trainable parameters; RunFailure when there are none."""
    found = {name: whole(p) for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise RunFailure("the adapter has no trainable parameters, so training would do nothing")
    return found


def watcher(advance: Advance, before: dict[str, Any]) -> Any:  # noqa: ANN401 - a transformers callback
    """Return the callback; `before` are the trainable parameters as they were at the start."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        shown = 0
        moved = False

        def on_train_begin(self, args: Any, state: object, control: object, **kwargs: object) -> None:  # noqa: ANN401
            """Let processes drop out different units: the trainer gave them all one seed."""
            if not is_first():
                torch.manual_seed(derive_seed(args.seed, "process", str(index())))

        def on_optimizer_step(self, args: object, state: Any, control: object, **kwargs: Any) -> None:  # noqa: ANN401
            """At the first step that had a learning rate and a gradient, look whether anything moved."""
            if self.moved or not _should_move(kwargs["optimizer"]):
                return
            after = trainable(kwargs["model"])
            if all(before[name].equal(after[name]) for name in before):
                raise RunFailure(f"step {state.global_step + 1} had a gradient and moved no parameter")
            self.moved = True

        def on_step_end(self, args: object, state: Any, control: object, **kwargs: object) -> None:  # noqa: ANN401
            advance(state.global_step - self.shown)
            self.shown = state.global_step

        def on_log(self, args: object, state: Any, control: object, logs: dict[str, float], **kwargs: object) -> None:  # noqa: ANN401
            for name in ("loss", "grad_norm", "reward"):
                value = logs.get(name)
                if value is not None and not math.isfinite(value):
                    raise TrainingDiverged(f"training diverged: the {name} is {value} at step {state.global_step}")

    return Watcher()


def _should_move(optimizer: Any) -> bool:  # noqa: ANN401
    """Tell whether a step that was just taken had to change a parameter."""
    groups = optimizer.param_groups
    return any(gathered(any(g["lr"] > 0 and any(_has_gradient(p) for p in g["params"]) for g in groups)))


def _has_gradient(parameter: Any) -> bool:  # noqa: ANN401
    """Tell whether the part of a parameter that this process holds has a gradient other than zero."""
    gradient = parameter.grad
    if gradient is None:
        return False
    return bool((gradient.to_local() if hasattr(gradient, "to_local") else gradient).any())
