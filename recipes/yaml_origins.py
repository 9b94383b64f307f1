"""YAML with the file and line of every key, so that a mistake can be pointed at after recipes were merged."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import Mistake
from benchmark.user_lines import HALF_CHARACTER

KeyPath = tuple[str | int, ...]


class RecipeLoader(yaml.SafeLoader):
    """YAML's safe loader for what people write: 1e-4 is a number, and escapes are read as JSON's are.

    YAML takes an escaped surrogate pair for two characters. Here it is the one that JSON means by it, and half of a
    pair, which no file can hold, is an error.
    """

    def construct_scalar(self, node: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """Return a scalar's text with its surrogate pairs joined."""
        text = super().construct_scalar(node)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise yaml.constructor.ConstructorError(problem=HALF_CHARACTER, problem_mark=node.start_mark) from error


RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass
class TracedMapping:
    """Plain data and, for each key path in it, "file:line"."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> str:
        """Return where a key path, or the nearest one above it, was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return self.origins.get((), "")

    def merged_over(self, base: "TracedMapping") -> "TracedMapping":
        """Return this mapping laid over a base: mappings merge key by key, everything else is replaced."""
        return TracedMapping(_merge(base.data, self.data), {**base.origins, **self.origins})


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - any plain data
    """Return the plain data that a YAML text holds, read safely."""
    return yaml.load(text, Loader=RecipeLoader)  # a subclass of the safe loader


def read_traced(path: Path, mistakes: list[Mistake]) -> TracedMapping:
    """Read a YAML mapping safely; faults go to `mistakes` and leave an empty mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        node, data = yaml.compose(text, Loader=RecipeLoader), parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        mistakes.append(Mistake(f"{path}:{line}", f"is not valid YAML: {error.problem}"))
        return TracedMapping()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mistakes.append(Mistake(str(path), f"cannot be read: {error}"))
        return TracedMapping()
    if not isinstance(data, dict) or node is None:
        mistakes.append(Mistake(str(path), "is not a mapping of keys to values", "write it as lines of `key: value`"))
        return TracedMapping()
    traced = TracedMapping(data, {(): str(path)})
    _trace(node, (), path, traced.origins, mistakes)
    return traced


def _trace(node: yaml.Node, path: KeyPath, file: Path, origins: dict[KeyPath, str], mistakes: list[Mistake]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            line = f"{file}:{key.start_mark.line + 1}"
            if place in origins:
                mistakes.append(Mistake(line, f"the key '{key.value}' stands twice", "keep one of them"))
            origins[place] = line
            _trace(value, place, file, origins, mistakes)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            origins[(*path, index)] = f"{file}:{value.start_mark.line + 1}"
            _trace(value, (*path, index), file, origins, mistakes)
