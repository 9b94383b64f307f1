"""Rows of token ids for supervised training, with the loss on the answer alone, checked before training starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from scoring.models.chat import ChatTokenizer
from scoring.models.generation import Generation

IGNORED = -100
"""Label of a token that bears no loss."""


@dataclass(frozen=True)
class TrainingRow:
    """One sequence: the prompt's tokens, then the supervised answer's, the last of which ends the turn."""

    sample_id: str
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class PromptRow:
    """A prompt that is to be answered by the policy itself."""

    sample_id: str
    prompt_ids: list[int]


@dataclass(frozen=True)
class PreferenceRow:
    """A prompt with the answer that is to be preferred and the one that is not, in tokens."""

    sample_id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def both(self) -> tuple[TrainingRow, TrainingRow]:
        """The two sequences that training sees, for the checks of supervised rows."""
        return self._row(self.chosen_ids), self._row(self.rejected_ids)

    def _row(self, answer: list[int]) -> TrainingRow:
        return TrainingRow(self.sample_id, self.prompt_ids + answer, [IGNORED] * len(self.prompt_ids) + answer)


def training_rows(
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    template: str,
    chat: ChatTokenizer,
    *,
    answers: Sequence[str] | None = None,
    reasonings: Sequence[str] | None = None,
) -> list[TrainingRow]:
    """Render and tokenise samples exactly as generation does; the golden responses are the answers unless given.

    An answer is what stands between the template's answer prefix and its stop string. `reasonings` fill the slot of a
    template that shows the model a reasoning.
    """
    rows = []
    texts = [sample.golden_response for sample in samples] if answers is None else answers
    prompts = _prompts(samples, renderer, template, chat, reasonings)
    for sample, text, prompt in zip(samples, texts, prompts, strict=True):
        answer = _answer(text, renderer, template, chat)
        rows.append(TrainingRow(sample.sample_id, prompt + answer, [IGNORED] * len(prompt) + answer))
    return rows


def prompt_rows(
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    template: str,
    chat: ChatTokenizer,
    *,
    reasonings: Sequence[str] | None = None,
) -> list[PromptRow]:
    """Render and tokenise the prompts alone; `reasonings` as in `training_rows`."""
    prompts = _prompts(samples, renderer, template, chat, reasonings)
    return [PromptRow(sample.sample_id, prompt) for sample, prompt in zip(samples, prompts, strict=True)]


def _prompts(
    samples: Sequence[Sample],
    renderer: PromptRenderer,
    template: str,
    chat: ChatTokenizer,
    reasonings: Sequence[str] | None,
) -> list[list[int]]:
    slots = [{}] * len(samples) if reasonings is None else [{"reasoning": text} for text in reasonings]
    return [
        chat.encode_prompt(renderer.render(template, sample, **extra))
        for sample, extra in zip(samples, slots, strict=True)
    ]


def preference_rows(
    samples: Sequence[Sample],
    rejected: Sequence[Generation],
    renderer: PromptRenderer,
    template: str,
    chat: ChatTokenizer,
) -> list[PreferenceRow]:
    """Return rows that prefer the golden response to a generated answer behind the sample's full prompt.

    Both end their turn. An answer that the length limit cut is given an end too: were it the only one without, what is
    learned would be to end.
    """
    rows = []
    for sample, answer in zip(samples, rejected, strict=True):
        prompt = chat.encode_prompt(renderer.render(template, sample))
        chosen = _answer(sample.golden_response, renderer, template, chat)
        rows.append(
            PreferenceRow(sample.sample_id, prompt, chosen, _answer(answer.text or "", renderer, template, chat))
        )
    return rows


def _answer(text: str, renderer: PromptRenderer, template: str, chat: ChatTokenizer) -> list[int]:
    return chat.encode_answer(renderer.answer(template, text), ended=True)
