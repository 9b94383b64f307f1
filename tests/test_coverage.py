"""The intervals of R-EMI hold the enumerated truth as often as they say."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmark.oracle import population_remi
from reports.validation import coverage
from reports.validation.coverage import SCENARIOS, SERIES, coverage_world, draw_samples, measure_coverage, run_coverage
from scoring.club import club_estimate


@pytest.mark.slow
def test_intervals_cover_the_truth_at_200_clusters() -> None:
    found = measure_coverage("differ", 200, repetitions=2000, resamples=400, seed=20)
    rows = dict(zip(SERIES, found, strict=True))
    two_way = rows["two-way"]
    assert two_way.low <= 0.96
    assert two_way.high >= 0.94
    assert rows["sample"].high < 0.94, "the world has no cluster effects to speak of"
    assert rows["persona"].high < 0.95
    assert rows["character"].high < 0.95
    assert rows["product of weights"].low > 0.97


@pytest.mark.parametrize("unequal_sizes", [False, True])
def test_estimates_from_drawn_clusters_centre_on_the_enumerated_truth(unequal_sizes: bool) -> None:
    world = coverage_world(SCENARIOS["differ"].skills)
    rng = np.random.default_rng(0)
    drawn = [draw_samples(world, 150, rng, unequal_sizes=unequal_sizes) for _ in range(200)]
    estimates = [club_estimate(samples.remi_N_N) for samples in drawn]
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(population_remi(world, "P"), abs=4 * error)
    assert error < 0.02


@pytest.mark.parametrize("unequal_sizes", [False, True])
def test_every_cluster_occurs_and_sizes_are_as_asked(unequal_sizes: bool) -> None:
    samples = draw_samples(coverage_world((0.0, 1.0)), 100, np.random.default_rng(1), unequal_sizes=unequal_sizes)
    for codes in (samples.personas_N, samples.characters_N):
        sizes = np.bincount(codes)
        assert (len(codes), len(sizes), sizes.min()) == (200, 100, 1)
        assert (sizes.max() > 10) == unequal_sizes


def test_the_same_seed_gives_the_same_coverage() -> None:
    def shares(seed: int) -> list[float]:
        return [row.coverage for row in measure_coverage("differ", 12, repetitions=40, resamples=50, seed=seed)]

    assert shares(1) == shares(1)
    assert shares(1) != shares(2)


def test_the_study_writes_a_row_for_each_scenario_size_and_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "CLUSTERS", (5, 8))
    monkeypatch.setattr(coverage, "REPETITIONS", 20)
    path = run_coverage(tmp_path, seed=1)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["scenario"], row["clusters"], row["series"]) for row in rows] == [
        (scenario, size, series) for scenario in SCENARIOS for size in ("5", "8") for series in SERIES
    ]
    assert all(0 <= float(r["low"]) <= float(r["coverage"]) <= float(r["high"]) <= 1 for r in rows)
    figure = (tmp_path / "coverage.svg").read_bytes()
    run_coverage(tmp_path, seed=1)
    assert (tmp_path / "coverage.svg").read_bytes() == figure
