"""R-EMID and the bound on smaller draws: the whole draw is what the other files hold, a smaller one a part of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_helpers import block, echo, golden, only, read_scores, score, settings, write_benchmark, write_responses

from benchmark.run_store import read_jsonl
from benchmark.sample import Benchmark
from benchmark.seeds import derive_seed
from recipes.scored_run import ScoredRun
from recipes.stage_convergence import DRAWS, SHARES, ConvergenceStage, Draw
from recipes.stage_divergences import component_vectors
from scoring.calibrated_bound import calibrated_bound
from scoring.club import club_estimate
from scoring.divergence import representation_jsd
from scoring.estimator import write_base_estimator

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    sizes = {"id": 8, "korean": 8, "word_level": 4}
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / "b.json", sizes)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path, benchmark: Benchmark) -> Path:
    folder = tmp_path_factory.mktemp("convergence")
    write_base_estimator(str(tiny_model), folder / "estimator")
    methods = {"golden": golden(benchmark), "echo": echo(benchmark)}
    answers = write_responses(folder / "answers.jsonl", methods)
    score(answers, benchmark, folder / "estimator", folder / "out", settings(tiny_embedding))
    return folder / "out"


@pytest.fixture(scope="module")
def rows(out: Path) -> Rows:
    return read_jsonl(out / "scores" / "convergence.jsonl")


def test_the_whole_draw_is_what_the_score_files_hold(out: Path, rows: Rows) -> None:
    whole = [row for row in rows if row["share"] == 1.0]
    assert len(whole) == 2 * 2
    for row in whole:
        where = {"method": row["method"], "subset": row["subset"]}
        remid = only(read_scores(out, "remid"), **where, unit="nats_per_token")
        assert row["remid"] == pytest.approx(remid["remid"])


def test_a_share_has_its_draws_and_samples_and_too_small_ones_are_left_out(rows: Rows) -> None:
    found = Counter((row["subset"], row["share"], row["n_samples"]) for row in rows)
    assert found == {
        ("korean", 0.75, 6): 2 * DRAWS,
        ("korean", 1.0, 8): 2,
        ("word_level", 0.75, 3): 2 * DRAWS,
        ("word_level", 1.0, 4): 2,
    }
    assert set(SHARES) == {0.25, 0.5, 0.75, 1.0}


def test_a_draw_is_estimated_from_its_own_samples_and_the_same_for_every_method(
    out: Path, rows: Rows, benchmark: Benchmark
) -> None:
    run = ScoredRun(*(Path(),) * 4, [], 0, {}, benchmark.test, settings(Path()).scoring, seed=42)
    stage = ConvergenceStage(run)
    draw = Draw(0.75, 3)
    remi = {}
    for key in ("id", "korean"):
        members = stage._members("test", key, len(benchmark.test[key]), draw)
        assert len(set(members.tolist())) == len(members) == 6
        gained = block(out, "echo", key).means_N_N - block(out, "golden", key).means_N_N
        remi[key] = club_estimate(gained[np.ix_(members, members)])
    row = only(rows, method="echo", subset="korean", share=draw.share, draw=draw.number)
    assert row["remid"] == pytest.approx(remi["id"] - remi["korean"])
    assert {r["remid"] for r in rows if r["method"] == "golden"} == {0.0}


def test_the_bound_is_that_of_as_many_samples_drawn_from_both_sides(
    out: Path, rows: Rows, benchmark: Benchmark
) -> None:
    (embedded,) = out.glob("stages/embeddings-samples-*")
    vectors = component_vectors(embedded, 0, benchmark.test)
    draw = Draw(0.75, 7)
    jsd = {}
    for component in ("user", "character", "dialogue"):
        drawn = []
        for key in ("id", "korean"):
            seed = derive_seed(42, "convergence", "whole", key, "0.75", "7")
            members = np.sort(np.random.default_rng(seed).permutation(8)[: 6 // 2])
            drawn.append(vectors[key][component][members])
        jsd[f"jsd_{component}"] = representation_jsd(*drawn)
    row = only(rows, method="echo", subset="korean", share=draw.share, draw=draw.number)
    assert row["bound"] == pytest.approx(calibrated_bound(**jsd))
