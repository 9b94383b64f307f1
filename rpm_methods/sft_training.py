"""Supervised training over prepared rows, by TRL's SFTTrainer: shared by every method that imitates answers."""

from functools import partial

from rpm_methods.adapter_training import check_moved, train_adapter
from rpm_methods.answer_loss import sft_trainer_class
from rpm_methods.arguments import AdapterSettings
from rpm_methods.method import TrainContext
from rpm_methods.preflight import check_rows, longest_collated
from rpm_methods.training_rows import TrainingRow
from scoring.models.causal_lm import context_length, load_chat


def train_on_rows(rows: list[TrainingRow], settings: AdapterSettings, context: TrainContext) -> int:
    """Train an adapter on rows of token ids and return the tokens it was trained on, padding left out.

    Raises:
        UserMistakes: rows that do not fit.
        RunFailure: the loss is NaN, nothing moved, or the disk is full.
    """
    from datasets import Dataset

    chat = load_chat(context.base)
    preflight = check_rows(rows, chat, context_length(context.base))
    columns = {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    make_trainer = partial(_make_trainer, Dataset.from_dict(columns), context.device)
    longest = longest_collated([len(row.input_ids) for row in rows])
    trained = train_adapter(make_trainer, chat, settings, context, preflight, longest)
    check_moved(trained)
    return trained.tokens


def _make_trainer(dataset: object, device: str, *, args: object, **arguments: object) -> object:
    args.max_length, args.dataset_kwargs = None, {"skip_prepare_dataset": True}  # type: ignore[attr-defined]
    return sft_trainer_class(device)(args=args, train_dataset=dataset, **arguments)
