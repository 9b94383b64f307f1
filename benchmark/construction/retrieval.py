"""Text about characters, from a file or from a command, kept item by item.

A command is run without a shell and without the endpoint's key in its environment; it gets the character's name, a
model's text, on its standard input alone.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.construction.settings import RetrievalSettings
from benchmark.errors import Mistake, UserMistakes
from benchmark.progress import Progress
from benchmark.run_store import append_jsonl, content_key, file_hash, read_appended_jsonl
from benchmark.user_lines import has_half_character, read_user_lines

FILE = "retrieved.jsonl"
STEP = "retrieval"


@dataclass(frozen=True)
class Retrieved:
    """What was found about a character, or why nothing was."""

    name: str
    text: str | None
    problem: str | None
    """None exactly when there is a text."""
    cut: bool = False
    """Whether the text was longer than the limit."""


Lookup = Callable[[str], Retrieved]


class Retrieval:
    """Looks characters up, each once."""

    def __init__(self, settings: RetrievalSettings, *, parallel: int, secret_variable: str) -> None:
        """Look whether there is what the settings name; `secret_variable` names what the command may not see.

        Raises:
            UserMistakes: the file has faults (all are listed), or there is no such command.
        """
        self.settings = settings
        self._parallel = parallel
        self._lookup, source = _lookup(settings, secret_variable)
        self._source = content_key([source, settings.longest])
        self._path: Path | None = None
        self._found: dict[str, Retrieved] = {}

    def keep_in(self, folder: Path) -> None:
        """Take what earlier runs found from a folder, and keep there what is found."""
        self._path = folder / FILE
        for row in read_appended_jsonl(self._path):
            if row.pop("source") == self._source:
                self._found[row["name"]] = Retrieved(**row)

    def find(self, names: Sequence[str], progress: Progress) -> list[Retrieved]:
        """Return what is known of each character, in order."""
        missing = [name for name in dict.fromkeys(names) if name not in self._found]
        if missing:
            with progress.task("looking characters up", len(missing)) as advance:
                for found in self._look_up(missing):
                    self._keep(found)
                    advance()
        return [self._found[name] for name in names]

    def without_text(self) -> dict[str, str]:
        """Return the characters of which nothing was found, with the reason."""
        return {name: found.problem for name, found in self._found.items() if found.problem is not None}

    def cut(self) -> list[str]:
        """Return the characters whose text was longer than the limit."""
        return [name for name, found in self._found.items() if found.cut]

    def _keep(self, found: Retrieved) -> None:
        self._found[found.name] = found
        if self._path is not None:
            append_jsonl(self._path, {**asdict(found), "source": self._source})

    def _look_up(self, names: Sequence[str]) -> Iterator[Retrieved]:
        """Yield what is found as it comes, several at a time."""
        pool = ThreadPoolExecutor(self._parallel)
        try:
            for done in as_completed([pool.submit(self._lookup, name) for name in names]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _lookup(settings: RetrievalSettings, secret_variable: str) -> tuple[Lookup, Any]:
    """Return what looks a name up, and plain data that its results depend on."""
    if settings.file is not None:
        texts = _read_texts(settings.file)
        return (lambda name: _from_texts(name, texts, settings)), file_hash(settings.file)
    command = list(settings.command or ())
    if shutil.which(command[0]) is None:
        raise UserMistakes([Mistake(f"retrieval.command: {command[0]}", "there is no such program", "give its path")])
    environment = {name: value for name, value in os.environ.items() if name != secret_variable}
    return (lambda name: _from_command(name, command, environment, settings)), command


def _read_texts(path: Path) -> dict[str, str]:
    mistakes: list[Mistake] = []
    texts: dict[str, str] = {}
    for number, content in read_user_lines(path, mistakes):
        name, text = content.get("name"), content.get("text")
        where = f"{path}:{number}"
        if not isinstance(name, str) or not isinstance(text, str) or not text.strip():
            mistakes.append(Mistake(where, "needs name and text, both strings", "text must not be empty"))
        elif folded(name) in texts:
            mistakes.append(Mistake(where, f"'{name}' stands twice", "keep one of them"))
        else:
            texts[folded(name)] = text.strip()
    if mistakes:
        raise UserMistakes(mistakes)
    return texts


def folded(name: str) -> str:
    """Return a character's name as names are compared: without regard to case and spaces."""
    return " ".join(name.casefold().split())


def _from_texts(name: str, texts: dict[str, str], settings: RetrievalSettings) -> Retrieved:
    text = texts.get(folded(name))
    return Retrieved(name, None, "the file has no such name") if text is None else _cut(name, text, settings)


def _from_command(name: str, command: list[str], environment: dict[str, str], settings: RetrievalSettings) -> Retrieved:
    """Run the command for a name; whatever goes wrong is a problem of this name alone."""
    try:
        done = subprocess.run(
            command, input=f"{name}\n".encode(), capture_output=True, timeout=settings.timeout_seconds, env=environment
        )
        text = done.stdout.decode("utf-8").strip()
    except subprocess.TimeoutExpired:
        return Retrieved(name, None, f"the command took longer than {settings.timeout_seconds:g} s")
    except (OSError, UnicodeDecodeError) as error:
        return Retrieved(name, None, f"the command failed: {type(error).__name__}")
    if done.returncode != 0:
        return Retrieved(name, None, f"the command ended with exit code {done.returncode}")
    if not text or has_half_character(text):
        return Retrieved(name, None, "the command printed no text")
    return _cut(name, text, settings)


def _cut(name: str, text: str, settings: RetrievalSettings) -> Retrieved:
    return Retrieved(name, text[: settings.longest], None, len(text) > settings.longest)
