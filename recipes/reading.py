"""Read recipes: `extends`, `--set`, types, and every mistake with file, line and the nearest known key."""

import copy
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from benchmark.errors import Mistake, UserMistakes, nearest
from recipes.finding import find_extended, find_recipes
from recipes.schema import ESTIMATORS, KINDS, BaseEstimatorRecipe, ComparisonRecipe, MethodRecipe, Recipe, RecipeType
from recipes.yaml_origins import KeyPath, TracedMapping, parse_yaml, read_traced
from rpm_methods.method import MethodConfig
from rpm_methods.registry import methods

SettingsT = TypeVar("SettingsT", bound=BaseModel)


def read_recipes(
    names: list[str], overrides: list[str], *, overridden: Container[str] = ("method",)
) -> list[tuple[Path, Recipe]]:
    """Read recipes by name, file or folder; comparisons are replaced by the recipes they name.

    Args:
        names: as the user gave them.
        overrides: `a.b=c` assignments, values in YAML.
        overridden: kinds of recipes that they apply to.

    Raises:
        UserMistakes: all mistakes in all of them.
    """
    mistakes: list[Mistake] = []
    read = collect_recipes(names, overrides, mistakes, overridden=overridden)
    if mistakes:
        raise UserMistakes(list(dict.fromkeys(mistakes)))
    return read


def collect_recipes(
    names: list[str], overrides: list[str], mistakes: list[Mistake], *, overridden: Container[str] = ("method",)
) -> list[tuple[Path, Recipe]]:
    """Read as `read_recipes` does, but record mistakes and go on without the faulty values.

    What comes back while there are mistakes serves to look for more of them, not to be run.
    """
    over = _parse_overrides(overrides, mistakes)
    read: list[tuple[Path, Recipe]] = []
    pending = _find(names, mistakes)
    seen: set[Path] = set()
    while pending:
        path = pending.pop(0)
        if path in seen:
            continue
        seen.add(path)
        recipe = read_recipe(path, over, mistakes, overridden)
        if isinstance(recipe, ComparisonRecipe):
            pending = _find(list(recipe.recipes), mistakes) + pending
        elif recipe is not None:
            read.append((path, recipe))
    return read


def read_recipe(
    path: Path, over: TracedMapping, mistakes: list[Mistake], overridden: Container[str] = ("method",)
) -> Recipe | None:
    """Read one recipe, recording its mistakes; None where too little of it can be read.

    Assignments of the command line go to recipes of the kinds `overridden`.
    """
    before = len(mistakes)
    traced = _with_base(path, mistakes, ())
    kind = traced.data.get("kind")
    if len(mistakes) > before:
        return None
    if kind not in KINDS:
        problem = f"kind is '{kind}'" if kind is not None else "has no kind"
        mistakes.append(Mistake(traced.origin(("kind",)), problem, f"one of {', '.join(KINDS)}"))
        return None
    if kind in overridden:
        traced = over.merged_over(traced)
    recipe = _validate(_recipe_type(kind, traced), traced, (), mistakes)
    if isinstance(recipe, MethodRecipe):
        return _check_method(recipe, traced, mistakes)
    return recipe  # type: ignore[return-value]


def _recipe_type(kind: str, traced: TracedMapping) -> RecipeType:
    """Return the model of a recipe; an estimator of no known sort is read as any, and its mistake found there."""
    name = traced.data.get("estimator")
    return ESTIMATORS.get(name, BaseEstimatorRecipe) if kind == "estimator" and isinstance(name, str) else KINDS[kind]


def read_settings(model: type[SettingsT], overrides: list[str]) -> SettingsT:
    """Return settings made of `a.b=c` assignments alone.

    Raises:
        UserMistakes: all assignments that are wrong.
    """
    mistakes: list[Mistake] = []
    settings = _validate(model, _parse_overrides(overrides, mistakes), (), mistakes)
    if mistakes or settings is None:
        raise UserMistakes(mistakes)
    return settings  # type: ignore[return-value]


def read_config(
    model: type[SettingsT], path: Path, overrides: Sequence[str], mistakes: list[Mistake]
) -> SettingsT | None:
    """Return the settings of a YAML file under `a.b=c` assignments, without the faulty ones, which go to `mistakes`.

    None where the file cannot be read, or what is left is too little.
    """
    before = len(mistakes)
    traced = _parse_overrides(list(overrides), mistakes).merged_over(read_traced(path, mistakes))
    settings = None if len(mistakes) > before else _validate(model, traced, (), mistakes)
    return settings if isinstance(settings, model) else None


def _find(names: list[str], mistakes: list[Mistake]) -> list[Path]:
    try:
        return find_recipes(names)
    except UserMistakes as error:
        mistakes += error.mistakes
        return []


def method_config(recipe: MethodRecipe) -> MethodConfig:
    """Return the typed settings of a recipe's method; the recipe has been read, so they are known to be right."""
    return methods()[recipe.method].config_type.model_validate(recipe.config)


def _with_base(path: Path, mistakes: list[Mistake], chain: tuple[Path, ...]) -> TracedMapping:
    traced = read_traced(path, mistakes)
    base_name = traced.data.pop("extends", None)
    if base_name is None:
        return traced
    base = find_extended(str(base_name), path)
    where = traced.origin(("extends",))
    if base is None:
        mistakes.append(Mistake(where, f"extends '{base_name}', which is no recipe beside it or bundled"))
        return traced
    if base in chain or base == path:
        mistakes.append(Mistake(where, f"extends '{base_name}', which in the end extends this recipe again"))
        return traced
    return traced.merged_over(_with_base(base, mistakes, (*chain, path)))


def _check_method(recipe: MethodRecipe, traced: TracedMapping, mistakes: list[Mistake]) -> MethodRecipe:
    """Return the recipe with what is right in its method's settings, after recording what is wrong."""
    known = methods()
    if recipe.method not in known:
        problem = f"unknown method '{recipe.method}'"
        mistakes.append(Mistake(traced.origin(("method",)), problem, nearest(recipe.method, list(known))))
        return recipe
    config = _validate(known[recipe.method].config_type, traced, ("config",), mistakes)
    return recipe.model_copy(update={"config": config.model_dump() if config else {}})


def _validate(model: type[BaseModel], traced: TracedMapping, at: KeyPath, mistakes: list[Mistake]) -> BaseModel | None:
    data: Any = traced.data
    for key in at:
        data = data.get(key, {})
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors():
            path = (*at, *detail["loc"])
            problem, remedy = _explain(model, detail)
            mistakes.append(Mistake(f"{traced.origin(path)}: {'.'.join(map(str, path))}", problem, remedy))
        return _validate_rest(model, data, [detail["loc"] for detail in error.errors()])


def _validate_rest(model: type[BaseModel], data: Any, faulty: list[KeyPath]) -> BaseModel | None:  # noqa: ANN401
    """Return what a mapping gives without its faulty values; None where these are needed."""
    rest = copy.deepcopy(data)
    for *path, key in filter(None, faulty):  # without a path an error is one of the whole
        holder = rest
        for step in path:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(key, None)
    try:
        return model.model_validate(rest)
    except ValidationError:
        return None


def _explain(model: type[BaseModel], detail: Any) -> tuple[str, str]:  # noqa: ANN401 - pydantic's error
    """Return (problem, remedy) of one of pydantic's errors in the words of recipes."""
    if detail["type"] == "extra_forbidden":
        return "unknown key", nearest(str(detail["loc"][-1]), _known_keys(model, detail["loc"][:-1]))
    if detail["type"] == "missing":
        return "is missing", ""
    message = detail["msg"].removeprefix("Value error, ")
    shown = f" (it is {detail['input']!r})" if isinstance(detail["input"], str | int | float | bool) else ""
    return message[0].lower() + message[1:] + shown, ""


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    for key in path:
        annotation = model.model_fields[str(key)].annotation if str(key) in model.model_fields else None
        options = [annotation, *get_args(annotation)]
        inner = next((t for t in options if isinstance(t, type) and issubclass(t, BaseModel)), None)
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _parse_overrides(overrides: list[str], mistakes: list[Mistake]) -> TracedMapping:
    result = TracedMapping()
    for text in overrides:
        name, equals, value = text.partition("=")
        keys = name.split(".")
        where = f"--set {text}"
        if not equals or not all(keys):
            mistakes.append(Mistake(where, "is not of the form key.key=value"))
            continue
        try:
            nested: Any = parse_yaml(value)
        except yaml.YAMLError:
            mistakes.append(Mistake(where, "the value is not valid YAML", "quote it"))
            continue
        for key in reversed(keys):
            nested = {key: nested}
        origins: dict[KeyPath, str] = {tuple(keys): where}
        result = TracedMapping(nested, origins).merged_over(result)
    return result
