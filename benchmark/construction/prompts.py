"""The prompts of a build, in templates of their own: they speak of seeds and candidates, which no sample has.

The wording is this project's own; the structure is that of the paper's Tables 4 to 7. Slots are filled in one pass, so
that what is put in is never read as template.
"""

import re
from pathlib import Path

import yaml

from benchmark.prompts import Message, Prompt

FOLDER = Path(__file__).parent / "templates"

_SLOT = re.compile(r"\{([a-z_]+)\}")


class ConstructionPrompts:
    """Renders the templates of this folder."""

    def __init__(self) -> None:
        """Read all templates."""
        self._texts = {path.stem: _user_text(path) for path in FOLDER.glob("*.yaml")}

    def names(self) -> list[str]:
        """Return the names of the templates."""
        return sorted(self._texts)

    def slots(self, name: str) -> set[str]:
        """Return the slots of a template."""
        return set(_SLOT.findall(self._texts[name]))

    def render(self, name: str, **values: str) -> Prompt:
        """Fill a template into a prompt of one user message.

        Raises:
            ValueError: a slot has no value, or a value no slot.
        """
        if set(values) != self.slots(name):
            odd = ", ".join(sorted(set(values) ^ self.slots(name)))
            raise ValueError(f"template {name}: slots and values differ in {odd}")
        return Prompt((Message("user", _SLOT.sub(lambda match: values[match[1]], self._texts[name])),))

    def repair(self, prompt: Prompt, answer: str, fault: str) -> Prompt:
        """Return the prompt that shows a faulty answer and its fault."""
        request = self.render("repair", fault=fault).messages
        return Prompt((*prompt.messages, Message("assistant", answer), *request))


def _user_text(path: Path) -> str:
    text: str = yaml.safe_load(path.read_text(encoding="utf-8"))["user"]
    return text.rstrip("\n")
