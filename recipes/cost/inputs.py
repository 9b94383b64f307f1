"""What is to be estimated: the recipes of a comparison, the samples they draw, and the estimator they score with.

It is read as a comparison is, but nothing is downloaded, located or loaded: a model is known by its configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import Mistake, UserMistakes
from recipes.cost.population import Populations, find_populations

if TYPE_CHECKING:
    from recipes.lineage import Key
    from recipes.schema import BenchmarkSettings, EstimatorRecipe, MethodRecipe
    from scoring.estimator import Estimator


@dataclass(frozen=True)
class CostInputs:
    """Everything that an estimate is made from."""

    recipes: tuple["MethodRecipe", ...]
    """The compared methods, in the order of the plan."""
    trained: tuple["MethodRecipe", ...]
    """Those that are trained, each behind the one that it starts from, which need not be compared."""
    estimator: "EstimatorRecipe | Estimator"
    """A recipe of one, or one that exists."""
    whole: Populations
    """Of the benchmark."""
    samples: Populations
    """That the recipes draw."""
    estimator_samples: Populations | None
    """That the estimator's training draws; None where it is not trained."""

    @property
    def shared(self) -> "MethodRecipe":
        """A recipe to read the shared settings from."""
        return self.recipes[0]

    @property
    def bases(self) -> tuple[str, ...]:
        """The base models."""
        return tuple(dict.fromkeys(recipe.base_model for recipe in self.recipes))

    def name(self, recipe: "MethodRecipe") -> str:
        """Return a method's name in the run, as the plan has it."""
        several = len(self.bases) > 1
        return f"{recipe.base_model.replace('/', '_')}/{recipe.method}" if several else recipe.method


def read_inputs(names: list[str], overrides: list[str], *, times: int = 1) -> CostInputs:
    """Read recipes by name, file or folder, as `compare` does.

    Args:
        names: of the recipes.
        overrides: `a.b=c` assignments.
        times: how many times as many samples the benchmark is taken to have.

    Raises:
        UserMistakes: all mistakes in the recipes; or the benchmark's sizes are not known here.
    """
    from recipes.lineage import find_parents
    from recipes.reading import collect_recipes
    from recipes.schema import EstimatorRecipe, MethodRecipe
    from rpm_methods.registry import methods

    mistakes: list[Mistake] = []
    read = collect_recipes(names, overrides, mistakes)
    recipes = [(path, recipe) for path, recipe in read if isinstance(recipe, MethodRecipe)]
    estimators = [recipe for _, recipe in read if isinstance(recipe, EstimatorRecipe)]
    known = [(path, recipe) for path, recipe in recipes if recipe.method in methods()]
    parents = find_parents(known, mistakes)
    if not recipes and not mistakes:
        mistakes.append(Mistake(", ".join(names), "there is no recipe of a method to estimate"))
    mistakes += [] if mistakes else _differences([recipe for _, recipe in recipes])
    if mistakes:
        raise UserMistakes(list(dict.fromkeys(mistakes)))
    ordered = tuple(sorted((r for _, r in recipes), key=lambda r: (r.base_model, methods()[r.method].spec.order)))
    shared = ordered[0]
    estimator = estimators[0] if estimators else _named_estimator(shared.estimator)
    whole = find_populations(shared.benchmark.source).times(times)
    return CostInputs(
        recipes=ordered,
        trained=_trained(ordered, parents),
        estimator=estimator,
        whole=whole,
        samples=_drawn(whole, shared.benchmark),
        estimator_samples=_estimator_samples(estimator, times),
    )


def _trained(recipes: Sequence["MethodRecipe"], parents: Mapping["Key", "MethodRecipe"]) -> tuple["MethodRecipe", ...]:
    from rpm_methods.registry import methods

    made: dict[Key, MethodRecipe] = {}

    def add(recipe: "MethodRecipe") -> None:
        above = parents.get((recipe.base_model, methods()[recipe.method].spec.starts_from))
        if above is not None:
            add(above)
        made.setdefault((recipe.base_model, recipe.method), recipe)

    for recipe in recipes:
        add(recipe)
    return tuple(made.values())


def _differences(recipes: Sequence["MethodRecipe"]) -> list[Mistake]:
    """Return a mistake for each setting that a comparison has once and the recipes give differently."""
    from recipes.comparison import SHARED_KEYS

    return [
        Mistake(f"{recipe.method}: {key}", f"differs from that of {recipes[0].method}", "give both the same value")
        for recipe in recipes[1:]
        for key in SHARED_KEYS
        if getattr(recipe, key) != getattr(recipes[0], key)
    ]


def _named_estimator(name: str) -> "EstimatorRecipe | Estimator":
    from recipes.reading import read_recipes
    from recipes.schema import EstimatorRecipe
    from scoring.estimator import DESCRIPTION, read_estimator

    if (Path(name) / DESCRIPTION).is_file():
        return read_estimator(Path(name))
    found = [recipe for _, recipe in read_recipes([name], []) if isinstance(recipe, EstimatorRecipe)]
    if not found:
        raise UserMistakes([Mistake(f"estimator: {name}", "is neither an estimator's directory nor its recipe")])
    return found[0]


def _drawn(whole: Populations, settings: "BenchmarkSettings") -> Populations:
    return whole.drawn(settings.train_samples, settings.test_samples, settings.subsets)


def _estimator_samples(estimator: "EstimatorRecipe | Estimator", times: int) -> Populations | None:
    from recipes.schema import CoRLEstimatorRecipe

    if not isinstance(estimator, CoRLEstimatorRecipe):
        return None
    return _drawn(find_populations(estimator.benchmark.source).times(times), estimator.benchmark)
