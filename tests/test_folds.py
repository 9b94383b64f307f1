"""Folds keep together what shares a persona, character or dialogue, and give every fold its share of each subset."""

import itertools
from collections.abc import Sequence

import pytest
from conftest import make_sample

from benchmark import AgentCharacter, Benchmark, Sample, UserMistakes
from corl.folds import LEAST_A_FOLD, connected_components, make_folds


def sample(number: int, persona: str, character: str, sources: Sequence[str] = ()) -> Sample:
    who = AgentCharacter(character, "Science", "Book", "Born.", "Lived.", "Kind.")
    return make_sample(f"T-{number}", user_persona=persona, agent_character=who, source_sample_ids=tuple(sources))


def brute_force(samples: Sequence[Sample]) -> set[frozenset[str]]:
    """Join groups that share anything until none do."""
    groups = [{s.sample_id} for s in samples]
    marks = {
        s.sample_id: {("p", s.user_persona), ("c", s.agent_character), ("s", s.sample_id)}
        | {("s", source) for source in s.source_sample_ids}
        for s in samples
    }
    joined = True
    while joined:
        joined = False
        for one, other in itertools.combinations(groups, 2):
            if set.union(*(marks[i] for i in one)) & set.union(*(marks[i] for i in other)):
                one |= other
                groups.remove(other)
                joined = True
                break
    return {frozenset(group) for group in groups}


def test_components_are_those_found_by_joining_what_shares_anything() -> None:
    samples = [
        sample(1, "a", "x"),
        sample(2, "b", "x"),
        sample(3, "b", "y"),
        sample(4, "c", "z"),
        sample(5, "d", "w", ["T-4", "elsewhere"]),
        sample(6, "e", "v", ["elsewhere"]),
        sample(7, "f", "u"),
    ]
    found = {frozenset(component) for component in connected_components(samples)}
    assert found == {frozenset({"T-1", "T-2", "T-3"}), frozenset({"T-4", "T-5", "T-6"}), frozenset({"T-7"})}
    assert found == brute_force(samples)


def test_components_of_the_mini_benchmark_equal_those_of_brute_force(mini: Benchmark) -> None:
    samples = [s for key in ("id", "literature", "turn_level", "word_level") for s in mini.test[key]]
    assert {frozenset(component) for component in connected_components(samples)} == brute_force(samples)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_folds_split_no_component_and_share_every_subset(mini: Benchmark, count: int) -> None:
    folds = make_folds(mini.test, count, seed=42)
    samples = [s for subset in mini.test.values() for s in subset]
    assert sorted(folds.assignments) == sorted(s.sample_id for s in samples)
    for component in connected_components(samples):
        assert len({folds.of(sample_id) for sample_id in component}) == 1
    for subset in mini.test.values():
        sizes = [sum(folds.of(s.sample_id) == fold for s in subset) for fold in range(count)]
        assert min(sizes) >= LEAST_A_FOLD
        assert max(sizes) - min(sizes) <= len(subset) // 2
    assert set.union(*(folds.held_out(fold) for fold in range(count))) == set(folds.assignments)


def test_folds_depend_on_the_seed_alone(mini: Benchmark) -> None:
    assert make_folds(mini.test, 3, seed=1) == make_folds(mini.test, 3, seed=1)
    assert make_folds(mini.test, 3, seed=1).assignments != make_folds(mini.test, 3, seed=2).assignments


def test_an_unknown_sample_gets_the_first_fold(mini: Benchmark) -> None:
    assert make_folds(mini.test, 2, seed=1).of("never seen") == 0


def test_subsets_that_hang_together_too_much_are_all_listed() -> None:
    chained = [sample(number, "one user", f"c{number}") for number in range(8)]
    free = [sample(number, f"u{number}", f"d{number}") for number in range(20, 28)]
    with pytest.raises(UserMistakes, match="up to 8 samples share") as caught:
        make_folds({"id": chained, "german": free[:3], "gaming": free[3:]}, 2, seed=0)
    assert [mistake.where for mistake in caught.value.mistakes] == ["folds: id", "folds: german"]


def test_one_fold_is_no_cross_fitting(mini: Benchmark) -> None:
    with pytest.raises(ValueError, match="2 folds or more"):
        make_folds(mini.test, 1, seed=0)
