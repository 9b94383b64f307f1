"""The three forms in which a comparison is given its estimator."""

from pathlib import Path

from recipes.prepared_estimator import PreparedEstimator
from recipes.schema import BaseEstimatorRecipe

EstimatorSource = BaseEstimatorRecipe | PreparedEstimator | Path
"""A plain model by its recipe, one to train with its samples, or the directory of one that exists."""
