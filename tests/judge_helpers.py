"""What the tests of judges share: judges behind a real server, which answer by what stands between the marks."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from conftest import make_sample
from endpoint_helpers import Asked, FakeServer, Interrupting, Reply, answer

from benchmark import Sample
from benchmark.seeds import derive_seed
from benchmark.spending import Limits, Prices
from scoring.judge.answers import AnswerFile
from scoring.judge.asking import Asking, open_ledger
from scoring.judge.endpoint_judge import EndpointJudge
from scoring.judge.judges import Judge
from scoring.judge.rubric import METRICS, Metric
from scoring.judge.scores import Questionnaire, Response, Score
from scoring.judge.settings import EndpointJudgeSettings

KEY = "sk-very-secret-0123456789"
POINTS = {"character": 9, "user": 8, "dialogue": 7, "language": 6, "interest": 5}
"""Their mean is 7."""


def code_of(asked: Asked) -> str:
    """Return the code of the question."""
    found = re.search(r"carries the code ([0-9a-f]{16})", asked.body["messages"][0]["content"])
    assert found
    return found[1]


def material(asked: Asked, name: str) -> str | None:
    """Return what stands between the marks of a piece, None where there is no such piece."""
    code = code_of(asked)
    text = asked.body["messages"][1]["content"]
    found = re.search(rf"\[begin {name} {code}\]\n(.*?)\n\[end {name} {code}\]", text, re.DOTALL)
    return found and found[1]


def verdict(asked: Asked, better: str) -> str:
    """Return a verdict on the question in the form asked for; points where it is about one answer."""
    if material(asked, "answer") is not None:
        return json.dumps({"code": code_of(asked), **POINTS})
    return json.dumps({"code": code_of(asked), "better": better})


def prefers(likes: Callable[[str], float]) -> Callable[[Asked], Reply]:
    """Answer as a judge without bias that likes one text more than another."""

    def reply(asked: Asked) -> Reply:
        return answer(f"Some reasons.\n{verdict(asked, choice(asked))}")

    def choice(asked: Asked) -> str:
        first, second = (likes(material(asked, f"answer {place}") or "") for place in "AB")
        return "tie" if first == second else "A" if first > second else "B"

    return reply


def always_first(asked: Asked) -> Reply:
    """Answer as a judge that takes whatever stands first."""
    return answer(verdict(asked, "A"))


def dear(reply: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Answer with the tokens that each request might cost at most: a byte each, and the whole limit."""

    def dearly(asked: Asked) -> Reply:
        size = len(json.dumps(asked.body, ensure_ascii=False).encode())
        usage = {"prompt_tokens": size, "completion_tokens": asked.body["max_tokens"]}
        return Reply(body=json.dumps({**json.loads(reply(asked).body), "usage": usage}))

    return dearly


def samples(number: int) -> list[Sample]:
    """Return samples of two subsets, each with a user and a character of its own."""
    return [
        make_sample(
            f"S-{k}",
            subset=("id", "german")[k % 2],
            user_persona=f"I am user {k}.",
            agent_character=replace(make_sample().agent_character, character_name=f"Hero {k}"),
            last_query=f"Question {k}?",
            golden_response=f"Golden {k}.",
        )
        for k in range(number)
    ]


def responses(chosen: Sequence[Sample], texts: Mapping[str, Callable[[Sample], str | None]]) -> list[Response]:
    """Return the responses of methods, each a function of the sample."""
    return [Response(method, sample, write(sample)) for method, write in texts.items() for sample in chosen]


def settings(server: FakeServer, **changes: object) -> EndpointJudgeSettings:
    """Return the settings of a judge that is quick to give up."""
    values = {"model": "big", "base_url": server.url, "attempts": 2, "parallel": 4, "timeout_seconds": 10, **changes}
    return EndpointJudgeSettings.model_validate(values)


class Bench:
    """Judges asked about responses, with all that is kept in one folder; each `ask` is a program of its own."""

    def __init__(self, folder: Path, given: Sequence[Response], metrics: Sequence[Metric] = METRICS) -> None:
        """Make the questions."""
        self.folder, self.questionnaire = folder, Questionnaire(given, metrics)

    @property
    def path(self) -> Path:
        """The file of answers."""
        return self.folder / "answers.jsonl"

    def ask(
        self,
        *judges: EndpointJudgeSettings | Judge,
        tries: int = 2,
        limits: Limits | None = None,
        prices: Prices | None = None,
        progress: "Interrupting | None" = None,
    ) -> tuple[list[Score], Asking]:
        """Ask, and return the scores with how far it got."""
        made = [EndpointJudge(j, sleep=lambda _: None) if isinstance(j, EndpointJudgeSettings) else j for j in judges]
        answers = AnswerFile(self.path)
        ledger = open_ledger({judge.name: prices for judge in made}, limits or Limits(), answers)
        asking = Asking(self.questionnaire.questions, made, answers, tries, ledger)
        asking.run(seed=derive_seed(1, "judges"), progress=progress or Interrupting(10**9))
        names = {judge.name: judge for judge in made}
        scores = self.questionnaire.scores(list(names), lambda name, q: asking.verdict(names[name], q))
        return list(scores), asking
