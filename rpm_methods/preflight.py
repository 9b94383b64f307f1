"""What is checked and written down before the first training step, as `preflight.json` beside the policy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import torch

from benchmark.errors import Mistake, RunFailure, UserMistakes
from rpm_methods.processes import count
from rpm_methods.training_rows import IGNORED, PromptRow, TrainingRow
from scoring.models.chat import ChatTokenizer
from scoring.models.out_of_memory import out_of_memory_names

FILE = "preflight.json"
SHOWN_TOKENS = 60
"""Tokens at the end of a prompt that the example shows."""
PROBE_TOKENS = 16
MEMORY_SETTINGS = (
    "per_device_train_batch_size (and raise gradient_accumulation_steps as much), or set gradient_checkpointing: true "
    "(config.training)"
)
"""What to do where training takes too much memory."""
COUNTED = ("_total_train_tokens", "entropy_coef", "_last_world_entropy", "_entropy_window_stats")
"""What TRL's trainers count beside their metrics while they compute a loss."""


@dataclass(frozen=True)
class LongestBatch:
    """The batch that needs the most memory, run forward and backward before all others."""

    rows: int
    tokens: int
    """Of its longest row, prompt and answer."""
    seconds: float


@dataclass
class Preflight:
    """What training is about to see. Nothing of it is cut: rows that do not fit stop the run."""

    rows: int
    longest_tokens: int
    median_tokens: float
    context_length: int
    end_token: str
    pad_token: str
    ends_supervised: int | None
    """Rows whose last supervised token ends the turn; None where no answers are given (rollouts)."""
    example: dict[str, str]
    """One row decoded: the end of its prompt and, if there is one, its supervised text."""
    start_adapters: list[str] = field(default_factory=list)
    reference: str = ""
    """What the reference model is, for methods that have one."""
    trainable_parameters: int = 0
    longest_batch: LongestBatch | None = None
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return what the file holds."""
        return asdict(self)


def check_rows(rows: Sequence[TrainingRow], chat: ChatTokenizer, context_length: int) -> Preflight:
    """Look at supervised rows; refuse those that a trainer would cut or that would teach the model not to stop.

    Raises:
        UserMistakes: there are no rows, or some are longer than the context (all of them are listed).
        RunFailure: a row does not end its turn, or the end is the padding token.
    """
    lengths = [len(row.input_ids) for row in rows]
    _check_lengths([(row.sample_id, row.input_ids) for row in rows], 0, chat, context_length)
    unended = [row.sample_id for row in rows if row.labels[-1] != chat.end_of_turn_id]
    if unended or chat.pad_id == chat.end_of_turn_id:
        raise RunFailure(f"the end of the turn must be supervised and differ from padding: {unended}")
    first = rows[0]
    answer = [token for token in first.labels if token != IGNORED]
    prompt = first.input_ids[: len(first.input_ids) - len(answer)]
    example = {**_example(first.sample_id, prompt, chat), "supervised": chat.tokenizer.decode(answer)}
    return _preflight(lengths, chat, context_length, example, ends_supervised=len(rows))


def check_prompts(
    rows: Sequence[PromptRow], max_new_tokens: int, chat: ChatTokenizer, context_length: int
) -> Preflight:
    """Look at the prompts of rollouts; UserMistakes lists all that leave no room for an answer."""
    lengths = [len(row.prompt_ids) + max_new_tokens for row in rows]
    _check_lengths([(row.sample_id, row.prompt_ids) for row in rows], max_new_tokens, chat, context_length)
    example = _example(rows[0].sample_id, rows[0].prompt_ids, chat)
    return _preflight(lengths, chat, context_length, example, ends_supervised=None)


def _check_lengths(
    rows: Sequence[tuple[str, Sequence[int]]], room: int, chat: ChatTokenizer, context_length: int
) -> None:
    """Raise UserMistakes with all samples whose tokens and the room for an answer exceed the context.

    The beginning of the first of them is shown decoded.
    """
    if not rows:
        raise UserMistakes([Mistake("benchmark", "has no training samples", "train on one with an IDTrain split")])
    what = f"prompt and {room} tokens of answer have" if room else "prompt and answer have"
    long = [(name, ids) for name, ids in rows if len(ids) + room > context_length]
    mistakes = [Mistake(name, f"{what} {len(ids) + room} tokens, and {context_length} fit") for name, ids in long]
    if mistakes:
        begins = chat.tokenizer.decode(list(long[0][1][:SHOWN_TOKENS]))
        mistakes[0] = replace(mistakes[0], remedy=f"it begins {begins!r}")
        raise UserMistakes(mistakes)


def _example(sample_id: str, prompt: Sequence[int], chat: ChatTokenizer) -> dict[str, str]:
    """Return the end of a prompt decoded with its special tokens, as the model sees it."""
    return {"sample_id": sample_id, "prompt_end": chat.tokenizer.decode(list(prompt[-SHOWN_TOKENS:]))}


def _preflight(
    lengths: Sequence[int],
    chat: ChatTokenizer,
    context_length: int,
    example: dict[str, str],
    *,
    ends_supervised: int | None,
) -> Preflight:
    end, pad = chat.spelled([chat.end_of_turn_id, chat.pad_id])
    return Preflight(
        rows=len(lengths),
        longest_tokens=max(lengths),
        median_tokens=median(lengths),
        context_length=context_length,
        end_token=end,
        pad_token=pad,
        ends_supervised=ends_supervised,
        example=example,
    )


def note_processes(preflight: Preflight, trainer: Any) -> None:  # noqa: ANN401 - a TRL trainer
    """Note what a step takes where several processes train together, and what accelerate does to make them even."""
    processes = count()
    if processes == 1:
        return
    rows, args = len(trainer.train_dataset), trainer.args
    batch = args.per_device_train_batch_size * processes
    step = batch * args.gradient_accumulation_steps
    preflight.notes.append(f"{processes} processes train together: a step takes {step} rows")
    if preflight.ends_supervised is not None and (left := rows % batch):
        preflight.notes.append(
            f"{rows} rows are {left} more than whole batches of {batch}: the last batch of an epoch is filled up with "
            "rows from its beginning"
        )


class ReferenceCheck:
    """Tells whether the model under a new adapter is still the one that training was to start from.

    Some ways of initialising an adapter change the weights below it. Then switching the adapter off, which is how
    TRL gets its reference model, gives another model than the parent.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a transformers model
        """Run a short probe through the model before the adapter is put on."""
        self.before = _probe(model)

    def confirm(self, model: Any) -> None:  # noqa: ANN401 - a PEFT model
        """Compare; RunFailure when the model without its adapter answers the probe otherwise."""
        with model.disable_adapter():
            after = _probe(model)
        if not torch.equal(self.before, after):
            raise RunFailure(
                "the new adapter changes the model below it, so the reference model would not be the one that training "
                "starts from; choose another init_lora_weights (config.lora)"
            )


def _probe(model: Any) -> torch.Tensor:  # noqa: ANN401
    training = model.training
    model.eval()
    with torch.no_grad():
        ids = torch.arange(PROBE_TOKENS, device=model.device)[None]
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    model.train(training)
    return logits.cpu()


def run_longest_batch(trainer: Any, inputs: Mapping[str, Any], rows: int, tokens: int) -> LongestBatch:  # noqa: ANN401
    """Run one batch forward and backward, so that too little memory shows now and not hours later.

    Neither gradients nor random numbers nor what the trainer counts are left changed.

    Raises:
        RunFailure: it does not fit into the device's memory.
    """
    start = time.perf_counter()
    counted = {name: getattr(trainer, name) for name in COUNTED if hasattr(trainer, name)}
    if trainer.args.gradient_checkpointing:  # transformers switches it on only when training begins
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    tried = f"trying the longest batch, {rows} rows of up to {tokens} tokens"
    with out_of_memory_names(MEMORY_SETTINGS, doing=tried), torch.random.fork_rng():
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, dict(inputs))
        loss.backward()
    trainer.model.zero_grad(set_to_none=True)
    for metrics in getattr(trainer, "_metrics", {}).values():
        metrics.clear()
    for name, value in counted.items():
        setattr(trainer, name, value)
    return LongestBatch(rows, tokens, round(time.perf_counter() - start, 3))


LongestInputs = Callable[[Any], tuple[Mapping[str, Any], int, int]]
"""Trainer -> inputs of its longest batch, rows in it, tokens of its longest row."""


def longest_collated(lengths: Sequence[int]) -> LongestInputs:
    """Return a way of collating the longest rows of a trainer's data set, whose rows have these lengths."""

    def collate(trainer: Any) -> tuple[Mapping[str, Any], int, int]:  # noqa: ANN401
        size = min(len(lengths), trainer.args.per_device_train_batch_size)
        longest = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))[:size]
        batch = trainer.data_collator([trainer.train_dataset[i] for i in longest])
        return trainer._prepare_inputs(batch), size, lengths[longest[0]]

    return collate
