"""From verdicts to scores: a value for each response, judge and metric, and the mean over the judges.

A score without a value has a reason instead. It is left out of means and counted; it is never a zero.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from benchmark.sample import Sample
from scoring.judge.rubric import ORDERS, Metric, Question, ask_about, bundled_rubric
from scoring.judge.verdict import Verdict

ENSEMBLE = "ensemble"
"""Name of the mean over all judges, as the paper takes it (section 2.3); no judge can have it."""
NO_RESPONSE = "no response"
ReadVerdict: TypeAlias = Callable[[str, Question], "Verdict | str"]
"""From a judge's name and a question to the verdict, or to the reason why there is none."""


@dataclass(frozen=True)
class Response:
    """What a method answered to a sample."""

    method: str
    """Name of the responses' file."""
    sample: Sample
    text: str | None
    """None where there is none; an empty one is judged like any other."""


@dataclass(frozen=True)
class Score:
    """What a judge, or all of them together, give a response."""

    response: Response
    judge: str
    metric: Metric
    value: float | None
    """WinRate: 0 to 1, the mean over both orders. PointScore: 1 to 10, the mean over the dimensions."""
    reason: str | None
    """Why there is no value: its kind, and behind a colon the details."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """WinRate: the value in each order. PointScore: the points of each dimension. Empty without a value."""

    def row(self) -> dict[str, Any]:
        """Return the score as a row of `scores/judges.json`."""
        return {
            "method": self.response.method,
            "subset": self.response.sample.subset,
            "sample_id": self.response.sample.sample_id,
            "judge": self.judge,
            "metric": self.metric,
            "value": self.value,
            "reason": self.reason,
        }


class Questionnaire:
    """The questions about many responses; equal ones stand once."""

    def __init__(self, responses: Sequence[Response], metrics: Sequence[Metric]) -> None:
        """Make the questions of all responses that are there."""
        self.responses = responses
        self.metrics = metrics
        samples = {response.sample.sample_id: response.sample for response in responses}
        hashes = {sample_id: sample.content_hash for sample_id, sample in samples.items()}
        self._questions: dict[str, Question] = {}
        self._keys: list[dict[Metric, list[str]]] = []
        for response in responses:
            sample_hash = hashes[response.sample.sample_id]
            self._keys.append({metric: self._add(response, sample_hash, metric) for metric in metrics})

    @property
    def questions(self) -> list[Question]:
        """All questions, response by response."""
        return list(self._questions.values())

    def scores(self, judges: Sequence[str], read: ReadVerdict) -> Iterator[Score]:
        """Yield the scores of each response: metric by metric, first the judges', then the ensemble's."""
        for response, keys in zip(self.responses, self._keys, strict=True):
            for metric in self.metrics:
                questions = [self._questions[key] for key in keys[metric]]
                given = [_score(response, judge, metric, questions, read) for judge in judges]
                yield from given
                yield _together(response, metric, given)

    def _add(self, response: Response, sample_hash: str, metric: Metric) -> list[str]:
        if response.text is None:
            return []
        rubric = bundled_rubric(metric)
        orders = ORDERS[metric]
        made = [ask_about(rubric, response.sample, sample_hash, response.text, order) for order in orders]
        self._questions |= {question.key: question for question in made}
        return [question.key for question in made]


def _score(response: Response, judge: str, metric: Metric, questions: Sequence[Question], read: ReadVerdict) -> Score:
    if response.text is None:
        return Score(response, judge, metric, None, NO_RESPONSE)
    parts: dict[str, float] = {}
    values = []
    for question in questions:
        found = read(judge, question)
        if isinstance(found, str):
            return Score(response, judge, metric, None, found)
        values.append(found.value)
        parts |= found.points or {question.order: found.value}
    return Score(response, judge, metric, float(np.mean(values)), None, parts)


def _together(response: Response, metric: Metric, given: Sequence[Score]) -> Score:
    """Return the mean over the judges; none unless all of them gave a value, lest means be of different judges."""
    lacking = [score.judge for score in given if score.value is None]
    if response.text is None:
        return Score(response, ENSEMBLE, metric, None, NO_RESPONSE)
    if lacking:
        return Score(response, ENSEMBLE, metric, None, f"incomplete: no value of {', '.join(lacking)}")
    value = float(np.mean([score.value for score in given]))
    parts = {name: float(np.mean([score.parts[name] for score in given])) for name in given[0].parts}
    return Score(response, ENSEMBLE, metric, value, None, parts)
