"""Every answer that came, faulty ones too, in a JSON-lines file a step: nothing that was paid for is asked for again.

An answer stands for a request: it is used as long as what is sent for the item stays the same. A longer limit changes
no good answer; an answer that was cut by a shorter limit is asked for again.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.endpoint_replies import Completion
from benchmark.run_store import append_jsonl, content_key, read_appended_jsonl

FOLDER = "answers"


@dataclass(frozen=True)
class KeptAnswer:
    """One answer of the model."""

    item: str
    request: str
    """Hash of what was sent for the item first; the same for its repair."""
    attempt: int
    """1, or 2 for a repair."""
    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    max_tokens: int


class AnswerStore:
    """The answers of all steps of a build."""

    def __init__(self, folder: Path) -> None:
        """Read what earlier runs left in `folder/answers`.

        Raises:
            RunFailure: a file is damaged.
        """
        self._folder = folder / FOLDER
        self._answers: dict[tuple[str, str, str, int], KeptAnswer] = {}
        self.earlier: list[tuple[str, KeptAnswer]] = []
        """(step, answer) of all that earlier runs got."""
        for path in sorted(self._folder.glob("*.jsonl")):
            for row in read_appended_jsonl(path):
                answer = KeptAnswer(**row)
                self.earlier.append((path.stem, answer))
                self._put(path.stem, answer)

    def find(self, step: str, item: str, request: str, attempt: int) -> KeptAnswer | None:
        """Return the answer to a request, None where there is none."""
        return self._answers.get((step, item, request, attempt))

    def keep(self, step: str, answer: KeptAnswer) -> None:
        """Store an answer, on disk before anything is made of it."""
        append_jsonl(self._folder / f"{step}.jsonl", asdict(answer))
        self._put(step, answer)

    def _put(self, step: str, answer: KeptAnswer) -> None:
        self._answers[step, answer.item, answer.request, answer.attempt] = answer


def request_key(item: str, body: dict[str, Any]) -> str:
    """Return what identifies a request: the item and all that is sent, but for the length limit."""
    return content_key([item, {key: value for key, value in body.items() if key != "max_tokens"}])


def kept(item: str, request: str, attempt: int, completion: Completion, text: str, max_tokens: int) -> KeptAnswer:
    """Return a completion as it is kept, with the text to keep of it."""
    return KeptAnswer(
        item=item,
        request=request,
        attempt=attempt,
        text=text,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        max_tokens=max_tokens,
    )
