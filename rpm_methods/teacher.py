"""A teacher: a large model that writes training data, asked at an endpoint or recorded in a file.

Every answer of use is kept in the run's folder the moment it comes and never asked for again, as long as what is sent
for it stays the same. Samples without one after all attempts are listed together, and the same command asks for
those alone.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field

from benchmark.endpoint import Endpoint, EndpointSettings
from benchmark.endpoint_replies import Completion
from benchmark.errors import RunFailure
from benchmark.progress import Progress, SilentProgress
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.run_lock import only_worker_at
from benchmark.run_store import append_jsonl, content_key, disk_errors, file_hash, read_appended_jsonl
from rpm_methods.method import TrainContext

ANSWERS = "teacher_answers.jsonl"
LOCK = "teacher_answers.lock"
MINI = "mini"

T = TypeVar("T")


class TeacherSettings(EndpointSettings):
    """Which model teaches. The paper's is Qwen3-235B-A22B; it names no sampling settings."""

    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=4096, ge=1)

    def identity(self) -> dict[str, Any]:
        """Return what the answers depend on; a longer limit, another endpoint or more patience changes no good one."""
        patience = {"base_url", "api_key_variable", "max_tokens", "timeout_seconds", "attempts", "parallel", "insecure"}
        return self.model_dump(exclude=patience)


class FaultyAnswer(ValueError):
    """An answer of the teacher that cannot be used; the message says why."""


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What the teacher gave, and for which names it gave nothing of use."""

    given: dict[str, T]
    """Name -> answer, in the order in which they were asked for."""
    failures: dict[str, str]
    """Name -> reason."""


@dataclass(frozen=True)
class Teacher:
    """A model at an endpoint."""

    settings: TeacherSettings
    renderer: PromptRenderer
    folder: Path
    """Where what is made of its answers is left."""
    seed: int
    progress: Progress = field(default_factory=SilentProgress)
    answers_folder: Path | None = None
    """Where its answers are kept; None for `folder`. Several teachers may share one."""
    sleep: Callable[[float], object] | None = None
    """What waits between attempts; see `Endpoint`."""

    def ask(self, title: str, prompts: Mapping[str, Prompt], read: Callable[[str], T]) -> Answers[T]:
        """Ask for what is not there yet, once nobody else does who shares the folder of answers.

        Args:
            title: what is asked for, as progress shows it.
            prompts: name -> prompt; each stands once.
            read: makes the value of an answer's text, or raises FaultyAnswer, whereupon the teacher is asked again.

        Raises:
            RunFailure: the endpoint refuses all requests or is down; it lists the prompts that failed before.
        """
        with self._alone():
            return self._ask(title, prompts, read)

    def _alone(self) -> AbstractContextManager[None]:
        """Wait for other stages of the run that ask: a file that is appended to has one writer at a time."""
        if self.answers_folder is None:
            return nullcontext()
        with disk_errors(self.answers_folder):
            self.answers_folder.mkdir(parents=True, exist_ok=True)
        return only_worker_at(self.answers_folder / LOCK, "the teacher's answers", patience=None)

    def _ask(self, title: str, prompts: Mapping[str, Prompt], read: Callable[[str], T]) -> Answers[T]:
        endpoint = Endpoint(self.settings, sleep=self.sleep)
        keys = {name: self._key(endpoint, name, prompt) for name, prompt in prompts.items()}
        texts = {name: text for name, text in self._kept(keys).items() if _fault(read, text) is None}
        missing = [name for name in prompts if name not in texts]
        failures: dict[str, str] = {}
        with self.progress.task(title, len(prompts)) as advance:
            advance(len(texts))
            outcomes = endpoint.ask([prompts[n] for n in missing], seed=self.seed, check=lambda t: _fault(read, t))
            try:
                with closing(outcomes):
                    for outcome in outcomes:
                        name = missing[outcome.index]
                        if outcome.completion is None:
                            failures[name] = str(outcome.problem)
                        else:
                            self._keep(name, keys[name], outcome.completion)
                            texts[name] = outcome.completion.text
                        advance()
            except RunFailure as error:
                raise RunFailure("\n".join([str(error), *_listed(failures)])) from error
        given = {name: read(texts[name]) for name in prompts if name in texts}
        return Answers(given, {name: failures[name] for name in missing if name in failures})

    def _key(self, endpoint: Endpoint, name: str, prompt: Prompt) -> str:
        """Hash what an answer depends on; a longer limit or another endpoint leaves good answers as they are."""
        sent = {key: value for key, value in endpoint.body(prompt).items() if key != "max_tokens"}
        return content_key([name, sent])

    @property
    def _answers(self) -> Path:
        return (self.answers_folder or self.folder) / ANSWERS

    def _kept(self, keys: Mapping[str, str]) -> dict[str, str]:
        rows = read_appended_jsonl(self._answers)
        return {row["name"]: row["text"] for row in rows if keys.get(row["name"]) == row["key"]}

    def _keep(self, name: str, key: str, completion: Completion) -> None:
        append_jsonl(self._answers, {"name": name, "key": key, **asdict(completion)})


def require_all(failures: Mapping[str, str], note: str) -> None:
    """Raise RunFailure with the names of all failures, if there are any; `note` says what came of the rest."""
    if failures:
        first = f"the teacher gave no usable answer to {len(failures)} requests; {note}"
        raise RunFailure("\n".join([first, *_listed(failures)]))


def teacher_of(settings: TeacherSettings, context: TrainContext, seed: int) -> Teacher:
    """Return the teacher of a method in training."""
    return Teacher(settings, context.renderer, context.folder, seed, context.progress, context.teacher_folder)


def _fault(read: Callable[[str], object], text: str) -> str | None:
    try:
        read(text)
    except FaultyAnswer as error:
        return str(error)
    return None


def _listed(failures: Mapping[str, str]) -> list[str]:
    return [f"  {name}: {reason}" for name, reason in failures.items()]


def recorded_file(source: str, mini_name: str) -> Path:
    """Return the file of recorded answers: the mini benchmark's for "mini", else the file that `source` names.

    Raises:
        ValueError: there is no such file.
    """
    path = Path(str(files("benchmark.data.mini") / mini_name)) if source == MINI else Path(source)
    if not path.is_file():
        raise ValueError(f"'{source}' is neither 'mini' nor a file")
    return path


def recorded_identity(source: str | None, mini_name: str) -> str | None:
    """Return the hash of a recorded file's content; None without one."""
    return None if source is None else file_hash(recorded_file(source, mini_name))
