"""Asks the model for the items of a step: each once, a faulty answer once more, and then the item is set aside.

What is kept decides what is asked: after a kill at any moment the same questions lead to the same requests, less those
whose answers are kept. Items that the endpoint left unanswered are set aside for this run alone.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Generic

from benchmark.construction.answer_store import AnswerStore, KeptAnswer, kept, request_key
from benchmark.construction.answers import AnswerT, FaultyAnswer, read_answer, response_format
from benchmark.construction.pace import RequestPace
from benchmark.construction.prompts import ConstructionPrompts
from benchmark.construction.settings import WriterSettings
from benchmark.endpoint import Endpoint
from benchmark.endpoint_replies import Completion, struck_out
from benchmark.errors import RunFailure
from benchmark.progress import Advance, Progress, SilentProgress
from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from benchmark.spending import Ledger, Spent

FIRST, REPAIR = 1, 2
CHUNK = 16
"""Items for each parallel request that are asked for before the faulty ones among them are repaired."""


@dataclass(frozen=True)
class Step(Generic[AnswerT]):
    """One kind of question."""

    name: str
    title: str
    """What is made, as progress shows it."""
    answer: type[AnswerT]


def nothing_wrong(answer: object) -> str | None:
    """Find no fault in any answer."""
    return None


@dataclass(frozen=True)
class Question(Generic[AnswerT]):
    """A prompt, and what its answer has to meet beyond the schema."""

    prompt: Prompt
    check: Callable[[AnswerT], str | None] = nothing_wrong
    """Returns what is wrong with an answer, None if it can be used."""


@dataclass(frozen=True)
class SetAside:
    """Something that is not in the benchmark, and why."""

    step: str
    item: str
    reason: str
    answer: str | None = None
    """The last faulty answer; None where there is none."""


@dataclass
class Asker:
    """A model at an endpoint with all that surrounds it: what is kept, what is spent, what is set aside."""

    settings: WriterSettings
    prompts: ConstructionPrompts
    store: AnswerStore
    ledger: Ledger
    pace: RequestPace
    seed: int
    give_up_after: int
    """Items set aside one after another before the build stops."""
    sleep: Callable[[float], object] | None = None
    """What waits between attempts; see `Endpoint`."""
    progress: Progress = field(default_factory=SilentProgress)
    aside: dict[tuple[str, str], SetAside] = field(default_factory=dict)
    """(step, item) -> what is set aside, of all that was asked for in this run."""
    misses: Counter[str] = field(default_factory=Counter)
    """Step -> items that this run has set aside since the last that it got."""

    def ask(self, step: Step[AnswerT], questions: Mapping[str, Question[AnswerT]]) -> dict[str, AnswerT]:
        """Return the answers by item, in the order of the questions; items set aside are left out.

        Raises:
            RunFailure: the endpoint refuses all requests or is down, a limit is reached, or item after item is set
                aside. What came before is kept.
        """
        if not questions:
            return {}
        good: dict[str, AnswerT] = {}
        items = list(questions)
        size = CHUNK * self.settings.parallel
        with self.progress.task(step.title, len(items)) as advance:
            for start in range(0, len(items), size):
                asking = _Asking(self, step, {item: questions[item] for item in items[start : start + size]}, advance)
                for attempt in (FIRST, REPAIR):
                    asking.attempt(attempt)
                good |= asking.good
        return {item: good[item] for item in items if item in good}

    def set_aside(self, step: str, item: str, reason: str, answer: str | None = None) -> None:
        """Note something that is not in the benchmark."""
        self.aside[step, item] = SetAside(step, item, reason, answer)


class _Asking(Generic[AnswerT]):
    """Some of the questions of one call."""

    def __init__(
        self, asker: Asker, step: Step[AnswerT], questions: Mapping[str, Question[AnswerT]], advance: Advance
    ) -> None:
        self.asker, self.step, self.questions, self._advance = asker, step, questions, advance
        self.good: dict[str, AnswerT] = {}
        self._faulty: dict[str, tuple[str, str]] = {}
        """Item -> the first answer and its fault."""
        self._settings = _with_schema(asker.settings, step)
        self._body = Endpoint(self._settings).body
        self._keys = {item: request_key(item, self._body(q.prompt)) for item, q in questions.items()}

    def attempt(self, attempt: int) -> None:
        """Judge the answers of one attempt, kept ones first, and ask for those that are not there."""
        items = list(self.questions) if attempt == FIRST else list(self._faulty)
        missing: dict[str, Prompt] = {}
        for item in items:
            answer = self.asker.store.find(self.step.name, item, self._keys[item], attempt)
            if answer is None or not self._judge(answer):
                missing[item] = self._prompt(item, attempt)
        for item, result in self._send(missing) if missing else ():
            if isinstance(result, Completion):
                answer = self._keep(item, attempt, result)
                self._judge(answer)
            else:
                self._drop(item, result)
            self._stop_where_nothing_works(item)

    def _prompt(self, item: str, attempt: int) -> Prompt:
        prompt = self.questions[item].prompt
        return prompt if attempt == FIRST else self.asker.prompts.repair(prompt, *self._faulty[item])

    def _judge(self, answer: KeptAnswer) -> bool:
        """Take an answer as good, faulty or, the second time, as the reason to set its item aside.

        Returns False for a kept answer that a longer limit may mend.
        """
        item = answer.item
        try:
            value = read_answer(answer.text, self.step.answer)
            fault = self.questions[item].check(value)
        except FaultyAnswer as error:
            fault = str(error)
        if fault is None:
            self.good[item] = value
            self._advance()
            return True
        cut = answer.finish_reason == "length"
        if cut and answer.max_tokens < self._settings.max_tokens:
            return False
        fault += f" (the answer was cut after {answer.max_tokens} tokens)" if cut else ""
        if answer.attempt == FIRST:
            self._faulty[item] = answer.text, fault
        else:
            self._drop(item, fault, answer.text)
        return True

    def _drop(self, item: str, reason: str, answer: str | None = None) -> None:
        self.asker.set_aside(self.step.name, item, reason, answer)
        self._advance()

    def _send(self, prompts: Mapping[str, Prompt]) -> Iterator[tuple[str, Completion | str]]:
        """Yield (item, answer or the reason why there is none) as they come."""
        ledger, step, items = self.asker.ledger, self.step.name, list(prompts)

        def gate(place: int, most: Spent) -> None:
            ledger.hold(step, place, most)
            self.asker.pace.wait()

        endpoint = Endpoint(self._settings, sleep=self.asker.sleep, gate=gate)
        seed = derive_seed(self.asker.seed, "construction", step)
        try:
            with closing(endpoint.ask(list(prompts.values()), seed=seed)) as outcomes:
                for outcome in outcomes:
                    yield items[outcome.index], outcome.completion or str(outcome.problem)
                    ledger.release(step, outcome.index)  # now that its cost is counted
        finally:
            ledger.release_all(step)

    def _keep(self, item: str, attempt: int, completion: Completion) -> KeptAnswer:
        """Store an answer and count it. Should it repeat the key, that is struck out."""
        text = struck_out(completion.text, os.environ.get(self._settings.api_key_variable, "").strip() or None)
        answer = kept(item, self._keys[item], attempt, completion, text, self._settings.max_tokens)
        self.asker.store.keep(self.step.name, answer)
        self.asker.ledger.count(
            self.step.name,
            repair=attempt == REPAIR,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
        return answer

    def _stop_where_nothing_works(self, item: str) -> None:
        """Count how many items in a row came to nothing; one that is to be repaired is not known yet."""
        dropped = self.asker.aside.get((self.step.name, item))
        if item in self.good:
            self.asker.misses[self.step.name] = 0
        elif dropped is not None:
            self.asker.misses[self.step.name] += 1
            if self.asker.misses[self.step.name] >= self.asker.give_up_after:
                many = (
                    f"{self.asker.give_up_after} items of the step '{self.step.name}' were set aside one after another"
                )
                raise RunFailure(f"{many}, the last because: {dropped.reason}")


def _with_schema(settings: WriterSettings, step: Step[Any]) -> WriterSettings:
    """Return the settings with the step's schema in the request, if the endpoint takes one."""
    if not settings.json_schema:
        return settings
    more = {**settings.extra_body, "response_format": response_format(step.name, step.answer)}
    return settings.model_copy(update={"extra_body": more})
