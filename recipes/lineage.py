"""Which recipe each method starts from: that of the same comparison, the one it names, or the method's defaults."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.errors import Mistake
from recipes.finding import find_extended
from recipes.reading import method_config, read_recipe
from recipes.schema import MethodRecipe
from recipes.yaml_origins import TracedMapping
from rpm_methods.registry import methods

Key = tuple[str, str]
"""(base model, method)"""


def find_parents(recipes: Sequence[tuple[Path, MethodRecipe]], mistakes: list[Mistake]) -> dict[Key, MethodRecipe]:
    """Return the recipe of every method that another starts from, by base model and method.

    A method of the comparison serves those that start from it. One that is not in the comparison is planned too: from
    the recipe that `start` names, or with its defaults.
    """
    found: dict[Key, MethodRecipe] = {(recipe.base_model, recipe.method): recipe for _, recipe in recipes}
    parents: dict[Key, MethodRecipe] = {}
    for path, recipe in recipes:
        child = recipe
        while (name := methods()[child.method].spec.starts_from) != "base":
            key = (recipe.base_model, name)
            if key not in found:
                found[key] = _parent(path, child, name, mistakes)
            parents[key] = child = found[key]
    return parents


def _parent(path: Path, child: MethodRecipe, name: str, mistakes: list[Mistake]) -> MethodRecipe:
    """Return a recipe for a parent that the comparison does not have, with what the child shares with it."""
    config: Mapping[str, object] = {}
    if child.start is not None:
        where = find_extended(child.start, path)
        read = read_recipe(where, TracedMapping(), mistakes) if where is not None else None
        if isinstance(read, MethodRecipe) and read.method == name:
            config = read.config
        else:
            problem = f"'{child.start}' is no recipe of {name}, from which {child.method} starts"
            mistakes.append(Mistake(f"{path}: start", problem))
    shared = child.model_copy(update={"method": name, "config": dict(config), "start": None})
    return shared.model_copy(update={"config": method_config(shared).model_dump()})
