"""Seed personas and context seeds: those that come with this project, or the user's own JSON lines.

The bundled ones were written for this project: 40 English personas in the first person, and 30 short everyday
conversations. The paper's come from PersonaChat and DailyDialog, which users can bring in their own files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.construction.settings import SeedFiles
from benchmark.errors import Mistake, UserMistakes
from benchmark.user_lines import read_user_lines

DATA = Path(__file__).parent / "data"


class SeedPersona(BaseModel):
    """An English persona to begin with."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    persona: str = Field(min_length=1)
    history: str = ""
    """What such a user said in an earlier conversation; empty where nothing is known."""


class SeedContext(BaseModel):
    """A short everyday conversation to begin with."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    context: str = Field(min_length=1)


SeedT = TypeVar("SeedT", SeedPersona, SeedContext)


@dataclass(frozen=True)
class Seeds:
    """All seeds, under names that stay the same while their files do."""

    personas: dict[str, SeedPersona]
    contexts: dict[str, str]


def read_seeds(files: SeedFiles, mistakes: list[Mistake]) -> Seeds:
    """Read personas and contexts; every faulty line goes to `mistakes`."""
    personas = _read(files.personas or DATA / "personas.jsonl", SeedPersona, mistakes)
    contexts = _read(files.contexts or DATA / "contexts.jsonl", SeedContext, mistakes)
    return Seeds(
        {f"persona-{number}": seed for number, seed in personas.items()},
        {f"context-{number}": seed.context for number, seed in contexts.items()},
    )


def _read(path: Path, model: type[SeedT], mistakes: list[Mistake]) -> dict[int, SeedT]:
    """Return the seeds by line number."""
    read: dict[int, SeedT] = {}
    first: dict[str, int] = {}
    before = len(mistakes)
    try:
        for number, content in read_user_lines(path, mistakes):
            try:
                seed = model.model_validate(content)
            except ValidationError as error:
                for detail in error.errors():
                    problem = f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}"
                    mistakes.append(Mistake(f"{path}:{number}", problem, f"fields: {', '.join(model.model_fields)}"))
                continue
            text = seed.persona if isinstance(seed, SeedPersona) else seed.context
            if text in first:
                mistakes.append(Mistake(f"{path}:{number}", f"is the same as line {first[text]}", "remove one"))
            first.setdefault(text, number)
            read[number] = seed
    except UserMistakes as error:
        mistakes += error.mistakes
    if not read and len(mistakes) == before:
        mistakes.append(Mistake(str(path), "holds no seeds", f"write a line with {next(iter(model.model_fields))}"))
    return read
