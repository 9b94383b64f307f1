"""Reinforcement learning from rollouts by GRPO (Shao et al. 2024): settings and training of all methods that do it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from benchmark.seeds import derive_seed
from rpm_methods.adapter_training import TrainedAdapter, train_adapter
from rpm_methods.arguments import AdapterSettings
from rpm_methods.group_trainer import NO_SPREAD, group_trainer_class
from rpm_methods.method import TrainContext
from rpm_methods.preflight import Preflight, check_prompts
from rpm_methods.rollout_source import RewardPart, RolloutSource
from rpm_methods.training_rows import PromptRow
from scoring.models.causal_lm import context_length, load_chat

BENDING = ("top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "cache_implementation")
"""Rollouts are drawn from the policy's own distribution: what bends it makes the gradient that of another policy."""


class RolloutSettings(AdapterSettings):
    """Settings of every method that learns from rollouts; defaults of the paper and of the authors' released code."""

    trl_config: ClassVar[str] = "GRPOConfig"
    rows_share_prompts: ClassVar[bool] = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "num_generations": 8,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-5,
        "beta": 0.0,
        "epsilon": 0.2,
    }
    lora_defaults: ClassVar[dict[str, Any]] = {"lora_dropout": 0.0}
    """Dropout would make the policy that is trained another than the one that drew."""
    reserved: ClassVar[tuple[str, ...]] = (*BENDING, "use_vllm", "reward_weights", "remove_unused_columns")

    reward_batch_tokens: int = Field(default=1024, ge=1)
    """Memory: most tokens in a batch of reward prompts."""
    rollout_batch_tokens: int = Field(default=65536, ge=1)
    """Memory: most tokens in a batch of rollouts, prompts and room for answers included."""
    keep_rollouts_every: int = Field(default=5, ge=1)
    """Steps between those whose rollouts are kept as text; the first step's always are."""
    collapse_steps: int = Field(default=5, ge=1)
    """Steps in a row without a group whose rewards differ, after which training stops."""


@dataclass(frozen=True)
class RolloutTask:
    """What is answered and how it is rewarded."""

    rows: Sequence[PromptRow]
    """A prompt for each training sample, in their order."""
    stop: str
    parts: Sequence[RewardPart]
    well_formed: Callable[[str], bool] | None = None
    """Tells malformed answers, where the method asks for a form."""


def train_on_rollouts(task: RolloutTask, settings: RolloutSettings, context: TrainContext) -> TrainedAdapter:
    """Train an adapter by GRPO on rollouts of the policy itself.

    Raises:
        UserMistakes: prompts that leave no room for an answer, all of them.
        RunFailure: training collapsed or diverged, or the disk is full.
    """
    chat, length = load_chat(context.base), context_length(context.base)
    new_tokens = settings.training.get("max_completion_length", context.sampling.max_new_tokens)
    preflight = check_prompts(task.rows, new_tokens, chat, length)
    source = RolloutSource(
        rows=task.rows,
        samples=context.samples,
        stop=task.stop,
        chat=chat,
        context_length=length,
        batch_tokens=settings.rollout_batch_tokens,
        seed=derive_seed(context.seed, "rollouts"),
        folder=context.folder,
        keep_every=settings.keep_rollouts_every,
        parts=task.parts,
        well_formed=task.well_formed,
    )
    make_trainer = partial(_make_trainer, source, settings, new_tokens, preflight)
    trained = train_adapter(make_trainer, chat, settings, context, preflight, partial(_longest, task.rows, new_tokens))
    source.finish()
    return trained


def training_counts(trained: TrainedAdapter) -> dict[str, int]:
    """Return how many steps there were, and in how many of them no group's rewards differed."""
    shares = [row[NO_SPREAD] for row in trained.log if NO_SPREAD in row]
    return {"steps": len(shares), "steps_without_spread": sum(share >= 1 for share in shares)}


def _make_trainer(
    source: RolloutSource,
    settings: RolloutSettings,
    new_tokens: int,
    preflight: Preflight,
    *,
    args: Any,  # noqa: ANN401 - TRL is untyped
    **arguments: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    from datasets import Dataset

    args.max_completion_length, args.remove_unused_columns = new_tokens, False
    dataset = Dataset.from_dict({"prompt": [str(place) for place in range(len(source.rows))]})
    trainer = group_trainer_class(settings.collapse_steps)(
        args=args, train_dataset=dataset, reward_funcs=[source.total], rollout_func=source, **arguments
    )
    prompts = trainer.args.generation_batch_size // trainer.num_generations
    preflight.notes.append(f"a step answers {prompts} prompts {trainer.num_generations} times each")
    if trainer.args.per_device_train_batch_size % trainer.num_generations:
        preflight.notes.append("batches tear groups apart, so their prompts are shared less")
    return trainer


def _longest(rows: Sequence[PromptRow], new_tokens: int, trainer: Any) -> tuple[dict[str, Any], int, int]:  # noqa: ANN401
    """Return the inputs of a batch in which the longest prompt is answered to the limit by each rollout."""
    import torch

    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # else set by train()
    size = trainer.args.per_device_train_batch_size
    prompt = max((row.prompt_ids for row in rows), key=len)
    prompts_B_P = torch.tensor([prompt] * size, device=trainer.accelerator.device)
    completions_B_T = prompts_B_P[:, -1:].expand(-1, new_tokens).contiguous()
    inputs = {
        "prompt_ids": prompts_B_P,
        "prompt_mask": torch.ones_like(prompts_B_P),
        "completion_ids": completions_B_T,
        "completion_mask": torch.ones_like(completions_B_T),
        "advantages": torch.ones(size, device=prompts_B_P.device),
        "num_items_in_batch": torch.tensor(size * new_tokens, device=prompts_B_P.device),
        "ref_per_token_logps": torch.zeros(completions_B_T.shape, device=prompts_B_P.device),
    }
    return inputs, size, len(prompt) + new_tokens
