"""Supervised training and preference training of an adapter: tokens, operations, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from recipes.cost import memory
from recipes.cost.lengths import expected_longest
from recipes.cost.setting import Setting
from recipes.cost.trainer import Trainer
from recipes.cost.work import Sequences, Work, begun, forward, train


@dataclass(frozen=True)
class Rows:
    """Sequences to learn from."""

    count: int
    prompts: Sequence[float]
    """Tokens of some prompts."""
    answer: float
    """Mean tokens of an answer, stop string and end included; the loss is on these."""


def imitation(name: str, setting: Setting, trainer: Trainer, rows: Rows) -> Work:
    """Return supervised training on rows, each batch padded to its longest row; the longest batch is tried before."""
    seen = trainer.rows_seen(rows.count) + trainer.rows
    width = expected_longest(rows.prompts, trainer.rows) + rows.answer
    longest = memory.Batch(trainer.rows, max(rows.prompts) + rows.answer, rows.answer)
    work = train(
        name,
        setting.shape,
        Sequences(seen, width, scored=width - fmean(rows.prompts)),
        passes=seen / trainer.rows,
        rank=trainer.rank,
        checkpointing=trainer.checkpointing,
        precision=setting.precision,
        memory=_memory(setting, trainer, longest, padded=trainer.rows > 1),
    )
    return begun([work], setting.shape)[0]


def preference(name: str, setting: Setting, trainer: Trainer, rows: Rows, rejected: float) -> list[Work]:
    """Return training on pairs of answers (Rafailov et al. 2023): the policy's passes and those of its reference.

    Args:
        name: of the work.
        setting: where.
        trainer: the trainer's arguments.
        rows: prompts with the answers that are preferred.
        rejected: mean tokens of the others.
    """
    seen = trainer.rows_seen(rows.count) + trainer.rows
    prompt, answer = fmean(rows.prompts), (rows.answer + rejected) / 2
    if setting.hardware.processor:
        parts = [Sequences(seen, prompt), Sequences(2 * seen, answer, before=prompt, scored=answer)]
        passes = 2 * seen
        batch = memory.Batch(trainer.rows, max(rows.prompts) + 2 * answer, 2 * answer)
    else:
        width = expected_longest(rows.prompts, trainer.rows) + max(rows.answer, rejected)
        parts = [Sequences(2 * seen, width, scored=answer)]
        passes = seen / trainer.rows
        batch = memory.Batch(2 * trainer.rows, max(rows.prompts) + max(rows.answer, rejected), answer)
    held = _memory(setting, trainer, batch, padded=not setting.hardware.processor)
    policy = train(
        f"{name}: policy",
        setting.shape,
        *parts,
        passes=passes,
        rank=trainer.rank,
        checkpointing=trainer.checkpointing,
        precision=setting.precision,
        memory=held,
    )
    reference = forward(
        f"{name}: reference", setting.shape, *parts, passes=passes, precision=setting.precision, memory=held
    )
    return begun([policy, reference], setting.shape)


def _memory(setting: Setting, trainer: Trainer, batch: memory.Batch, *, padded: bool) -> float:
    return memory.training(
        setting.shape,
        batch,
        setting.precision,
        rank=trainer.rank,
        checkpointing=trainer.checkpointing,
        keeps_attention=setting.hardware.processor and padded,
    )
