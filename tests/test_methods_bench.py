"""The bench of the methods: its ratios are those of its parts, and what it compares is the same work."""

from pathlib import Path

import pytest
from torch.nn import Dropout

from rpm_methods.adapter_dropout import DroppingLinear
from rpm_methods.bench import Shape, bench_gradients, bench_sampling, bench_step, cut_prompts
from rpm_methods.bench_supervised import bench_supervised_step, supervised_trainer
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


def test_a_supervised_step_of_both_trainers_runs_and_its_share_is_that_of_the_seconds(location: ModelLocation) -> None:
    found = bench_supervised_step(location, "float32", rows=2)
    assert found["share_of_plain"] == found["seconds"] / found["plain_seconds"] > 0


def test_both_supervised_steps_have_the_same_rows_and_dropout_of_their_own_kind(location: ModelLocation) -> None:
    own, plain = (supervised_trainer(location, "float32", 2, plain=plain) for plain in (False, True))
    assert own.train_dataset["input_ids"] == plain.train_dataset["input_ids"]
    shares = {m.dropped / 2**15 for m in own.model.modules() if isinstance(m, DroppingLinear)}
    assert shares == {round(0.05 * 2**15) / 2**15}
    assert {m.p for m in plain.model.modules() if isinstance(m, Dropout) and m.p} == {0.05}
