"""TRL's GRPOTrainer with groups kept whole, a stop on collapse, and only those counts in its log that are right."""

import math
import warnings
from functools import partial
from typing import Any

from benchmark.errors import RunFailure
from benchmark.seeds import derive_seed
from rpm_methods.training_watch import TrainingDiverged

NO_SPREAD = "frac_reward_zero_std"
"""TRL's name of the share of groups whose rewards are all the same: they teach nothing."""
MISLEADING = (
    "completions/clipped_ratio",
    "completions/mean_terminated_length",
    "completions/min_terminated_length",
    "completions/max_terminated_length",
)
"""TRL looks for an end-of-turn token; answers here mostly end by their stop string. `clipped_share` is right."""
DOUBLED = ("rewards/total/mean", "rewards/total/std")
"""The one reward function's own, which are `reward` and `reward_std` over again."""


def check_collapse(share: float, reward: float, state: Any, patience: int) -> None:  # noqa: ANN401
    """Stop when there has been nothing to learn for `patience` steps in a row.

    Args:
        share: of the step's groups, those whose rewards are all the same.
        reward: mean reward of the step.
        state: the trainer's; its log has a row a step, those before an interruption too.
        patience: in steps.

    Raises:
        TrainingDiverged: training collapsed.
        RunFailure: no answer of the step could be rewarded.
    """
    if math.isnan(reward):
        raise RunFailure(
            f"no answer of step {state.global_step + 1} could be rewarded: with golden response and answer the "
            "reward's prompt does not fit into the base model's context; train on shorter samples"
        )
    if share < 1:
        return
    before = [row[NO_SPREAD] for row in state.log_history if NO_SPREAD in row]
    flat = next((number for number, value in enumerate(reversed(before)) if value < 1), len(before))
    if flat + 1 < patience:
        return
    raise TrainingDiverged(
        f"training collapsed: in {patience} steps in a row, up to step {state.global_step + 1}, all answers to each "
        f"prompt got the same reward (mean {reward:.3f}), so there is nothing to learn; look at rollouts/ in the "
        "policy's folder, then raise the temperature, lower the learning rate, or start from a better policy "
        "(config.collapse_steps sets the patience)"
    )


def _draw_order_of(sampler: Any, seed: int, epoch: int) -> None:  # noqa: ANN401 - TRL's RepeatSampler
    """Let a sampler's next pass have the order of this epoch; by itself it would begin again after an interruption."""
    if sampler.shuffle:
        sampler.generator.manual_seed(derive_seed(seed, "epoch", str(epoch)))


def group_trainer_class(collapse_steps: int) -> Any:  # noqa: ANN401 - a class of TRL's
    """Return the trainer; it stops after `collapse_steps` steps in a row in which no group's rewards differed."""
    from trl import GRPOTrainer
    from trl.trainer.utils import split_tensor_dict

    class GroupTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped
        """Groups stay together in the batches that are made of a generation batch."""

        def __init__(self, **arguments: Any) -> None:  # noqa: ANN401
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*rollout_func.*experimental")
                super().__init__(**arguments)
            self._buffered_inputs: Any = None

        def _get_train_sampler(self, dataset: Any = None) -> Any:  # noqa: ANN401
            """Return TRL's sampler, able to draw any epoch's order, so that a resumed run goes on with its own."""
            sampler = super()._get_train_sampler(dataset)
            sampler.set_epoch = partial(_draw_order_of, sampler, self.args.seed)
            return sampler

        def _prepare_inputs(self, generation_batch: Any) -> Any:  # noqa: ANN401
            """Do what TRL does without its shuffle, which would tear groups apart; the sum of gradients is the same."""
            if not self.model.training:
                return super()._prepare_inputs(generation_batch)
            steps = self.args.steps_per_generation
            if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
                made = self._generate_and_score_completions(generation_batch)
                metrics = self._metrics["train"]
                metrics[NO_SPREAD][-1] = self.rollout_func.share_without_spread
                check_collapse(metrics[NO_SPREAD][-1], metrics["reward"][-1], self.state, collapse_steps)
                self._buffered_inputs = split_tensor_dict(made, steps)
            return self._buffered_inputs[self._step % steps]

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            """Leave out what TRL counts wrongly or twice here."""
            mode = "train" if self.model.training else "eval"
            for name in (*MISLEADING, *DOUBLED):
                self._metrics[mode].pop(name, None)
            super().log(logs, start_time)

    return GroupTrainer
