"""What a teacher at an endpoint is asked for, and how many dialogues there are to learn from beside the samples.

A teacher's price is its provider's, so its requests and tokens are told and stand in no total.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.loading import BUNDLED
from recipes.cost.lengths import Lengths
from recipes.cost.population import Population

if TYPE_CHECKING:
    from rpm_methods.method import MethodConfig

DIALOGUES_A_SAMPLE = 3
RECORDED = "augmented.jsonl"
TOPICS, DIALOGUE, TRACE = "augmentation_topics", "augmentation_dialogue", "reasoning_with_reference"
TOPIC_TOKENS = 60.0
"""Of each possible course of a conversation; assumed."""


@dataclass(frozen=True)
class Asking:
    """Requests to a teacher's endpoint, each answered once."""

    requests: int
    tokens_read: float
    """Of all prompts."""
    tokens_written: float


def dialogue_count(config: "MethodConfig", train: Population) -> int:
    """Return the dialogues that a teacher made or makes from the training samples; 0 for other methods."""
    settings: Any = config
    teacher = getattr(settings, "teacher", None)
    if not hasattr(settings, "dialogues"):
        return 0
    if teacher is not None:
        return DIALOGUES_A_SAMPLE * min(teacher.samples or train.size, train.size)
    source = settings.dialogues
    path = BUNDLED["mini"] / RECORDED if source == "mini" else Path(source)
    lines = sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    return round(lines * train.share)


def asked_of_teacher(config: "MethodConfig", count: int, lengths: Lengths, train: Population) -> Asking | None:
    """Return what a teacher is asked for by a method's or an estimator's settings; None where there is no teacher.

    Args:
        config: the settings.
        count: samples that need a trace.
        lengths: how long texts are.
        train: the training samples.
    """
    settings: Any = config
    if getattr(settings, "teacher", None) is None:
        return None
    if not hasattr(settings, "dialogues"):
        return Asking(count, count * lengths.prompt(TRACE, train), count * lengths.traces.whole)
    samples = min(settings.teacher.samples or train.size, train.size)
    dialogues = DIALOGUES_A_SAMPLE * samples
    read = samples * lengths.prompt(TOPICS, train) + dialogues * (lengths.prompt(DIALOGUE, train) + TOPIC_TOKENS)
    dialogue = lengths.prompt("response_blanked", train) + lengths.golden(train)
    return Asking(samples + dialogues, read, dialogues * (TOPIC_TOKENS + dialogue))
