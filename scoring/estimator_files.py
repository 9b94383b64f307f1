"""The files of an estimator's directory: adapters that are copied in, and the hash of every file.

Weights are safetensors alone. A file's hash is remembered for as long as its size and time do not change, since a run
reads the same directory many times.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import yaml

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer
from benchmark.run_store import content_key, disk_errors, file_hash, write_text

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
PICKLED_WEIGHTS = "adapter_model.bin"
RESTORE = "copy the estimator's directory again, or make the estimator again"
_PLACE_OF_BASE = "base_model_name_or_path"


def check_adapters(adapters: Sequence[Path]) -> None:
    """See that each folder holds an adapter that can be copied in.

    Raises:
        UserMistakes: all that lack weights in safetensors or a readable configuration.
    """
    mistakes = [mistake for adapter in dict.fromkeys(adapters) for mistake in _adapter_mistakes(adapter)]
    if mistakes:
        raise UserMistakes(mistakes)


def _adapter_mistakes(adapter: Path) -> list[Mistake]:
    if mistakes := pickled_weights(adapter):
        return mistakes
    missing = [name for name in ADAPTER_FILES if not (adapter / name).is_file()]
    if missing:
        remedy = "give the folder that PEFT's save_pretrained wrote"
        return [Mistake(str(adapter / name), "is missing, so this is no adapter", remedy) for name in missing]
    try:
        _config(adapter)
    except (OSError, ValueError) as error:
        return [Mistake(str(adapter / ADAPTER_CONFIG), f"cannot be read: {error}", "save the adapter again")]
    return []


def pickled_weights(adapter: Path) -> list[Mistake]:
    """Return a mistake for weights in a format that can run code when it is read."""
    if not (adapter / PICKLED_WEIGHTS).exists():
        return []
    problem = "weights in this format can run code when they are read, so they are refused"
    remedy = f"save the adapter as {ADAPTER_WEIGHTS} (safe_serialization=True) and remove this file"
    return [Mistake(str(adapter / PICKLED_WEIGHTS), problem, remedy)]


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an adapter's weights and configuration, and nothing else that lies there."""
    with disk_errors(target):
        target.mkdir(parents=True)
        for name in ADAPTER_FILES:
            shutil.copyfile(source / name, target / name)


def adapter_key(adapter: Path) -> str:
    """Return a hash of what an adapter does to a base model.

    Where the base lay is left out, and so is the order of lists of names, which PEFT writes from sets.
    """
    config = {key: _sorted_names(value) for key, value in _config(adapter).items() if key != _PLACE_OF_BASE}
    return content_key([config, known_hash(adapter / ADAPTER_WEIGHTS)])


def _config(adapter: Path) -> dict[str, object]:
    content = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return content


def _sorted_names(value: object) -> object:
    return sorted(value) if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


def write_templates(renderer: PromptRenderer, names: Iterable[str], folder: Path) -> None:
    """Write templates by name, each with its includes filled in."""
    for name in names:
        template = renderer.templates[name]
        fields = {
            "system": template.system,
            "user": template.user,
            "answer_prefix": template.answer_prefix,
            "stop": template.stop,
        }
        body = {key: text for key, text in fields.items() if text}
        write_text(folder / f"{name}.yaml", yaml.safe_dump(body, allow_unicode=True, sort_keys=False))


def replaced_templates(renderer: PromptRenderer) -> set[str]:
    """Return the names of templates that are not as bundled."""
    bundled = PromptRenderer().templates
    return {name for name, template in renderer.templates.items() if template != bundled[name]}


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): known_hash(path) for path in files}


def changed_files(folder: Path, expected: Mapping[str, str]) -> list[Mistake]:
    """Return a mistake for each file that is missing, has another hash, or lies outside the folder by its name."""
    found = []
    for name, value in expected.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            found.append(Mistake(name, f"is named by {folder} as one of its files, and lies outside", RESTORE))
        elif not path.is_file():
            found.append(Mistake(str(path), "is missing", RESTORE))
        elif known_hash(path) != value:
            found.append(Mistake(str(path), "is damaged, or was changed since the estimator was made", RESTORE))
    return found


def known_hash(path: Path) -> str:
    """Return the SHA-256 of a file, computed once while its size and time stay."""
    state = path.stat()
    return _remembered_hash(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _remembered_hash(path: Path, size: int, changed: int) -> str:
    return file_hash(path)
