"""What asking would take, before anything is asked."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.spending import Prices
from scoring.judge.asking import Asking
from scoring.judge.judges import Judge
from scoring.judge.rubric import Question

BYTES_PER_TOKEN = 4.0
"""UTF-8; about right for English, and for Chinese and Japanese somewhat above what tokenizers of today need."""
MEASURED_PROMPTS = 200
"""Prompts whose length is looked at; the others are taken to be like them."""


@dataclass(frozen=True)
class Estimate:
    """What is left to ask of one judge."""

    judge: str
    questions: int
    to_ask: int
    """Questions that have no verdict yet and a try left."""
    prompt_tokens: float
    """About; repeated questions are not in it."""
    money_at_most: float | None
    """If each answer took all the room that it has; None without prices."""


def estimate(asking: Asking, prices: Mapping[str, Prices | None]) -> list[Estimate]:
    """Return what is left to ask of each judge; nothing is sent."""
    return [_estimate(asking, judge, prices[judge.name]) for judge in asking.judges]


def _estimate(asking: Asking, judge: Judge, prices: Prices | None) -> Estimate:
    left = asking.left(judge)
    tokens = _mean_tokens(left[:: max(1, len(left) // MEASURED_PROMPTS)]) * len(left)
    money = None if prices is None else prices.money(round(tokens), judge.max_tokens * len(left))
    return Estimate(judge.name, len(asking.questions), len(left), tokens, money)


def _mean_tokens(questions: list[Question]) -> float:
    if not questions:
        return 0.0
    sizes = [sum(len(m.content.encode()) for m in question.prompt().messages) for question in questions]
    return sum(sizes) / len(sizes) / BYTES_PER_TOKEN
