"""Recipes of small comparisons, written as the files that a user would write."""

from collections.abc import Mapping
from pathlib import Path

BRIEF = """kind: method
base_model: {model}
estimator: estimator.yaml
benchmark: {{source: mini, train_samples: 2, test_samples: 2, subsets: [id, korean]}}
generation: {{max_new_tokens: 4}}
scoring: {{embedding: {embedding}, resamples: 100, gaussian_baseline: false}}
compute: {{device: cpu, dtype: float32, threads: 1}}
"""
"""What the recipes of a very short comparison share, for `model` and `embedding` to be filled in."""


def base_estimator(model: Path) -> str:
    """Return the recipe of an estimator without reasoning."""
    return f"kind: estimator\nestimator: base\nmodel: {model}\n"


def write_recipes(folder: Path, base: str, methods: Mapping[str, str], estimator: str) -> Path:
    """Write `_base.yaml`, `estimator.yaml` and a recipe for each method, and return the folder.

    `methods` holds what the recipe of each says beside its name, as lines.
    """
    folder.mkdir(exist_ok=True)
    (folder / "_base.yaml").write_text(base)
    (folder / "estimator.yaml").write_text(estimator)
    for name, lines in methods.items():
        (folder / f"{name}.yaml").write_text(f"kind: method\nextends: _base\nmethod: {name}\n{lines}\n")
    return folder
