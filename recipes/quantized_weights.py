"""What goes with quantised weights and what does not, found before anything runs."""

from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from recipes.environment import check_compute
from recipes.estimator_source import EstimatorSource
from recipes.prepared_estimator import PreparedEstimator
from recipes.reading import method_config
from recipes.schema import ComputeSettings, MethodRecipe
from rpm_methods.method import MethodConfig
from rpm_methods.registry import methods


def check_quantization(recipes: list[tuple[Path, MethodRecipe]]) -> list[Mistake]:
    """Return what is wrong with the recipes of a comparison, which share what `compute` says, on this machine."""
    path, first = recipes[0]
    mistakes = check_compute(first.compute, f"{path}: compute")
    for path, recipe in recipes:
        if recipe.method in methods():
            mistakes += _rewards(method_config(recipe), recipe.compute, f"{path}: config")
    return mistakes


def check_estimator(estimator: EstimatorSource, compute: ComputeSettings) -> list[Mistake]:
    """Return a mistake where an estimator that is to be trained cannot be trained in these weights."""
    if not isinstance(estimator, PreparedEstimator):
        return []
    return _rewards(estimator.recipe.config, compute, "estimator recipe: config")


def refuse_for_training(estimator: PreparedEstimator) -> None:
    """Raise UserMistakes with what is wrong with the `compute` of an estimator that is trained alone."""
    compute = estimator.recipe.compute
    if mistakes := [*check_compute(compute, "estimator recipe: compute"), *check_estimator(estimator, compute)]:
        raise UserMistakes(mistakes)


def _rewards(config: MethodConfig, compute: ComputeSettings, where: str) -> list[Mistake]:
    """Return a mistake where rewards are to be computed in float32 on the 8-bit weights that are trained."""
    if compute.quantization != "8bit" or getattr(config, "reward_precision", "model") != "float32":
        return []
    problem = "is float32, and the model that rewards has the weights in training, whose 8-bit products are not"
    return [Mistake(f"{where}.reward_precision", problem, "set it to model, or compute.quantization to 4bit")]
