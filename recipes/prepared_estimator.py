"""A recipe of a trained estimator made ready: benchmark read, samples drawn, folds and traces tried, nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.loading import load_benchmark
from benchmark.prompts import PromptRenderer
from benchmark.sample import Benchmark
from benchmark.seeds import derive_seed
from corl.cold_start import cold_start
from corl.estimator_training import FitData
from corl.folds import make_folds
from recipes.reading import read_recipes
from recipes.samples import draw_samples
from recipes.schema import TRAIN, CoRLEstimatorRecipe
from rpm_methods.teacher_reasoning import recorded_reasoning
from scoring.models.resolver import check_model
from scoring.reasoning_text import reasoning_reader


@dataclass(frozen=True)
class PreparedEstimator:
    """A recipe with the samples that it names."""

    recipe: CoRLEstimatorRecipe
    data: FitData
    renderer: PromptRenderer

    @property
    def model(self) -> str:
        """Name of the base model."""
        return self.recipe.model


def prepare_estimator(recipe: CoRLEstimatorRecipe, renderer: PromptRenderer) -> PreparedEstimator:
    """Read what a recipe names and try what can be tried without a model.

    Raises:
        UserMistakes: all mistakes in the benchmark, the splits, the folds and the recorded traces.
    """
    mistakes = check_model(recipe.model, "estimator recipe: model")
    data = None
    try:
        benchmark = load_benchmark(recipe.benchmark.source)
        data = _fit_data(recipe, benchmark, mistakes)
        mistakes += _faults(recipe, data, renderer)
    except UserMistakes as error:
        mistakes += error.mistakes
    if mistakes or data is None:
        raise UserMistakes(list(dict.fromkeys(mistakes)))
    return PreparedEstimator(recipe, data, renderer)


def read_estimator_recipe(name: str, overrides: Sequence[str]) -> CoRLEstimatorRecipe:
    """Read the recipe of an estimator that is to be trained.

    Raises:
        UserMistakes: all mistakes in it, or it is a recipe of something else.
    """
    read = [recipe for _, recipe in read_recipes([name], list(overrides), overridden=("estimator",))]
    found = [recipe for recipe in read if isinstance(recipe, CoRLEstimatorRecipe)]
    if len(found) != 1 or len(read) != 1:
        remedy = "name one recipe of kind estimator with estimator: corl"
        raise UserMistakes([Mistake(name, "is not the recipe of one estimator that is trained", remedy)])
    return found[0]


def _fit_data(recipe: CoRLEstimatorRecipe, benchmark: Benchmark, mistakes: list[Mistake]) -> FitData:
    train, test = draw_samples(benchmark, recipe.benchmark, recipe.seed)
    if not train:
        problem = "has no training samples, on whose reasoning the estimator starts"
        mistakes.append(Mistake(recipe.benchmark.source, problem, "add a split IDTrain"))
    wanted = [key for key in recipe.fit_on if key != TRAIN]
    absent = [key for key in wanted if not test.get(key)]
    mistakes += [
        Mistake("estimator recipe: fit_on", f"there are no samples of {key}", "leave it out") for key in absent
    ]
    subsets = {key: test[key] for key in wanted if key not in absent}
    return FitData(train, subsets, co_evolve_on_train=TRAIN in recipe.fit_on)


def _faults(recipe: CoRLEstimatorRecipe, data: FitData, renderer: PromptRenderer) -> list[Mistake]:
    """Return what is wrong with folds and recorded traces."""
    mistakes: list[Mistake] = []
    try:
        if recipe.folds is not None and data.subsets:
            make_folds(data.subsets, recipe.folds, derive_seed(recipe.seed, "folds"))
    except UserMistakes as error:
        mistakes += error.mistakes
    try:
        if recipe.config.recorded is not None and data.train:
            reader = reasoning_reader(renderer, recipe.config.template)
            traces = recorded_reasoning(recipe.config.recorded, data.train)
            cold_start(data.train, traces, reader, recipe.config.copying_limit)
    except UserMistakes as error:
        mistakes += error.mistakes
    return mistakes
