"""Divergences at equal sizes: what is drawn, what the floor is, and what is left when it is taken away."""

from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.divergence import representation_jsd
from scoring.divergence_estimate import (
    DivergenceEstimate,
    Rows,
    Statistic,
    embedding_statistic,
    estimate_divergences,
    matched_size,
    null_divergences,
)

Array = NDArray[np.float64]
WIDTH = 16


def embeddings(rows: int, seed: int, shift: float = 0.0) -> Array:
    sample = np.random.default_rng(seed).normal(size=(rows, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.5
    sample[:, 1] += shift
    return sample


def estimate(id_rows: Array, subset_rows: Array, seed: int = 0) -> DivergenceEstimate:
    statistic = embedding_statistic(np.concatenate([id_rows, subset_rows]))
    return estimate_divergences(statistic, len(id_rows), len(subset_rows), seed=seed)["jsd"]


def recording(names: tuple[str, ...] = ("jsd",)) -> tuple[Statistic, list[tuple[Rows, Rows]]]:
    calls: list[tuple[Rows, Rows]] = []

    def of_rows(rows_P: Rows, rows_Q: Rows) -> list[float]:
        calls.append((rows_P, rows_Q))
        return [float(len(calls) + i) for i in range(len(names))]

    return Statistic(names, of_rows), calls


@pytest.mark.parametrize(
    ("n_id", "n_subset", "size"), [(24, 12, 12), (23, 12, 11), (100, 12, 12), (4000, 3000, 512), (0, 5, 0)]
)
def test_the_size_is_the_subsets_up_to_half_the_id_test_and_the_cap(n_id: int, n_subset: int, size: int) -> None:
    assert matched_size(n_id, n_subset) == size


def test_each_draw_takes_other_rows_of_equal_number_without_repeats() -> None:
    statistic, calls = recording()
    estimate_divergences(statistic, 20, 8, seed=3, draws=4)
    null, raw = calls[:4], calls[4:]
    assert len(raw) == 4
    for p, q in calls:
        assert len(set(p)) == len(p) == len(set(q)) == len(q) == 8
    for p, q in null:
        assert max(p.max(), q.max()) < 20
        assert not set(p) & set(q)
    for p, q in raw:
        assert p.max() < 20
        assert set(q) == set(range(20, 28))
    assert len({tuple(sorted(p)) for p, _ in raw}) == 4


def test_the_summary_of_known_values_by_hand() -> None:
    """The null's draws are worth 1, 2 and 3, the raw ones 4, 5 and 6; the second statistic is one more."""
    statistic, _ = recording(("a", "b"))
    estimates = estimate_divergences(statistic, 20, 8, seed=3, draws=3)
    assert astuple(estimates["a"]) == pytest.approx((5.0, 1.0, 2.0, 2.9, 3.0, 8, 3))
    assert astuple(estimates["b"]) == pytest.approx((6.0, 1.0, 3.0, 3.9, 3.0, 8, 3))


def test_the_seed_alone_decides_and_subsets_of_one_size_share_the_id_rows() -> None:
    def drawn(n_subset: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
        statistic, calls = recording()
        estimate_divergences(statistic, 20, n_subset, seed=seed, cap=8)
        return [p.tolist() for p, _ in calls], [q.tolist() for _, q in calls]

    assert drawn(8, 3) == drawn(8, 3)
    assert drawn(8, 3)[0] == drawn(30, 3)[0] != drawn(8, 4)[0]


def test_a_null_made_before_gives_the_same_estimate() -> None:
    id_rows, subset_rows = embeddings(40, 1), embeddings(12, 2, shift=1.0)
    statistic = embedding_statistic(np.concatenate([id_rows, subset_rows]))
    null = null_divergences(embedding_statistic(id_rows), 40, 12, seed=5)
    shared = estimate_divergences(statistic, 40, 12, seed=5, null=null)
    assert shared == estimate_divergences(statistic, 40, 12, seed=5)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_shift_the_raw_value_is_all_floor_and_nothing_is_left(seed: int) -> None:
    result = estimate(embeddings(400, 10 + seed), embeddings(60, 20 + seed))
    assert result.raw is not None
    assert result.null_mean is not None
    assert result.bias_removed is not None
    assert result.raw > 0.05
    assert abs(result.bias_removed) < 0.01
    assert result.bias_removed == pytest.approx(result.raw - result.null_mean)


def test_of_a_clear_shift_the_large_sample_value_is_left() -> None:
    large = representation_jsd(embeddings(100_000, 30), embeddings(100_000, 31, shift=1.5))
    assert large > 0.05
    results = [estimate(embeddings(400, 40 + i), embeddings(60, 50 + i, shift=1.5)) for i in range(8)]
    raw, null_q95, removed = np.array([[r.raw, r.null_q95, r.bias_removed] for r in results], dtype=np.float64).T
    assert raw.mean() > large + 0.04
    assert removed.mean() == pytest.approx(large, abs=0.01)
    assert (raw > null_q95).all()


def test_for_distant_distributions_too_much_is_removed() -> None:
    """Two samples in orthogonal spaces are at ln 2 whatever their size."""
    id_rows, subset_rows = np.pad(embeddings(100, 60), ((0, 0), (0, WIDTH))), embeddings(30, 61)
    result = estimate(id_rows, np.pad(subset_rows, ((0, 0), (WIDTH, 0))))
    assert result.raw == pytest.approx(np.log(2))
    assert result.bias_removed is not None
    assert result.bias_removed < np.log(2) - 0.05


def test_what_is_left_can_be_negative() -> None:
    """One subset row of each direction is nearer to a set drawn by chance than two such sets are to each other."""
    id_rows = np.tile(np.eye(4), (10, 1))
    statistic = embedding_statistic(np.concatenate([id_rows, np.eye(4)]))
    result = estimate_divergences(statistic, 40, 4, seed=1, draws=200)["jsd"]
    assert result.bias_removed is not None
    assert result.bias_removed < 0


@pytest.mark.parametrize(("n_id", "n_subset"), [(5, 30), (30, 2), (0, 3)])
def test_under_three_rows_a_side_there_is_no_estimate_and_no_zero(n_id: int, n_subset: int) -> None:
    statistic, calls = recording(("a", "b"))
    estimates = estimate_divergences(statistic, n_id, n_subset, seed=0)
    none = DivergenceEstimate(None, None, None, None, None, min(n_id // 2, n_subset), 0)
    assert estimates == {"a": none, "b": none}
    assert not calls


def test_a_single_draw_and_a_null_of_another_size_or_statistic_are_refused() -> None:
    statistic, _ = recording(("a", "b"))
    with pytest.raises(ValueError, match="at least two"):
        estimate_divergences(statistic, 20, 8, seed=0, draws=1)
    null = null_divergences(statistic, 20, 8, seed=0)
    with pytest.raises(ValueError, match="null is of"):
        estimate_divergences(statistic, 20, 7, seed=0, null=null)
    with pytest.raises(ValueError, match="null is of"):
        estimate_divergences(recording(("b", "a"))[0], 20, 8, seed=0, null=null)
    with pytest.raises(ValueError, match="two disjoint sets of 11"):
        null_divergences(statistic, 20, 11, seed=0)
