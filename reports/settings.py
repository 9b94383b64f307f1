"""How a run was made, as tables: the resolved recipes, the estimator's, and where it all ran."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from reports.run_data import MethodKey, Row, RunData
from reports.table import Column, Table, words

MANIFEST = ("manifest.json",)
COLUMNS = (Column("setting", "Setting", "left"), Column("value", "Value", "left"))
METHODS = Column("methods", "Methods", "left")
NAMES = ("kind", "method", "base_model", "description", "extends")
"""Keys of a recipe that name it and set nothing."""


def settings_tables(run: RunData) -> tuple[Table, ...]:
    """Return the settings of methods, of methods that were trained for others to start from, of estimator and run."""
    found = (
        _methods("settings", "Settings of the methods", run, run.manifest.get("recipes", [])),
        _methods("settings_parents", "Settings of what they start from", run, run.manifest.get("parents", [])),
        _pairs("settings_scoring", "Settings of scoring", flattened(run.manifest.get("settings") or {})),
        _pairs("settings_estimator", "Settings of the estimator", _estimator(run)),
        _pairs("settings_run", "Where it ran", _environment(run.manifest)),
    )
    return tuple(table for table in found if table.rows)


def flattened(value: object, path: str = "") -> dict[str, str]:
    """Return nested settings as dotted paths; values are JSON, words without their quotes."""
    if isinstance(value, Mapping) and value:
        nested = (flattened(part, f"{path}.{key}" if path else str(key)) for key, part in value.items())
        return {key: part for found in nested for key, part in found.items()}
    return {path: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)} if path else {}


def _methods(name: str, title: str, run: RunData, recipes: Sequence[Row]) -> Table:
    """Return a row for each setting, one for each of its values where methods differ."""
    values: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for recipe in recipes:
        own = {key: value for key, value in recipe.items() if key not in NAMES}
        for path, value in flattened(own).items():
            values[path][value].append(run.label(MethodKey(recipe["base_model"], recipe["method"])))
    rows = tuple(
        (words(path), words(value), words("all" if len(labels) == len(recipes) else ", ".join(labels)))
        for path, of_path in values.items()
        for value, labels in of_path.items()
    )
    return Table(name, title, (*COLUMNS, METHODS), rows, sources=MANIFEST)


def _pairs(name: str, title: str, pairs: Mapping[str, str]) -> Table:
    rows = tuple((words(path), words(value)) for path, value in pairs.items())
    return Table(name, title, COLUMNS, rows, sources=MANIFEST)


def _estimator(run: RunData) -> dict[str, str]:
    source = run.manifest.get("estimator_source")
    return {"directory": source} if isinstance(source, str) else flattened(source or {})


def _environment(manifest: Row) -> dict[str, str]:
    return {key: value for key, value in _environment_facts(manifest) if value}


def _environment_facts(manifest: Row) -> Iterator[tuple[str, str]]:
    yield "machine", str(manifest.get("device", ""))
    yield from flattened(manifest.get("compute") or {}).items()
    yield "seed", str(manifest.get("seed", ""))
    yield from flattened(manifest.get("package_versions") or {}, "version").items()
    yield "revision", str(manifest.get("git_revision") or "")
    yield from flattened(manifest.get("hashes") or {}, "hash").items()
