"""A comparison made ready: recipes that belong together, samples drawn, models checked, before anything heavy runs."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.loading import load_benchmark
from benchmark.prompts import PromptRenderer
from benchmark.sample import Benchmark, Sample
from benchmark.thinking import thinking_format
from recipes.engines import check_engines
from recipes.estimator_source import EstimatorSource
from recipes.lineage import Key, find_parents
from recipes.prepared_estimator import prepare_estimator
from recipes.quantized_weights import check_estimator, check_quantization
from recipes.reading import collect_recipes, method_config, read_recipes
from recipes.samples import draw_samples
from recipes.schema import CoRLEstimatorRecipe, EstimatorRecipe, MethodRecipe
from rpm_methods.registry import methods
from scoring.estimator import DESCRIPTION, read_estimator
from scoring.models.causal_lm import load_chat
from scoring.models.packaged import PACKAGED
from scoring.models.resolver import ModelLocation, check_model

SHARED_KEYS = ("benchmark", "scoring", "compute", "templates", "seed")
"""Keys that all recipes of a comparison must agree on, or their scores could not be compared."""
THINKING = "response_thinking"
"""The template under which methods with reasoning answer."""


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison is made of."""

    recipes: tuple[MethodRecipe, ...]
    parents: dict[Key, MethodRecipe]
    """Recipes of the methods that others start from; those that are not in `recipes` are trained, not compared."""
    estimator: EstimatorSource
    """A recipe of an estimator to make or to train, or the directory of one that exists."""
    train: tuple[Sample, ...]
    whole_test: dict[str, tuple[Sample, ...]]
    """Subset key -> all its test samples; what divergences between subsets are measured on."""
    test: dict[str, tuple[Sample, ...]]
    """Subset key -> the test samples drawn from it, in the order of Table 20."""
    renderer: PromptRenderer

    @property
    def shared(self) -> MethodRecipe:
        """A recipe to read the shared settings from."""
        return self.recipes[0]

    @property
    def test_samples(self) -> tuple[Sample, ...]:
        """All test samples in order."""
        return tuple(sample for samples in self.test.values() for sample in samples)


def prepare_comparison(names: list[str], overrides: list[str]) -> Comparison:
    """Read and check recipes, benchmark, templates and the names of all models.

    Raises:
        UserMistakes: all mistakes found, of every recipe.
    """
    mistakes: list[Mistake] = []
    read = collect_recipes(names, overrides, mistakes)
    recipes = [(path, recipe) for path, recipe in read if isinstance(recipe, MethodRecipe)]
    estimators = [(path, recipe) for path, recipe in read if isinstance(recipe, EstimatorRecipe)]
    if not recipes:
        raise UserMistakes(mistakes or [Mistake(", ".join(names), "there is no recipe of a method to run")])
    if not mistakes:  # what was read without its faulty values must not be said to differ
        mistakes += _check_together(recipes, estimators)
    mistakes += _check_models(recipes)
    mistakes += [*check_engines(recipes), *check_quantization(recipes)]
    known = [(path, recipe) for path, recipe in recipes if recipe.method in methods()]
    parents = find_parents(known, mistakes)
    shared = recipes[0][1]
    benchmark, renderer = _load(shared, mistakes)
    estimator: EstimatorSource | None = None
    if renderer is not None:
        mistakes += _check_tags(known, renderer)
        try:
            estimator = _estimator(estimators[0][1] if estimators else _named_estimator(shared.estimator), renderer)
            mistakes += check_estimator(estimator, shared.compute)
        except UserMistakes as error:
            mistakes += error.mistakes
    if mistakes or benchmark is None or renderer is None or estimator is None:
        raise UserMistakes(list(dict.fromkeys(mistakes)))
    train, test = draw_samples(benchmark, shared.benchmark, shared.seed)
    if not test:
        raise UserMistakes([Mistake(shared.benchmark.source, "has no test samples in the chosen subsets")])
    if not train:
        raise UserMistakes([Mistake(shared.benchmark.source, "has no training samples", "add a split IDTrain")])
    _check_training([recipe for _, recipe in recipes], parents, train, renderer)
    whole = {key: benchmark.test[key] for key in test}
    ordered = sorted((recipe for _, recipe in recipes), key=lambda r: (r.base_model, methods()[r.method].spec.order))
    return Comparison(tuple(ordered), parents, estimator, train, whole, test, renderer)


def _load(recipe: MethodRecipe, mistakes: list[Mistake]) -> tuple[Benchmark | None, PromptRenderer | None]:
    benchmark, renderer = None, None
    try:
        benchmark = load_benchmark(recipe.benchmark.source)
    except UserMistakes as error:
        mistakes += error.mistakes
    try:
        renderer = PromptRenderer(recipe.templates)
    except UserMistakes as error:
        mistakes += error.mistakes
    return benchmark, renderer


def _check_together(
    recipes: list[tuple[Path, MethodRecipe]], estimators: list[tuple[Path, EstimatorRecipe]]
) -> list[Mistake]:
    first_path, first = recipes[0]
    mistakes = []
    for path, recipe in recipes[1:]:
        for key in SHARED_KEYS:
            if getattr(recipe, key) != getattr(first, key):
                problem = f"differs from {first_path}, so the two cannot be compared"
                mistakes.append(Mistake(f"{path}: {key}", problem, "give both the same value"))
    if not estimators and len({recipe.estimator for _, recipe in recipes}) > 1:
        mistakes.append(Mistake("estimator", "the recipes name different estimators", "name one for all"))
    if len(estimators) > 1:
        listed = ", ".join(str(path) for path, _ in estimators)
        mistakes.append(Mistake(listed, "more than one estimator", "a comparison takes one"))
    names = [(recipe.method, recipe.base_model) for _, recipe in recipes]
    for method, base in sorted({name for name in names if names.count(name) > 1}):
        mistakes.append(Mistake(method, f"stands in more than one recipe with base model {base}", "keep one"))
    return mistakes


def _check_models(recipes: list[tuple[Path, MethodRecipe]]) -> list[Mistake]:
    """Check each model once, however many recipes name it; a mistake stands at the first of them."""
    places: dict[str, str] = {}
    for path, recipe in recipes:
        method = methods().get(recipe.method)
        needed = method.models_needed(method_config(recipe)) if method else {}
        named = {"base_model": recipe.base_model, "scoring.embedding": recipe.scoring.embedding}
        for key, model in {**named, **{f"config.{key}": name for key, name in needed.items()}}.items():
            places.setdefault(model, f"{path}: {key}")
    return [mistake for model, where in places.items() for mistake in check_model(model, where)]


def _check_training(
    recipes: list[MethodRecipe], parents: dict[Key, MethodRecipe], train: tuple[Sample, ...], renderer: PromptRenderer
) -> None:
    """Raise UserMistakes with all that the methods find wrong for these training samples, parents included."""
    named = [
        Mistake(f"{recipe.method}: {fault.where}", fault.problem, fault.remedy)
        for recipe in (*recipes, *parents.values())
        for fault in method_config(recipe).faults(train, renderer)
    ]
    if named:
        raise UserMistakes(list(dict.fromkeys(named)))


def _check_tags(recipes: list[tuple[Path, MethodRecipe]], renderer: PromptRenderer) -> list[Mistake]:
    """Return what the base models' tokenizers cannot write of what the templates put around answers.

    A model that does not know the opening of an answer answers something else, and one that cannot write its end never
    stops. Models that are not there are passed over; so are packaged ones, whose tokenizers write any text.
    """
    first = {recipe.base_model: path for path, recipe in reversed(recipes)}
    there = {name: path for name, path in first.items() if name not in PACKAGED and not check_model(name, "")}
    try:
        tags = _tags(renderer, thinking=any(methods()[recipe.method].spec.produces_reasoning for _, recipe in recipes))
    except UserMistakes as error:
        return list(error.mistakes)
    return [mistake for name, path in there.items() for mistake in _unwritable(name, f"{path}: base_model", tags)]


def _tags(renderer: PromptRenderer, *, thinking: bool) -> dict[str, list[str]]:
    """Return by template what opens, divides and ends its answers."""
    tags = {name: [text.answer_prefix, text.stop] for name, text in renderer.templates.items()}
    if thinking:
        form = thinking_format(renderer, THINKING)
        tags[THINKING] += [form.thinking_end, form.response_start]
    return tags


def _unwritable(base_model: str, where: str, tags: dict[str, list[str]]) -> list[Mistake]:
    """Return a mistake for each template whose tags the model's tokenizer, which alone is loaded, cannot write."""
    try:
        chat = load_chat(ModelLocation(base_model, Path(base_model), fingerprint=""))
    except RunFailure as error:
        remedy = "restore its files; for a gated model on the hub, ask for access and log in"
        return [Mistake(where, str(error).splitlines()[0], remedy)]
    remedy = "take a model whose tokenizer can, or templates with other tags (templates: FOLDER)"
    return [
        Mistake(where, f"{base_model} cannot write {', '.join(map(repr, texts))} of the template {name}", remedy)
        for name in tags
        if (texts := chat.unspelled(tags[name]))
    ]


def _named_estimator(name: str) -> EstimatorRecipe | Path:
    if (Path(name) / DESCRIPTION).is_file():
        return Path(name)
    found = [recipe for _, recipe in read_recipes([name], []) if isinstance(recipe, EstimatorRecipe)]
    if not found:
        raise UserMistakes([Mistake(f"estimator: {name}", "is neither an estimator's directory nor its recipe")])
    return found[0]


def _estimator(named: EstimatorRecipe | Path, renderer: PromptRenderer) -> EstimatorSource:
    """Return an estimator that can be used as it is named.

    Raises:
        UserMistakes: what is wrong with it.
    """
    if isinstance(named, CoRLEstimatorRecipe):
        return prepare_estimator(named, renderer)
    if isinstance(named, Path):
        mistakes = check_model(read_estimator(named).description.base_model, f"{named}: base_model")
    else:
        mistakes = check_model(named.model, "estimator recipe: model")
    if mistakes:
        raise UserMistakes(mistakes)
    return named  # type: ignore[return-value]  # of recipes there are two kinds
