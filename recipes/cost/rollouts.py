"""Answers that a model draws, and reinforcement learning from them: tokens, operations, memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from recipes.cost import memory
from recipes.cost.lengths import Around, expected_longest
from recipes.cost.setting import Setting
from recipes.cost.trainer import Trainer
from recipes.cost.work import Precision, Sequences, Work, begun, decode, forward, train


@dataclass(frozen=True)
class Asked:
    """Prompts that are to be answered."""

    count: int
    prompts: Sequence[float]
    """Tokens of some of them."""
    answer: float
    """Mean tokens of an answer."""
    limit: int
    """Most tokens of one; a batch is decoded until its longest answer ends, which is taken to be this long."""

    @property
    def width(self) -> float:
        """Tokens of the longest prompt with room for its answer."""
        return max(self.prompts) + self.limit

    @property
    def written(self) -> float:
        """Mean tokens of an answer, the limit observed."""
        return min(self.answer, self.limit)


@dataclass(frozen=True)
class Reward:
    """A model that scores the answers to a prompt, what they have in common encoded once."""

    prompt: Around
    """Tokens before the answer, and behind it with those that are scored."""
    scored: float
    batch_tokens: int
    precision: Precision
    beside: bool
    """Whether its weights are held beside those in training: another model's, or a float32 copy of the same."""
    own: bool = False
    """Whether these are another model's."""
    others: int = 0
    """Answers that are scored with each group beside its own."""


def answers(
    name: str, setting: Setting, asked: Sequence[Asked], batch_tokens: int, *, each: int = 1, models: int = 1
) -> list[Work]:
    """Return reading prompts of several sorts, once each, and drawing `each` answers to every one of them.

    `models` are loaded for it, one after the other.
    """
    batches = fill(asked, batch_tokens, each, setting.hardware.devices)
    held = max(
        memory.decoding(setting.shape, memory.Batch(batch.rows, batch.width, 1), setting.precision) for batch in batches
    )
    reading = [_reading(f"{name}: prompts", setting, one, held) for one in asked]
    tokens = sum(one.count * each * one.written for one in asked) / sum(one.count * each for one in asked)
    limit = max(one.limit for one in asked)
    writing = [_writing(f"{name}: answers", setting, batch, tokens, limit, held, each) for batch in batches]
    return begun([*reading, *writing], setting.shape, models)


@dataclass(frozen=True)
class Batches:
    """Equal batches of answers."""

    count: float
    rows: float
    width: float
    """Tokens of the longest prompt with room for its answer: every row is as wide."""


def fill(asked: Sequence[Asked], batch_tokens: int, each: int, devices: int) -> list[Batches]:
    """Divide answers into batches as generation does: in order, rows times width within the memory setting.

    A batch that is not full when a sort of prompts ends takes rows of the next, and is then as wide as the wider.
    Several devices have batches of their own.
    """
    filled: list[Batches] = []
    rows, width = 0.0, 0.0
    for one in asked:
        left = one.count * each / devices
        own = expected_longest(one.prompts, max(1, round(min(left, batch_tokens / one.width)))) + one.limit
        if rows:
            taken = min(left, max(0.0, batch_tokens // max(width, own) - rows))
            rows, left, width = rows + taken, left - taken, max(width, own) if taken else width
            if left:
                filled.append(Batches(devices, rows, width))
        room = max(1.0, batch_tokens // own)
        if left:
            whole, rows = divmod(left, room)
            filled += [Batches(whole * devices, room, own)] if whole else []
            width = own
    return [*filled, *([Batches(devices, rows, width)] if rows else [])]


def rewards(name: str, setting: Setting, reward: Reward, groups: float, each: int, answer: float) -> Work:
    """Return scoring `each` answers of a mean length to each of `groups` prompts."""
    rest = answer + reward.prompt.behind
    rows = max(1.0, reward.batch_tokens // rest)
    batch = memory.Batch(min(rows, each), rest, reward.scored)
    return forward(
        name,
        setting.shape,
        Sequences(groups, reward.prompt.before),
        Sequences(groups * (each + reward.others), rest, before=reward.prompt.before, scored=reward.scored),
        passes=groups * (1 + math.ceil((each + reward.others) / rows)),
        precision=reward.precision,
        memory=memory.scoring(setting.shape, batch, reward.prompt.before, reward.precision),
    )


def reinforcement(
    name: str, setting: Setting, trainer: Trainer, asked: Asked, reward: Reward, batch_tokens: int
) -> list[Work]:
    """Return training by GRPO (Shao et al. 2024): in each step prompts are read, answered, rewarded, learned from.

    Args:
        name: of the work.
        setting: where.
        trainer: the trainer's arguments.
        asked: the training prompts.
        reward: how answers are rewarded.
        batch_tokens: most tokens of a batch of rollouts.
    """
    shape, group = setting.shape, trainer.generations
    steps = trainer.steps(asked.count)
    seen = steps * trainer.prompts_a_step
    batches = _rollout_batches(trainer, asked, batch_tokens, steps)
    update = _update(f"{name}: update", setting, trainer, asked, seen)
    drawing = memory.decoding(shape, memory.Batch(batches.rows, asked.width, 1), setting.precision)
    held = (
        max(drawing + memory.merged_copy(shape, setting.precision), update.memory)
        + shape.adapter(trainer.rank) * memory.ADAPTER_BYTES
    )
    held += memory.weights(shape, reward.precision) if reward.beside else 0.0
    works = [
        _reading(f"{name}: prompts", setting, replace(asked, count=seen), held),
        _writing(f"{name}: rollouts", setting, batches, asked.written, asked.limit, held, group),
        rewards(f"{name}: rewards", setting, reward, seen, group, asked.written),
        update,
    ]
    return begun(works, shape, models=2 if reward.own else 1)


def _rollout_batches(trainer: Trainer, asked: Asked, batch_tokens: int, steps: int) -> Batches:
    """Return the batches of all steps; a batch holds whole groups of one device's share of a step."""
    group, share = trainer.generations, trainer.prompts_a_step * trainer.generations / trainer.devices
    most = max(float(group), batch_tokens // asked.width // group * group)
    a_step = math.ceil(share / most)
    rows = share / a_step
    width = expected_longest(asked.prompts, max(1, round(rows / group))) + asked.limit
    return Batches(a_step * steps * trainer.devices, rows, width)


def _reading(name: str, setting: Setting, asked: Asked, held: float) -> Work:
    """Return encoding every prompt by itself, the vocabulary projected behind its last token."""
    read = Sequences(asked.count, fmean(asked.prompts), scored=1)
    return forward(name, setting.shape, read, passes=asked.count, precision=setting.precision, memory=held)


def _writing(name: str, setting: Setting, batches: Batches, tokens: float, limit: int, held: float, group: int) -> Work:
    """Return decoding batches up to the limit; on a processor the answers to a prompt read its cache together."""
    return decode(
        name,
        setting.shape,
        rows=batches.count * batches.rows,
        context=batches.width - limit,
        tokens=tokens,
        steps=limit,
        batches=batches.count,
        together=min(group, batches.rows) if setting.hardware.processor else 1,
        precision=setting.precision,
        memory=held,
    )


def _update(name: str, setting: Setting, trainer: Trainer, asked: Asked, seen: float) -> Work:
    """Return the passes of the update.

    On a processor a prompt is run once for all of a batch's answers to it; elsewhere once for each, and what a step
    drew is padded to its longest prompt and answer. One batch is tried beforehand.
    """
    seen += trainer.rows / trainer.generations
    group, written = trainer.generations, asked.written
    together = min(trainer.rows, group)
    if setting.hardware.processor:
        prompt = fmean(asked.prompts)
        behind = Sequences(seen * group, written, before=prompt, scored=written)
        parts, passes = [Sequences(seen * group / together, prompt), behind], 2 * seen * group / together
    else:
        width = expected_longest(asked.prompts, trainer.prompts_a_step) + asked.limit
        parts, passes = [Sequences(seen * group, width, scored=asked.limit)], seen * group / trainer.rows
    batch = memory.Batch(trainer.rows, asked.width, asked.limit)
    if setting.hardware.processor:
        batch = memory.Batch(1, max(asked.prompts) + trainer.rows * asked.limit, trainer.rows * asked.limit)
    held = memory.training(
        setting.shape,
        batch,
        setting.precision,
        rank=trainer.rank,
        checkpointing=trainer.checkpointing,
        keeps_attention=False,
    )
    return train(
        name,
        setting.shape,
        *parts,
        passes=passes,
        rank=trainer.rank,
        checkpointing=trainer.checkpointing,
        precision=setting.precision,
        memory=held,
    )
