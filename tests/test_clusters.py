"""Numbers of personas and characters: the same ones in every subset of a table."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sample

from benchmark.sample import Sample
from scoring.clusters import SampleClusters

HERO = make_sample().agent_character
VILLAIN = replace(HERO, character_name="Villain")


def sample(number: int, persona: str, villain: bool = False, subset: str = "id") -> Sample:
    character = VILLAIN if villain else HERO
    return make_sample(f"s-{number}", user_persona=persona, agent_character=character, subset=subset)


IN_DISTRIBUTION = [sample(0, "baker"), sample(1, "sailor", villain=True), sample(2, "baker", villain=True)]
SHIFTED = [sample(3, "miner", subset="korean"), sample(4, "sailor", villain=True, subset="korean")]


@pytest.fixture
def clusters() -> SampleClusters:
    return SampleClusters([*IN_DISTRIBUTION, *SHIFTED], resamples=50, seed=3)


def test_equal_personas_and_equal_characters_share_a_number_over_all_subsets(clusters: SampleClusters) -> None:
    personas, characters = clusters.codes(IN_DISTRIBUTION)
    assert (personas.tolist(), characters.tolist()) == ([0, 1, 0], [0, 1, 1])
    personas, characters = clusters.codes(SHIFTED[::-1])
    assert (personas.tolist(), characters.tolist()) == ([1, 2], [1, 0])


def test_a_character_is_told_by_all_its_fields_and_not_by_its_name() -> None:
    double = replace(HERO, character_background="Another life.")
    samples = [make_sample("a"), make_sample("b", agent_character=double), make_sample("c")]
    assert SampleClusters(samples, resamples=2, seed=0).codes(samples)[1].tolist() == [0, 1, 0]


def test_what_two_subsets_share_gets_the_same_weights_in_both(clusters: SampleClusters) -> None:
    for clustering in range(3):
        of_id = clusters.weights(IN_DISTRIBUTION).clusterings[clustering]
        of_subset = clusters.weights(SHIFTED).clusterings[clustering]
        shared = of_id.weights_K_B[of_id.codes_N[1]], of_subset.weights_K_B[of_subset.codes_N[1]]
        assert np.array_equal(*shared)
        others = of_id.weights_K_B[of_id.codes_N[0]], of_subset.weights_K_B[of_subset.codes_N[0]]
        assert np.array_equal(*others) == (clustering == 1)  # "baker" and "miner" talk to the same character


def test_the_fewer_of_personas_and_characters_counts(clusters: SampleClusters) -> None:
    assert clusters.weights(IN_DISTRIBUTION).n_clusters == 2
    assert clusters.weights(IN_DISTRIBUTION[:1]).n_clusters == 1


def test_a_sample_that_is_not_in_the_table_has_no_number(clusters: SampleClusters) -> None:
    with pytest.raises(KeyError):
        clusters.codes([sample(9, "nobody")])
