"""Rows of token ids for supervised training, with the loss on the answer alone, checked before training starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from scoring.models.chat import ChatTokenizer

IGNORED = -100
"""Label of a token that bears no loss."""


@dataclass(frozen=True)
class TrainingRow:
    """One sequence: the prompt's tokens, then the supervised answer's, the last of which ends the turn."""

    sample_id: str
    input_ids: list[int]
    labels: list[int]


def training_rows(
    samples: Sequence[Sample], renderer: PromptRenderer, template: str, chat: ChatTokenizer
) -> list[TrainingRow]:
    """Render and tokenise samples exactly as generation does, with the golden response as the answer."""
    rows = []
    for sample in samples:
        prompt = chat.encode_prompt(renderer.render(template, sample))
        answer = [*chat.encode_text(renderer.answer(template, sample.golden_response)), chat.end_of_turn_id]
        rows.append(TrainingRow(sample.sample_id, prompt + answer, [IGNORED] * len(prompt) + answer))
    return rows


def check_rows(rows: Sequence[TrainingRow], chat: ChatTokenizer, max_length: int) -> None:
    """Refuse rows that a trainer would cut or that would teach the model not to stop.

    Raises:
        UserMistakes: there are no rows, or some are longer than `max_length` tokens (all of them are listed).
    """
    if not rows:
        raise UserMistakes([Mistake("benchmark", "has no training samples", "train on one with an IDTrain split")])
    mistakes = [
        Mistake(row.sample_id, f"prompt and answer have {len(row.input_ids)} tokens, and {max_length} fit")
        for row in rows
        if len(row.input_ids) > max_length
    ]
    if mistakes:
        raise UserMistakes(mistakes)
    unended = [row.sample_id for row in rows if row.labels[-1] != chat.end_of_turn_id]
    if unended or chat.pad_id == chat.end_of_turn_id:
        raise AssertionError(f"the end of the turn must be supervised and differ from padding: {unended}")
