"""The bench of the methods: its ratios are those of its parts, and what it compares is the same work."""

from pathlib import Path

import pytest

from rpm_methods.bench import Shape, bench_gradients, bench_sampling, bench_step, cut_prompts
from scoring.models.resolver import ModelLocation, locate_model

pytestmark = pytest.mark.slow
SHAPE = Shape(prompts=2, rollouts=3, prompt_tokens=30, new_tokens=5)


@pytest.fixture(scope="module")
def location(tiny_model: Path) -> ModelLocation:
    return locate_model(str(tiny_model))


def test_prompts_are_different_texts_of_the_same_length(location: ModelLocation) -> None:
    prompts = cut_prompts(location, SHAPE)
    assert [len(ids) for ids in prompts] == [30, 30]
    assert prompts[0] != prompts[1]


def test_rates_of_sampling_and_their_ratio(location: ModelLocation) -> None:
    found = bench_sampling(location, "float32", SHAPE)
    assert found["tokens"] == found["plain_tokens"] == 2 * 3 * 5
    assert found["speedup"] == found["tokens_per_second"] / found["plain_tokens_per_second"]


def test_a_step_of_both_trainers_runs_and_its_share_is_that_of_the_seconds(location: ModelLocation) -> None:
    found = bench_step(location, "float32", SHAPE)
    assert found["share_of_plain"] == found["seconds"] / found["plain_seconds"] > 0


def test_gradients_of_both_ways_agree(location: ModelLocation) -> None:
    found = bench_gradients(location, "float32", SHAPE, batches=2)
    assert found["float32_cosine"] > 0.99999
    assert found["distance"] < 1e-4
    assert found["plain_distance"] == 0
    assert found["distance_ratio"] is None
