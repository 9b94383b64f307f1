"""A callback that follows training: progress, a stop when it diverges, proof that the adapter moved."""

import math
from typing import Any

from benchmark.errors import RunFailure
from benchmark.progress import Advance


class TrainingDiverged(RunFailure):
    """Training went wrong by itself: a loss that is no number, or nothing left to learn."""


def trainable(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a PEFT model
    """Return copies of the trainable parameters; RunFailure when there are none."""
    found = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise RunFailure("the adapter has no trainable parameters, so training would do nothing")
    return found


def watcher(advance: Advance, before: dict[str, Any]) -> Any:  # noqa: ANN401 - a transformers callback
    """Return the callback; `before` are the trainable parameters as they were at the start."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        shown = 0
        moved = False

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
    return any(g["lr"] > 0 and any(p.grad is not None and p.grad.any() for p in g["params"]) for g in groups)
