"""The stage that measures how far each shifted subset lies from the in-distribution test, by sentence embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.progress import Progress
from benchmark.run_store import read_json, write_json
from benchmark.sample import Sample
from benchmark.subsets import subset
from recipes.stage import StageReport
from recipes.stage_embeddings import COMPONENTS, COVERAGE, VECTORS, load_vectors
from scoring.divergence_estimate import (
    DivergenceEstimate,
    Null,
    Statistic,
    estimate_divergences,
    matched_size,
    null_divergences,
)
from scoring.joint_divergence import joint_statistic

DIVERGENCES = "divergences.json"
ID = "id"


def component_vectors(
    folder: Path, n_train: int, test: Mapping[str, Sequence[Sample]]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the embeddings of each subset: subset -> array name (a component, or "golden") -> rows."""
    vectors = load_vectors(folder / VECTORS)
    starts = np.cumsum([n_train, *map(len, test.values())])
    return {
        key: {name: rows[start : start + len(samples)] for name, rows in vectors.items()}
        for start, (key, samples) in zip(starts, test.items(), strict=False)
    }


def write_divergences(
    embeddings: Path,
    n_train: int,
    test: Mapping[str, Sequence[Sample]],
    embedding: str,
    seed: int,
    progress: Progress,
    folder: Path,
) -> StageReport:
    """Write one row a shifted subset and component, and one for their joint divergence with its parts."""
    vectors = component_vectors(embeddings, n_train, test)
    coverage = read_json(embeddings / COVERAGE)
    shifted = [key for key in test if key != ID] if ID in test else []
    rows: list[dict[str, object]] = []
    nulls: dict[int, Null] = {}
    with progress.task("divergences", len(shifted)) as advance:
        for key in shifted:
            found = _estimates(vectors[ID], vectors[key], seed, nulls)
            rows += _rows(key, found, coverage[key], embedding)
            advance(1)
    write_json(folder / DIVERGENCES, rows)
    return StageReport(counts={"subsets": len(shifted)})


def _estimates(
    of_id: Mapping[str, NDArray[np.float64]],
    of_subset: Mapping[str, NDArray[np.float64]],
    seed: int,
    nulls: dict[int, Null],
) -> dict[str, DivergenceEstimate]:
    """Return the estimates by name; the floor is computed once for subsets of one size."""
    sizes = len(of_id["user"]), len(of_subset["user"])
    statistic = _statistic(of_id, of_subset)
    size = matched_size(*sizes)
    if size not in nulls and size >= 3:
        nulls[size] = null_divergences(statistic, sizes[0], size, seed=seed)
    return estimate_divergences(statistic, *sizes, seed=seed, null=nulls.get(size))


def _statistic(of_id: Mapping[str, NDArray[np.float64]], of_subset: Mapping[str, NDArray[np.float64]]) -> Statistic:
    return joint_statistic(*(np.concatenate([of_id[name], of_subset[name]]) for name in COMPONENTS))


def _rows(
    key: str, found: Mapping[str, DivergenceEstimate], coverage: Mapping[str, Mapping[str, object]], embedding: str
) -> list[dict[str, object]]:
    """Arrange one subset's estimates; `part` is the component's Shapley part of the joint divergence."""
    nothing = {"unknown_share": None, "pieces_per_character": None, "measures_script": None}
    rows = []
    for component in (*COMPONENTS, "joint"):
        part = found.get(f"part_{component}")
        rows.append(
            {
                "subset": key,
                "shift": subset(key).shift,
                "component": component,
                **asdict(found[f"jsd_{component}"]),
                "part": None if part is None else part.raw,
                "part_bias_removed": None if part is None else part.bias_removed,
                **coverage.get(component, nothing),
                "embedding": embedding,
            }
        )
    return rows
