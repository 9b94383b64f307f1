"""Read prompt templates from YAML files and fill their slots in a single pass.

A template has `user`, and may have `system`, `answer_prefix` (the opening of the answer, given rather than
generated) and `stop` (the string that ends the answer). Slots are written `{name}`; any other brace is plain
text. `{include name}` puts in the `fragment` of another file when the template is read.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import Mistake, UserMistakes, nearest

BUNDLED_FOLDER = Path(__file__).parent / "templates"
INPUT_SLOTS = frozenset({"user_persona", "agent_character", "dialogue_context"})

SLOTS: dict[str, frozenset[str]] = {
    "response": INPUT_SLOTS,
    "response_blanked": frozenset({"dialogue_context"}),
    "response_thinking": INPUT_SLOTS,
    "reasoning": INPUT_SLOTS,
    "reasoning_features": INPUT_SLOTS,
    "reasoning_with_reference": INPUT_SLOTS | {"golden_response"},
    "policy_with_reasoning": INPUT_SLOTS | {"reasoning"},
    "policy_without_reasoning": INPUT_SLOTS,
    "reward_features": INPUT_SLOTS | {"reasoning", "golden_response", "candidate_response"},
    "reward_response": INPUT_SLOTS | {"golden_response", "candidate_response"},
    "augmentation_topics": frozenset({"user_persona", "agent_character"}),
    "augmentation_dialogue": frozenset({"user_persona", "agent_character", "context_seed"}),
}
"""Every template that the project uses, with the slots that it must have."""

_SLOT = re.compile(r"\{([a-z_]+)\}")
_INCLUDE = re.compile(r"^([ \t]*)\{include ([a-z_]+)\}\n?", re.MULTILINE)
_FIELDS = ("system", "user", "answer_prefix", "stop")


@dataclass(frozen=True)
class Template:
    """One prompt with its slots still open."""

    name: str
    system: str
    user: str
    answer_prefix: str
    stop: str

    def fill(self, values: dict[str, str]) -> tuple[str, str]:
        """Return (system, user) with each slot replaced once; text that is put in is never looked at again.

        Raises:
            ValueError: a slot has no value.
        """
        missing = sorted(SLOTS[self.name] - set(values))
        if missing:
            raise ValueError(f"template {self.name}: no value for {', '.join(missing)}")
        return _fill(self.system, values), _fill(self.user, values)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the template's text."""
        joined = "\x1f".join((self.name, self.system, self.user, self.answer_prefix, self.stop))
        return hashlib.sha256(joined.encode()).hexdigest()


def _fill(text: str, values: dict[str, str]) -> str:
    return _SLOT.sub(lambda match: values[match[1]], text)


class TemplateReader:
    """Reads the templates of a folder, falling back to the bundled file for each that the folder lacks."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the user's own, or None."""
        self.folder = folder
        self.faults: list[Mistake] = []

    def read_all(self) -> dict[str, Template]:
        """Return every template of SLOTS.

        Raises:
            UserMistakes: all faults of all files.
        """
        self._check_folder()
        found = {name: self._template(name) for name in SLOTS} if not self.faults else {}
        if self.faults:
            raise UserMistakes(self.faults)
        return {name: template for name, template in found.items() if template is not None}

    def _check_folder(self) -> None:
        if self.folder is None:
            return
        if not self.folder.is_dir():
            self.faults.append(Mistake(str(self.folder), "the template folder does not exist"))
            return
        known = sorted(path.stem for path in BUNDLED_FOLDER.glob("*.yaml"))
        for path in sorted(self.folder.glob("*.yaml")):
            if path.stem not in known:
                self.faults.append(Mistake(str(path), "no template has this name", nearest(path.stem, known)))

    def _path(self, name: str) -> Path:
        own = self.folder / f"{name}.yaml" if self.folder else None
        return own if own is not None and own.exists() else BUNDLED_FOLDER / f"{name}.yaml"

    def _mapping(self, path: Path) -> dict[str, Any]:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            self.faults.append(Mistake(str(path), f"cannot be read: {error}"))
            return {}
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            self.faults.append(Mistake(str(path), "is not a mapping of names to text"))
            return {}
        return content

    def _include(self, text: str, seen: tuple[str, ...] = ()) -> str:
        def replace(match: re.Match[str]) -> str:
            indent, name = match[1], match[2]
            path = self._path(name)
            if name in seen or not path.exists():
                self.faults.append(Mistake(str(path), "is included but does not exist or includes itself"))
                return ""
            fragment = self._include(self._mapping(path).get("fragment", ""), (*seen, name))
            return "".join(f"{indent}{line}" for line in fragment.splitlines(keepends=True))

        return _INCLUDE.sub(replace, text)

    def _template(self, name: str) -> Template | None:
        path = self._path(name)
        content = self._mapping(path)
        before = len(self.faults)
        for field in sorted(set(content) - set(_FIELDS)):
            self.faults.append(Mistake(f"{path}: {field}", "unknown field", nearest(field, _FIELDS)))
        texts = {field: self._include(content.get(field, "")) for field in _FIELDS}
        used = {slot for field in ("system", "user") for slot in _SLOT.findall(texts[field])}
        for slot in sorted(SLOTS[name] - used):
            self.faults.append(Mistake(str(path), f"the slot {{{slot}}} is missing"))
        for slot in sorted(used - SLOTS[name]):
            self.faults.append(Mistake(str(path), f"unknown slot {{{slot}}}", nearest(slot, sorted(SLOTS[name]))))
        if len(self.faults) > before:
            return None
        return Template(name=name, **{**texts, "stop": texts["stop"].strip()})
