"""What the tests of scoring share: a small benchmark file, files of responses, and runs over them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.loading import BUNDLED, load_benchmark
from benchmark.progress import SilentProgress
from benchmark.sample import Benchmark
from recipes.display import StageLines
from recipes.run import FinishedRun
from recipes.schema import ScoreSettings
from recipes.score import prepare_scoring, run_scoring
from scoring.block_files import BlockFiles
from scoring.pair_matrix import PairBlock

SIZES = {"id": 8, "korean": 6, "word_level": 4}
Answers = Mapping[str, str | None]
"""Sample ID -> response."""


def write_benchmark(path: Path, sizes: Mapping[str, int] = SIZES, train: int = 12) -> Benchmark:
    """Write the first rows of some subsets of the mini benchmark as a file of its own, and load it."""
    rows = json.loads((BUNDLED["mini"] / "benchmark.json").read_text(encoding="utf-8"))
    wanted = {s.sample_id for key, count in sizes.items() for s in load_benchmark("mini").test[key][:count]}
    kept = {split: [row for row in given if row["sample_ID"] in wanted] for split, given in rows.items()}
    path.write_text(json.dumps({**kept, "IDTrain": rows["IDTrain"][:train]}), encoding="utf-8")
    return load_benchmark(str(path))


def golden(benchmark: Benchmark) -> dict[str, str | None]:
    """Answer every test sample with its golden response."""
    return {s.sample_id: s.golden_response for samples in benchmark.test.values() for s in samples}


def echo(benchmark: Benchmark) -> dict[str, str | None]:
    """Answer every test sample with the last query of its dialogue."""
    return {s.sample_id: s.last_query for samples in benchmark.test.values() for s in samples}


def write_responses(path: Path, methods: Mapping[str, Answers]) -> Path:
    """Write a line for each method and sample."""
    lines = [
        json.dumps({"sample_id": sample_id, "method": method, "response": text})
        for method, answers in methods.items()
        for sample_id, text in answers.items()
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def settings(embedding: Path, **scoring: object) -> ScoreSettings:
    """Return settings that are quick and the same on every machine."""
    changed = {"embedding": str(embedding), "resamples": 200, "gaussian_baseline": False, **scoring}
    compute = {"device": "cpu", "dtype": "float32", "threads": 1}
    return ScoreSettings.model_validate({"scoring": changed, "compute": compute})


def score(
    responses: Path, benchmark: Benchmark, estimator: Path, out: Path, chosen: ScoreSettings
) -> tuple[FinishedRun, list[str]]:
    """Score a file of responses; return what the run left and what it told."""
    told: list[str] = []
    prepared = prepare_scoring(responses, benchmark.name, estimator, chosen)
    finished = run_scoring(prepared, out, progress=SilentProgress(), observer=StageLines(told.append))
    return finished, [" ".join(line.split()) for line in told]


def read_scores(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of scores."""
    rows: list[dict[str, Any]] = json.loads((out / "scores" / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def only(rows: Sequence[dict[str, Any]], **fields: object) -> dict[str, Any]:
    """Return the one row that has these values."""
    (row,) = [row for row in rows if all(row[key] == value for key, value in fields.items())]
    return row


def block(out: Path, column: str, subset: str) -> PairBlock:
    """Return a block of the run's one likelihood stage."""
    (stage,) = out.glob("stages/likelihoods-*/blocks.json")
    return BlockFiles(out / json.loads(stage.read_text())[column][subset]).load()


def outcome(out: Path) -> dict[str, bytes]:
    """Return scores and tables by name, byte for byte."""
    files = [*(out / "scores").iterdir(), *(out / "tables").iterdir()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def times(out: Path) -> dict[str, int]:
    """Return when each block was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("stages/blocks/*/block.npz")}


@dataclass(frozen=True)
class Workplace:
    """What every run needs, and a finished run over one method that others are compared with."""

    benchmark: Benchmark
    estimator: Path
    embedding: Path
    model: Path
    echo: Path
    """The file of that method's responses."""
    out: Path

    def score(self, responses: Path, out: Path, **scoring: object) -> list[str]:
        """Score a file and return what was told."""
        return score(responses, self.benchmark, self.estimator, out, settings(self.embedding, **scoring))[1]

    def arguments(self, responses: Path, out: Path, *more: str) -> list[str]:
        """Return the arguments of the same command."""
        shared = [str(responses), "--benchmark", self.benchmark.name, "--estimator", str(self.estimator)]
        fixed = ["resamples=200", f"embedding={self.embedding}"]
        sets = [part for value in fixed for part in ("--set", f"scoring.{value}")]
        compute = ["--set", "compute.threads=1", "--set", "compute.dtype=float32", "--set", "compute.device=cpu"]
        return ["score", *shared, "--out", str(out), *sets, *compute, *more]
