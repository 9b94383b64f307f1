"""Differences between methods: what is paired, what is left out, and the family of the correction."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scoring.club import club_estimate
from scoring.statistics import (
    ClubBootstrap,
    ClusterBootstrap,
    MethodMatrix,
    PairedDifference,
    SubsetMatrices,
    holm,
    interval,
    paired_differences,
)


def paired_subset(scored: dict[str, list[int]], size: int = 24, seed: int = 0) -> SubsetMatrices:
    """Return a subset whose methods share most of their noise; `scored` names the samples each did not score."""
    rng = np.random.default_rng(seed)
    shared = 3 * rng.normal(size=(size, size)) + 8 * np.eye(size) * rng.normal(size=size)
    methods = {}
    for number, (name, missing) in enumerate(scored.items()):
        matrix = shared + (0.3 * number + 0.2 * rng.normal(size=size)) * np.eye(size)
        matrix[missing, :] = matrix[:, missing] = np.nan
        methods[name] = MethodMatrix(matrix, ~np.isin(np.arange(size), missing))
    return SubsetMatrices(np.arange(size), np.arange(size) // 2, ~np.eye(size, dtype=bool), methods)


def compare(subsets: dict[str, SubsetMatrices]) -> dict[tuple[str | None, str, str], PairedDifference]:
    codes = [np.concatenate([getattr(s, name) for s in subsets.values()]) for name in ("personas_N", "characters_N")]
    found = paired_differences(subsets, ClusterBootstrap(*codes, resamples=300, seed=1))
    return {(row.subset, row.first, row.second): row for row in found}


def test_differences_have_a_row_for_each_pair_and_column_and_one_family() -> None:
    subsets = {"id": paired_subset({"a": [], "b": [], "c": []}), "german": paired_subset({"a": [], "b": []}, seed=1)}
    found = compare(subsets)
    assert list(found) == [
        ("id", "a", "b"),
        ("german", "a", "b"),
        (None, "a", "b"),
        ("id", "a", "c"),
        ("id", "b", "c"),
    ]
    assert [row.adjusted_p for row in found.values()] == holm([row.p_value for row in found.values()])
    mean = (found["id", "a", "b"].difference + found["german", "a", "b"].difference) / 2  # type: ignore[operator]
    both = found[None, "a", "b"]
    assert both.difference == pytest.approx(mean)
    assert (both.n_samples, both.n_clusters) == (48, 12)


def test_paired_intervals_are_narrower_than_unpaired_ones() -> None:
    subset = paired_subset({"a": [], "b": []})
    table = ClusterBootstrap(subset.personas_N, subset.characters_N, resamples=300, seed=1)
    club = ClubBootstrap(subset.negatives_N_N, table.weights(subset.personas_N, subset.characters_N))
    errors = [interval(club.resamples(method.log_probs_N_N), 12) for method in subset.methods.values()]
    unpaired = math.hypot(*(error.standard_error for error in errors if error is not None))
    row = compare({"id": subset})["id", "a", "b"]
    assert row.interval is not None
    assert row.interval.standard_error < unpaired / 5
    assert row.p_value is not None
    assert row.p_value < 0.02


def test_only_samples_that_both_scored_count() -> None:
    subset = paired_subset({"a": [0], "b": [3, 5], "c": [0]})
    row = compare({"id": subset})["id", "a", "b"]
    kept = [i for i in range(24) if i not in (0, 3, 5)]
    a, b = (subset.methods[name].log_probs_N_N[np.ix_(kept, kept)] for name in "ab")
    assert row.difference == pytest.approx(club_estimate(a) - club_estimate(b))
    assert (row.n_samples, row.n_clusters) == (21, 12)
    alone = SubsetMatrices(
        np.array(kept),
        np.array(kept) // 2,
        ~np.eye(21, dtype=bool),
        {"a": MethodMatrix(a, np.ones(21, dtype=bool)), "b": MethodMatrix(b, np.ones(21, dtype=bool))},
    )
    codes = (subset.personas_N, subset.characters_N)
    (expected,) = paired_differences({"id": alone}, ClusterBootstrap(*codes, resamples=300, seed=1))
    assert row.interval is not None
    assert expected.interval is not None
    assert row.interval.standard_error == pytest.approx(expected.interval.standard_error)


@pytest.mark.parametrize("second", ["b", "d"])
def test_a_pair_does_not_depend_on_which_other_methods_are_compared_and_in_which_order(second: str) -> None:
    whole = paired_subset({"a": [], "b": [], "c": [], "d": [2]})
    two = replace(whole, methods={name: whole.methods[name] for name in (second, "a")})
    many, few = compare({"id": whole})["id", "a", second], compare({"id": two})["id", second, "a"]
    assert many.interval is not None
    assert few.interval is not None
    assert (many.difference, many.p_value) == pytest.approx((-few.difference, few.p_value))  # type: ignore[operator]
    assert (many.interval.low, many.interval.high) == pytest.approx((-few.interval.high, -few.interval.low))


def test_the_order_of_subsets_changes_nothing() -> None:
    subsets = {key: paired_subset({"a": [], "b": []}, seed=seed) for seed, key in enumerate(("id", "german", "film"))}
    there, back = compare(subsets), compare(dict(reversed(subsets.items())))
    for key, row in there.items():
        assert row.p_value == pytest.approx(back[key].p_value)
        assert row.difference == pytest.approx(back[key].difference)


def test_too_few_samples_give_no_difference_and_do_not_count_in_the_family() -> None:
    subset = paired_subset({"a": [], "b": [], "c": list(range(22))})
    found = compare({"id": subset, "german": paired_subset({"a": [], "c": []}, seed=1)})
    row = found["id", "a", "c"]
    assert (row.difference, row.interval, row.p_value, row.adjusted_p) == (None, None, None, None)
    assert row.n_samples == 2
    assert (None, "a", "c") not in found
    known = [row.p_value for row in found.values() if row.p_value is not None]
    assert len(known) == 2
    assert found["id", "a", "b"].adjusted_p == holm(known)[0]


def test_a_method_compared_with_itself_has_no_difference_and_no_p_value() -> None:
    subset = paired_subset({"a": []})
    twin = replace(subset, methods={"a": subset.methods["a"], "b": subset.methods["a"]})
    row = compare({"id": twin})["id", "a", "b"]
    assert (row.difference, row.p_value, row.adjusted_p) == (0.0, None, None)
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == (0.0, 0.0)
