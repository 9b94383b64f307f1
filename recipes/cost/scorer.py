"""The estimator as the cost of scoring sees it: which model, how many folds, whether and how it reasons."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.cost.estimator import Reasoned

if TYPE_CHECKING:
    from recipes.schema import EstimatorRecipe
    from scoring.estimator import Estimator


@dataclass(frozen=True)
class Scorer:
    """An estimator, trained or to be trained."""

    model: str
    folds: int
    reasoned: Reasoned | None
    """None for an estimator without reasoning."""


def scorer_of(estimator: "EstimatorRecipe | Estimator") -> Scorer:
    """Return what scoring needs to know of an estimator's recipe, or of one that exists."""
    from recipes.schema import CoRLEstimatorRecipe, EstimatorRecipe

    if isinstance(estimator, CoRLEstimatorRecipe):
        config = estimator.config
        reasoned = Reasoned(config.template, config.max_reasoning_tokens, config.reasoning_batch_tokens)
        return Scorer(estimator.model, estimator.folds or 1, reasoned)
    if isinstance(estimator, EstimatorRecipe):
        return Scorer(estimator.model, 1, None)
    description = estimator.description
    if not description.reasoning:
        return Scorer(description.base_model, estimator.n_folds, None)
    settings = estimator.reasoning_settings
    reasoned = Reasoned(settings.template, settings.max_new_tokens, settings.batch_tokens)
    return Scorer(description.base_model, estimator.n_folds, reasoned)
