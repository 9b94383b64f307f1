"""What judges answered, kept word for word in a file the moment it comes, so that nothing is asked twice.

Verdicts are read from it anew each time. An unreadable answer is kept too: it was paid for, and says that asking the
same again would not help.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.endpoint_replies import Completion
from benchmark.run_store import append_jsonl, content_key, read_appended_jsonl
from scoring.judge.judges import Judge
from scoring.judge.rubric import Question
from scoring.judge.verdict import UnreadableVerdict, Verdict

CUT = "length"


@dataclass(frozen=True)
class KeptAnswer:
    """A line of the file."""

    key: str
    """Of judge and question."""
    judge: str
    metric: str
    sample_id: str
    order: str
    max_tokens: int
    """The limit that the answer was asked for under."""
    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    """As the judge's server counts them; None where it does not."""
    completion_tokens: int | None

    def verdict(self, question: Question) -> Verdict:
        """Return what it says; UnreadableVerdict when it says nothing, as one that was cut."""
        if self.finish_reason == CUT:
            raise UnreadableVerdict(f"the answer was cut at {self.max_tokens} tokens")
        return question.read(self.text)


class AnswerFile:
    """All answers of a run directory, in the order in which they came."""

    def __init__(self, path: Path) -> None:
        """Read what is there; RunFailure when a line is damaged."""
        self.path = path
        self._by_key: defaultdict[str, list[KeptAnswer]] = defaultdict(list)
        for row in read_appended_jsonl(path):
            answer = KeptAnswer(**row)
            self._by_key[answer.key].append(answer)

    def __iter__(self) -> Iterator[KeptAnswer]:
        """Yield all answers, those of other settings too."""
        for answers in self._by_key.values():
            yield from answers

    def with_repairs(self) -> Iterator[tuple[KeptAnswer, bool]]:
        """Yield all answers, and whether each was asked for because one before it could not be read."""
        for answers in self._by_key.values():
            for place, answer in enumerate(answers):
                yield answer, any(_stands(before, answer.max_tokens) for before in answers[:place])

    def add(self, judge: Judge, question: Question, completion: Completion) -> KeptAnswer:
        """Keep an answer; RunFailure when the disk is full."""
        answer = KeptAnswer(
            key=answer_key(judge, question),
            judge=judge.name,
            metric=question.rubric.metric,
            sample_id=question.sample.sample_id,
            order=question.order,
            max_tokens=judge.max_tokens,
            text=completion.text,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
        append_jsonl(self.path, asdict(answer))
        self._by_key[answer.key].append(answer)
        return answer

    def of(self, judge: Judge, question: Question) -> list[KeptAnswer]:
        """Return a judge's answers to a question; those cut by a lower limit than today's do not count."""
        kept = self._by_key.get(answer_key(judge, question), [])
        return [answer for answer in kept if _stands(answer, judge.max_tokens)]


def _stands(answer: KeptAnswer, max_tokens: int) -> bool:
    """Return False for an answer that a longer limit may mend."""
    return answer.finish_reason != CUT or answer.max_tokens >= max_tokens


def answer_key(judge: Judge, question: Question) -> str:
    """Hash what an answer depends on: the judge's identity, the rubric, the sample, the response and the order."""
    return content_key([judge.identity, question.key])
