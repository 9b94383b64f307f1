"""What a run leaves on disk: stages in folders named after a hash of what they depend on, written atomically.

A stage's folder counts as finished once it holds `done.json`; without it the stage goes on from the units of
work that are there. Nothing is ever overwritten: a changed setting has another hash and so another folder.
"""

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.run_lock import only_run_in
from benchmark.user_lines import HALF_CHARACTER

DONE = "done.json"
FULL_DISK_MESSAGES = (os.strerror(errno.ENOSPC), "unexpected pos ", "iostream error")
"""What errors that are no OSError say of a full disk: those of libraries written in Rust, then torch.save's two."""
SHORT_KEY = 12
"""Characters of a key that folders and tables show."""


def content_key(value: object) -> str:
    """Return a SHA-256 over the canonical JSON of plain data; equal exactly when the data are."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RunStore:
    """The directory of one run. Looking into it makes nothing, so that a plan leaves no trace."""

    def __init__(self, folder: str | Path) -> None:
        """Name the directory."""
        self.folder = Path(folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the directory if it is not there, and hold it against other runs.

        Raises:
            RunFailure: it cannot be made, or another run holds it.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with only_run_in(self.folder):
            yield

    def stage_folder(self, name: str, key: str) -> Path:
        """Return where the stage `name` with the dependency hash `key` lies, whether it is there or not."""
        return self.folder / "stages" / f"{name.replace('/', '-')}-{key[:SHORT_KEY]}"

    def make_stage_folder(self, name: str, key: str) -> Path:
        """Return the stage's folder, made if need be; RunFailure when it cannot be made."""
        folder = self.stage_folder(name, key)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def lock_file(self, work: str) -> Path:
        """Return the lock file of a stage or of a part of one, whatever its key; its folder is made if need be."""
        folder = self.folder / "stages" / "locks"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{work.replace('/', '-')}.lock"

    def is_done(self, name: str, key: str) -> bool:
        """Tell whether the stage has finished under this key."""
        return (self.stage_folder(name, key) / DONE).is_file()

    def is_begun(self, name: str, key: str) -> bool:
        """Tell whether the stage's folder holds anything, finished or not."""
        folder = self.stage_folder(name, key)
        return folder.is_dir() and any(folder.iterdir())

    def records(self) -> list[dict[str, Any]]:
        """Return what every finished stage says of itself, those of other settings too.

        Raises:
            RunFailure: a record is damaged.
        """
        return [read_json(path) for path in sorted(self.folder.glob(f"stages/*/{DONE}"))]


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and other failures to write into one clear RunFailure."""
    try:
        yield
    except Exception as error:
        if _disk_is_full(error):
            raise RunFailure(f"no disk space left to write {path}; free some space and run again") from error
        if isinstance(error, OSError) and error.errno is not None:  # without a number: a network's, of a library
            raise RunFailure(f"cannot write {path}: {error.strerror or error}") from error
        raise


def _disk_is_full(error: Exception) -> bool:
    """Tell a full disk from other errors, by number or by message."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or any(m in str(error) for m in FULL_DISK_MESSAGES)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old content or the new, never a part.

    Raises:
        RunFailure: the disk is full or the place cannot be written, or the text holds half of a character.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = ascii(text[max(0, error.start - 30) : error.start + 10])
        raise RunFailure(
            f"cannot write {path}: its text {HALF_CHARACTER}: {around}; correct where it comes from"
        ) from error
    write_bytes(path, content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically; raises as `write_text` does."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{socket.gethostname()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write plain data as indented JSON, atomically. NaN and infinity are refused."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - any plain data
    """Read a JSON file that this project wrote; RunFailure when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFailure(f"{path} cannot be read ({error}); delete its folder to make it anew") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSON lines, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines that this project wrote; RunFailure names the damaged line.

    Lines end at a line feed alone: texts may hold other characters that Unicode calls line ends.
    """
    text = path.read_bytes().decode("utf-8").removesuffix("\n")
    rows = []
    for number, line in enumerate(text.split("\n") if text else [], start=1):
        rows.append(_parse_line(path, number, line))
    return rows


def _parse_line(path: Path, number: int, line: str | bytes) -> Any:  # noqa: ANN401 - any plain data
    try:
        return json.loads(line)
    except ValueError as error:
        raise RunFailure(f"{path}:{number} is not valid JSON ({error}); delete the file to make it anew") from error


def append_jsonl(path: Path, row: object) -> None:
    """Append one line and see it onto the disk; a kill leaves at most a last line without its end."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_appended_jsonl(path: Path) -> list[Any]:
    """Return what `append_jsonl` wrote; nothing where there is no file. A last line cut by a kill is removed.

    Raises:
        RunFailure: another line is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:
        with disk_errors(path), path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(lines[-1]))
    return [_parse_line(path, number, line) for number, line in enumerate(lines[:-1], start=1)]
