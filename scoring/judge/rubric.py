"""What judges are asked: versioned texts with slots, and the prompts that are made from them.

Every judged text stands between marks that carry a code of its question. The code is a hash of what is asked, so it
is the same whenever the question is, and no text can hold it: one that did would get another.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from benchmark.prompts import Message, Prompt, sample_slots
from benchmark.run_store import content_key
from benchmark.sample import Sample
from scoring.judge.verdict import Order, Verdict, read_points, read_preference

Metric = Literal["win_rate", "point_score"]
METRICS: tuple[Metric, ...] = get_args(Metric)
ORDERS: Mapping[Metric, tuple[Order, ...]] = {
    "win_rate": ("response_first", "golden_first"),
    "point_score": ("alone",),
}
"""The ways in which each metric shows a response; its value is the mean over them."""
CODE_LENGTH = 16
"""Hexadecimal digits."""

_FOLDER = Path(__file__).parent / "rubrics"
_SLOT = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Rubric:
    """The text of one metric's questions."""

    metric: Metric
    version: int
    system: str
    user: str
    again: str
    """What is said to a judge whose verdict could not be read."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a judge's answer depends on: metric, version, and a hash of the texts."""
        texts = content_key([self.system, self.user, self.again])
        return {"metric": self.metric, "version": self.version, "hash": texts}


@cache
def bundled_rubric(metric: Metric) -> Rubric:
    """Return the project's rubric of a metric."""
    content = yaml.safe_load((_FOLDER / f"{metric}.yaml").read_text(encoding="utf-8"))
    return Rubric(metric, **content)


@dataclass(frozen=True)
class Question:
    """One response of one sample under one rubric, in one order."""

    rubric: Rubric
    sample: Sample
    response: str
    order: Order
    key: str
    """A hash of all of these. The method is no part of it: equal responses are judged once."""

    def prompt(self) -> Prompt:
        """Return what the judge is asked first."""
        slots = self._slots
        system, user = (fill(text, slots) for text in (self.rubric.system, self.rubric.user))
        return Prompt((Message("system", system.strip()), Message("user", user.rstrip())))

    def prompt_again(self, answer: str, fault: str) -> Prompt:
        """Return the same with the judge's unreadable answer and what was wrong with it."""
        again = fill(self.rubric.again, {"code": self.code, "fault": fault}).rstrip()
        return Prompt((*self.prompt().messages, Message("assistant", answer), Message("user", again)))

    def read(self, answer: str) -> Verdict:
        """Return the verdict on the response; UnreadableVerdict when the answer has none."""
        if self.rubric.metric == "win_rate":
            return read_preference(answer, self.code, self.order)
        return read_points(answer, self.code)

    @property
    def code(self) -> str:
        """The code of the question: no text in it holds it."""
        texts = "\n".join([*sample_slots(self.sample).values(), self.response])
        codes = (content_key([self.key, number])[:CODE_LENGTH] for number in count())
        return next(code for code in codes if code not in texts)

    @property
    def _slots(self) -> dict[str, str]:
        slots = {**sample_slots(self.sample), "code": self.code}
        golden = slots.pop("golden_response")
        if self.order == "alone":
            return {**slots, "answer": self.response}
        first, second = (self.response, golden) if self.order == "response_first" else (golden, self.response)
        return {**slots, "answer_a": first, "answer_b": second}


def ask_about(rubric: Rubric, sample: Sample, sample_hash: str, response: str, order: Order) -> Question:
    """Return a question; `sample_hash` is the sample's content hash, which takes long enough to be computed once."""
    return Question(rubric, sample, response, order, content_key([rubric.identity, sample_hash, response, order]))


def fill(text: str, slots: Mapping[str, str]) -> str:
    """Return the text with each slot `{name}` replaced once; what is put in is never looked at again.

    Raises:
        KeyError: a slot has no value.
    """
    return _SLOT.sub(lambda match: slots[match[1]], text)
