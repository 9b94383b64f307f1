"""The stage that turns blocks of likelihoods into `remi.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.run_store import write_json
from benchmark.sample import Sample
from benchmark.subsets import subset
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from scoring.estimator import read_estimator
from scoring.pair_matrix import load_block
from scoring.remi import estimate_remi

REMI = "remi.json"


def write_scores(
    estimator_folder: Path,
    golden_folder: Path,
    method_folders: Mapping[tuple[str, str], Path],
    test: Mapping[str, Sequence[Sample]],
    seed: int,
    folder: Path,
) -> StageReport:
    """Write one row a base model, method, subset and unit; a missing estimate is null."""
    description = read_estimator(estimator_folder / ESTIMATOR).description
    rows: list[dict[str, object]] = []
    for (base_model, method), blocks in method_folders.items():
        for key, samples in test.items():
            golden = load_block(golden_folder / f"{key}.npz")
            estimates = estimate_remi(samples, golden, load_block(blocks / f"{key}.npz"))
            for estimate in estimates:
                rows.append(
                    {
                        "base_model": base_model,
                        "method": method,
                        "subset": key,
                        "shift": subset(key).shift,
                        **asdict(estimate),
                        "ci_low": None,
                        "ci_high": None,
                        "interval_reliable": None,
                        "estimator": description.label,
                        "reasoning": description.reasoning,
                        "arithmetic": "exact",
                        "pairs": "off_diagonal",
                        "seed": seed,
                    }
                )
    write_json(folder / REMI, rows)
    return StageReport(counts={"rows": len(rows)})
