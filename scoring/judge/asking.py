"""Ask judges what they have not answered yet, in rounds: a later round asks again where an answer had no verdict.

Judges at endpoints are asked side by side, those on this machine behind them, one after another. A judge whose endpoint
refuses or is down ends its own part alone.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from benchmark.endpoint import Gate, Outcome
from benchmark.errors import RunFailure
from benchmark.progress import Advance, Progress
from benchmark.prompts import Prompt
from benchmark.spending import Ledger, Limits, Prices, Spent
from scoring.judge.answers import AnswerFile, KeptAnswer
from scoring.judge.judges import Judge, LazyPrompts
from scoring.judge.rubric import Question
from scoring.judge.side_by_side import side_by_side
from scoring.judge.verdict import UnreadableVerdict, Verdict

NOT_ASKED = "not asked"
"""Reason of a question that asking did not get to."""


class _NobodyReads(Exception):
    """The asking has ended, so nothing more is sent."""


@dataclass(frozen=True)
class Round:
    """One pass of a judge: the questions that every answer of the rounds before left open.

    It is a function of the questions and of these answers, so that it is the same when it is resumed.
    """

    judge: Judge
    questions: Sequence[Question]
    before: Sequence[KeptAnswer | None]
    """The answer of the round before to each question; None in the first round."""
    finished: frozenset[int]
    """Places of questions that have been asked in this round."""

    def prompt(self, place: int) -> Prompt:
        """Return the prompt of a question: after an unreadable answer, with it and what is wrong with it."""
        question, before = self.questions[place], self.before[place]
        if before is None:
            return question.prompt()
        found = read(before, question)
        if isinstance(found, Verdict):
            raise ValueError("a question that has its verdict is asked again")
        return question.prompt_again(before.text, found)

    def outcomes(self, seed: int, gate: Gate) -> Generator[Outcome, None, None]:
        """Ask what is left of the round."""
        prompts = LazyPrompts(len(self.questions), self.prompt)
        return self.judge.ask(prompts, finished=self.finished, seed=seed, gate=gate)


@dataclass
class Asking:
    """Questions to all judges, and what came of them."""

    questions: Sequence[Question]
    judges: Sequence[Judge]
    answers: AnswerFile
    tries: int
    """Most answers to a question before it counts as unreadable."""
    ledger: Ledger
    problems: dict[tuple[str, str], str] = field(default_factory=dict)
    """Judge's name and question's key -> why no answer came this time."""
    stopped: dict[str, str] = field(default_factory=dict)
    """Judge's name -> why its part ended before its end; empty where all was asked."""

    def verdict(self, judge: Judge, question: Question) -> Verdict | str:
        """Return a judge's verdict, else the reason why there is none: its kind, and behind a colon the details."""
        found: Verdict | str | None = None
        for answer in self.answers.of(judge, question)[: self.tries]:
            found = read(answer, question)
            if isinstance(found, Verdict):
                return found
        if found is not None:
            return f"unreadable: {found}"
        problem = self.problems.get((judge.name, question.key))
        return NOT_ASKED if problem is None else f"no answer: {problem}"

    def left(self, judge: Judge) -> list[Question]:
        """Return the questions that a judge would be asked next; without those that got no answer this time."""
        return [
            one.questions[place]
            for one in map(self._round, [judge] * self.tries, range(self.tries))
            for place in range(len(one.questions))
            if place not in one.finished and (judge.name, one.questions[place].key) not in self.problems
        ]

    def run(self, *, seed: int, progress: Progress) -> None:
        """Ask what is missing and keep every answer as it comes.

        Raises:
            RunFailure: the disk is full.
        """
        with ExitStack() as tasks:
            advances: dict[str, Advance] = {}
            for judge in self.judges:
                task = progress.task(f"verdicts of {judge.name}", len(self.questions))
                advances[judge.name] = tasks.enter_context(task)
                advances[judge.name](len(self.questions) - len(self.left(judge)))
            for number in range(self.tries):
                rounds = {j.name: self._round(j, number) for j in self.judges if j.name not in self.stopped}
                with closing(self._outcomes(rounds, seed)) as outcomes:
                    for name, outcome in outcomes:
                        if isinstance(outcome, Exception):
                            self._stop(name, outcome)
                        elif outcome.index not in rounds[name].finished and self._take(rounds[name], outcome, number):
                            advances[name]()

    def _round(self, judge: Judge, number: int) -> Round:
        questions: list[Question] = []
        before: list[KeptAnswer | None] = []
        finished: set[int] = set()
        for question in self.questions:
            kept = self.answers.of(judge, question)
            if len(kept) < number or any(isinstance(read(a, question), Verdict) for a in kept[:number]):
                continue
            if len(kept) > number:
                finished.add(len(questions))
            questions.append(question)
            before.append(kept[number - 1] if number else None)
        return Round(judge, questions, before, frozenset(finished))

    def _outcomes(self, rounds: dict[str, Round], seed: int) -> Generator[tuple[str, Outcome | Exception], None, None]:
        """Yield what comes; once the generator is closed, as by an interruption, no request begins any more."""
        closed = threading.Event()

        def source(one: Round) -> Callable[[], Generator[Outcome, None, None]]:
            def gate(place: int, most: Spent) -> None:
                if closed.is_set():
                    raise _NobodyReads
                self.ledger.hold(one.judge.name, place, most)

            return lambda: one.outcomes(seed, gate)

        begun = {name: one for name, one in rounds.items() if len(one.finished) < len(one.questions)}
        remote = {name: source(one) for name, one in begun.items() if one.judge.remote}
        try:
            with closing(side_by_side(remote)) as items:
                yield from items
            for name, one in begun.items():
                if not one.judge.remote:
                    yield from _alone(name, source(one))
        finally:
            closed.set()
            for name in begun:
                self.ledger.release_all(name)

    def _take(self, one: Round, outcome: Outcome, number: int) -> bool:
        """Keep an answer; tell whether its question needs no further one this time."""
        question, judge = one.questions[outcome.index], one.judge.name
        if outcome.completion is None:
            self.problems[judge, question.key] = str(outcome.problem)
            self.ledger.release(judge, outcome.index)
            return True
        answer = self.answers.add(one.judge, question, outcome.completion)
        _count(self.ledger, answer, repair=number > 0)
        self.ledger.release(judge, outcome.index)
        return number + 1 == self.tries or isinstance(read(answer, question), Verdict)

    def _stop(self, name: str, error: Exception) -> None:
        if not isinstance(error, RunFailure):
            raise error
        self.stopped[name] = str(error)


def open_ledger(prices: Mapping[str, Prices | None], limits: Limits, answers: AnswerFile) -> Ledger:
    """Return the accounts of the judges in `prices`, with all their answers that are kept counted."""
    ledger = Ledger(prices, limits)
    for answer, repair in answers.with_repairs():
        if answer.judge in prices:
            _count(ledger, answer, repair=repair)
    return ledger


def _count(ledger: Ledger, answer: KeptAnswer, *, repair: bool) -> None:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    ledger.count(answer.judge, repair=repair, prompt_tokens=prompt, completion_tokens=completion)


def read(answer: KeptAnswer, question: Question) -> Verdict | str:
    """Return the verdict of an answer, else what is wrong with it."""
    try:
        return answer.verdict(question)
    except UnreadableVerdict as error:
        return str(error)


def _alone(
    name: str, source: Callable[[], Generator[Outcome, None, None]]
) -> Iterator[tuple[str, Outcome | Exception]]:
    """Yield the items of one source in this thread, as `side_by_side` does."""
    try:
        with closing(source()) as items:
            for item in items:
                yield name, item
    except RunFailure as error:
        yield name, error
