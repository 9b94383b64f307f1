"""Reinforcement learning from rollouts by GRPO (Shao et al. 2024): settings and training of all methods that do it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import Field, field_validator

from benchmark.errors import Mistake, UserMistakes
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from rpm_methods.adapter_training import TrainedAdapter, train_adapter
from rpm_methods.arguments import AdapterSettings
from rpm_methods.group_trainer import NO_SPREAD, group_trainer_class
from rpm_methods.method import TrainContext
from rpm_methods.preflight import Preflight, check_prompts
from rpm_methods.rollout_source import Measure, RewardPart, RolloutSource
from rpm_methods.training_rows import PromptRow
from rpm_methods.vllm_rollouts import hand_over_exactly
from scoring.models.causal_lm import context_length, load_chat

BENDING = (
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "generation_kwargs",
    "cache_implementation",
    "vllm_structured_outputs_regex",
)
"""Rollouts are drawn from the policy's own distribution: what bends it makes the gradient that of another policy."""

CYCLES = ("num_iterations", "steps_per_generation", "generation_batch_size")
"""Each step draws its own answers and learns from them once; TRL does not resume in the middle of other cycles."""
FIXED = (
    "use_vllm",
    "reward_weights",
    "remove_unused_columns",
    "mask_truncated_completions",
    "shuffle_dataset",
    "logging_steps",
    "logging_strategy",
)
"""Follow from how rollouts are made, or would make the counts of the log wrong."""


class RolloutSettings(AdapterSettings):
    """Settings of all training on rollouts; defaults of the paper and of the authors' released code."""

    trl_config: ClassVar[str] = "GRPOConfig"
    rows_share_prompts: ClassVar[bool] = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "num_generations": 8,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-5,
        "beta": 0.0,
        "epsilon": 0.2,
        "include_num_input_tokens_seen": "no",  # TRL counts the tokens of rollouts itself
    }
    lora_defaults: ClassVar[dict[str, Any]] = {"lora_dropout": 0.0}
    """Dropout would make the policy that is trained another than the one that drew."""
    reserved: ClassVar[tuple[str, ...]] = (*BENDING, *CYCLES, *FIXED)

    reward_batch_tokens: int = Field(default=1024, ge=1)
    """Memory: most tokens in a batch of reward prompts."""
    rollout_batch_tokens: int = Field(default=65536, ge=1)
    """Memory: most tokens in a batch of rollouts, prompts and room for answers included."""
    keep_rollouts_every: int = Field(default=5, ge=1)
    """Steps between those whose rollouts are kept as text; the first step's always are."""
    collapse_steps: int = Field(default=5, ge=1)
    """Steps in a row without a group whose rewards differ, after which training stops."""

    @field_validator("training")
    @classmethod
    def _can_be_drawn(cls, value: dict[str, Any]) -> dict[str, Any]:
        temperature, length = value.get("temperature", 1.0), value.get("max_completion_length", 1)
        if not isinstance(temperature, int | float) or temperature <= 0:
            raise ValueError(f"rollouts are sampled: temperature must be above 0, not {temperature}")
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"max_completion_length must be a whole number of tokens from 1 on, not {length}")
        return value

    def identity(self) -> dict[str, Any]:
        """Return the settings without those of patience and of what is kept as text."""
        kept = super().identity()
        return {name: value for name, value in kept.items() if name not in ("collapse_steps", "keep_rollouts_every")}


class PolicyRolloutSettings(RolloutSettings):
    """Settings of methods that train one policy on rollouts: these vLLM may draw, as TRL starts and feeds it.

    The loop that trains an estimator cannot have it: TRL's engine is never taken down, and the loop trains many times.
    """

    reserved: ClassVar[tuple[str, ...]] = tuple(name for name in RolloutSettings.reserved if name != "use_vllm")


@dataclass(frozen=True)
class RolloutTask:
    """What is answered and how it is rewarded."""

    rows: Sequence[PromptRow]
    """A prompt for each sample."""
    samples: Sequence[Sample]
    """The sample of each row."""
    stop: str
    parts: Sequence[RewardPart]
    well_formed: Callable[[str], bool] | None = None
    """Tells malformed answers, where the method asks for a form."""
    measures: Sequence[Measure] = ()
    """What is logged of each step beside the rewards."""


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
        samples=task.samples,
        stop=task.stop,
        chat=chat,
        context_length=length,
        batch_tokens=settings.rollout_batch_tokens,
        seed=derive_seed(context.seed, "rollouts"),
        folder=context.folder,
        keep_every=settings.keep_rollouts_every,
        parts=task.parts,
        well_formed=task.well_formed,
        measures=task.measures,
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
    if trainer.use_vllm:
        preflight.notes.append(hand_over_exactly(trainer))
    prompts = trainer.args.generation_batch_size // trainer.num_generations
    if prompts > len(source.rows):
        problem = f"a step answers {prompts} prompts, and there are {len(source.rows)} training samples"
        remedy = "lower gradient_accumulation_steps, or train on more samples"
        raise UserMistakes([Mistake("config.training", problem, remedy)])
    preflight.notes.append(f"a step answers {prompts} prompts {trainer.num_generations} times each")
    if left := len(source.rows) % prompts:
        preflight.notes.append(f"{left} of {len(source.rows)} samples, others in each epoch, are too few for a step")
    if trainer.args.per_device_train_batch_size % trainer.num_generations:
        preflight.notes.append("batches tear groups apart, so their prompts are shared less")
    return trainer


def _longest(rows: Sequence[PromptRow], new_tokens: int, trainer: Any) -> tuple[dict[str, Any], int, int]:  # noqa: ANN401
    """Return the inputs of a batch in which the longest prompts are answered to the limit by each rollout."""
    import torch

    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # else set by train()
    size = trainer.args.per_device_train_batch_size
    group = trainer.num_generations
    longest = sorted((row.prompt_ids for row in rows), key=len, reverse=True)[: -(-size // group)]
    chosen = [longest[min(number // group, len(longest) - 1)] for number in range(size)]
    width = len(longest[0])
    device, pad = trainer.accelerator.device, trainer.processing_class.pad_token_id
    prompts_B_P = torch.tensor([[pad] * (width - len(ids)) + ids for ids in chosen], device=device)
    held_B_P = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in chosen], device=device)
    completions_B_T = prompts_B_P[:, -1:].expand(-1, new_tokens).contiguous()
    inputs = {
        "prompt_ids": prompts_B_P,
        "prompt_mask": held_B_P,
        "completion_ids": completions_B_T,
        "completion_mask": torch.ones_like(completions_B_T),
        "advantages": torch.ones(size, device=prompts_B_P.device),
        "num_items_in_batch": torch.tensor(size * new_tokens, device=prompts_B_P.device),
        "ref_per_token_logps": torch.zeros(completions_B_T.shape, device=prompts_B_P.device),
        "importance_sampling_ratio": torch.ones(completions_B_T.shape, device=prompts_B_P.device),  # by vLLM alone
    }
    return inputs, size, width + new_tokens
