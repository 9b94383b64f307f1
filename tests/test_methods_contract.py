"""What every method that is installed must do, found by entry point."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from method_helpers import make, train_once
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, RunFailure, UserMistakes
from rpm_methods.artifact import read_artifact
from rpm_methods.method import Method, TrainContext
from rpm_methods.policy import Policy, load_policy
from rpm_methods.registry import get_method, methods
from rpm_methods.rollout_source import RewardPart
from scoring.models.causal_lm import load_weights
from scoring.models.generation import Generation, Sampling
from scoring.models.resolver import locate_model

QUICK = ("icl", "sft", "grpo")
"""One method of each way of training; the others are as slow and run in CI."""


def every_method() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(methods())]


@pytest.fixture(scope="module", params=every_method())
def method(request: pytest.FixtureRequest) -> Method[Any]:
    return get_method(request.param)


@pytest.fixture(scope="module", autouse=True)
def rewards_with_spread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("grpo", "thinking_rl"):
            patch.setattr(f"rpm_methods.{module}.full_marks_reward", uneven_reward)
        patch.setattr("corl.thinking_loop.thinking_reward", uneven_reward)
        patch.setattr("corl.thinking_loop.response_rewards", lambda *arguments: [uneven_reward()])
        yield


@pytest.fixture(scope="module")
def setting(
    tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path_factory: pytest.TempPathFactory
) -> TrainContext:
    """Return what every training gets; its folder holds a folder for each method that was trained for all tests."""
    base = locate_model(str(tiny_model))
    return TrainContext(
        base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path_factory.mktemp("made")
    )


@pytest.fixture(scope="module")
def straight(method: Method[Any], setting: TrainContext) -> TrainContext:
    """Return the context of a training without interruption, which tests read and leave as it is."""
    return train_once(method, setting)


@pytest.fixture
def context(setting: TrainContext, tmp_path: Path) -> TrainContext:
    return replace(setting, folder=tmp_path)


@dataclass(frozen=True)
class Trained:
    """What a training left that must be the same when it is repeated."""

    steps: list[tuple[float, ...]]
    """Loss, gradient norm and, where answers are rewarded, mean reward of each step."""
    adapter: bytes
    rollouts: str


def trained(folder: Path) -> Trained:
    logs = [row for path in sorted(folder.rglob("training_log.json")) for row in json.loads(path.read_text())]
    names = ("loss", "grad_norm", "reward")
    steps = [tuple(row[name] for name in names if name in row) for row in logs if "loss" in row]
    return Trained(
        steps,
        (folder / "adapter" / "adapter_model.safetensors").read_bytes(),
        "".join(path.read_text() for path in sorted(folder.rglob("rollouts.jsonl"))),
    )


def uneven_reward(*arguments: object) -> RewardPart:
    """Return a reward that tells any two different answers apart, malformed ones too, as a random model's are."""
    return RewardPart("uneven", lambda sample, rollouts: [float(sum(rollout.ids) % 97) for rollout in rollouts])


def load(folder: Path, renderer: PromptRenderer) -> Policy:
    return load_policy(read_artifact(folder), renderer=renderer, dtype="float32", device="cpu")


def answers(policy: Policy, mini: Benchmark) -> list[Generation]:
    samples = [mini.test[key][0] for key in ("id", "korean")]
    made = {index: answer for batch in policy.generate(policy.prompts(samples)) for index, answer in batch}
    return [made[index] for index in range(len(samples))]


def test_both_methods_are_found_in_the_order_of_the_table() -> None:
    assert [name for name in methods() if name in ("icl", "sft")] == ["icl", "sft"]


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserMistakes, match="did you mean 'sft'"):
        get_method("stf")


def test_the_artifact_reloads_and_answers_the_same(
    straight: TrainContext, renderer: PromptRenderer, mini: Benchmark
) -> None:
    first = answers(load(straight.folder, renderer), mini)
    assert first == answers(load(straight.folder, renderer), mini)
    assert all(answer.text is not None for answer in first)


def test_the_same_seed_gives_the_same_losses_and_the_same_answers(
    method: Method[Any],
    setting: TrainContext,
    straight: TrainContext,
    renderer: PromptRenderer,
    mini: Benchmark,
    tmp_path: Path,
) -> None:
    assert make(method, setting, tmp_path) == read_artifact(tmp_path)
    if method.spec.trains:
        assert trained(tmp_path) == trained(straight.folder)
    assert answers(load(tmp_path, renderer), mini) == answers(load(straight.folder, renderer), mini)


def test_interrupted_and_resumed_equals_uninterrupted(
    method: Method[Any], setting: TrainContext, straight: TrainContext, tmp_path: Path
) -> None:
    if not method.spec.trains:
        pytest.skip("trains nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rpm_methods.adapter_training._save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(method, setting, tmp_path)
    (last,) = tmp_path.rglob("checkpoint-2")
    shutil.rmtree(last)
    make(method, setting, tmp_path)
    assert trained(tmp_path) == trained(straight.folder)


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_what_starts_from_another_policy_merges_its_adapters_in_order(
    method: Method[Any], straight: TrainContext, renderer: PromptRenderer
) -> None:
    from rpm_methods.lineage import start_model

    if method.spec.starts_from == "base":
        pytest.skip("starts from the base model")
    assert straight.parent is not None
    assert len(read_artifact(straight.folder).adapters) == len(straight.parent.adapters) + 1
    merged = start_model(straight)
    parent = load(straight.parent.folder, renderer).backend.lm.model
    ids = torch.arange(9)[None]
    assert torch.equal(merged(ids).logits, parent(ids).logits)
    base = load_weights(straight.base, "float32")
    assert not torch.equal(base(ids).logits, merged(ids).logits)


def test_a_method_that_trains_leaves_an_adapter_and_one_that_does_not_leaves_none(
    method: Method[Any], straight: TrainContext
) -> None:
    assert bool(read_artifact(straight.folder).adapters) == method.spec.trains
    if method.spec.trains:
        weights = load_file(straight.folder / "adapter" / "adapter_model.safetensors")
        moved = [tensor.any() for name, tensor in weights.items() if "lora_B" in name]
        assert any(moved), "lora_B begins as zero"
        assert all(steps[1] > 0 for steps in trained(straight.folder).steps)


def test_an_artifact_of_another_version_or_other_weights_is_refused(
    straight: TrainContext, renderer: PromptRenderer, tmp_path: Path
) -> None:
    shutil.copytree(straight.folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "policy.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "base_fingerprint": "other"}))
    with pytest.raises(RunFailure, match="trained on other weights"):
        load(tmp_path, renderer)
    path.write_text(json.dumps({**content, "format_version": 9}))
    with pytest.raises(RunFailure, match="format version 9"):
        load(tmp_path, renderer)


def test_icl_takes_the_nearest_training_samples_and_never_the_sample_itself(
    context: TrainContext, renderer: PromptRenderer, mini: Benchmark
) -> None:
    from rpm_methods.exemplars import input_text
    from scoring.embeddings import SentenceEmbedder

    make(get_method("icl"), context, context.folder)
    policy = load(context.folder, renderer)
    assert policy.exemplars is not None
    samples = [*context.samples[:2], mini.test["id"][0]]
    vectors = SentenceEmbedder("minilm").embed([input_text(s) for s in [*samples, *context.samples]])
    similarity = vectors[:3] @ vectors[3:].T
    for row, (sample, examples) in enumerate(zip(samples, policy.exemplars.nearest(samples), strict=True)):
        ranked = sorted(range(4), key=lambda i: -similarity[row, i])
        expected = [context.samples[i] for i in ranked if context.samples[i] != sample][:2]
        assert {s.sample_id for s in examples} == {s.sample_id for s in expected}


def test_icl_with_too_few_training_samples_is_a_mistake(context: TrainContext) -> None:
    icl = get_method("icl")
    with pytest.raises(UserMistakes, match="wants 9 examples, and there are 4"):
        icl.train(icl.config_type.model_validate({"examples": 9}), context)


def test_a_long_text_is_embedded_whole() -> None:
    from scoring.embeddings import SentenceEmbedder

    embedder = SentenceEmbedder("minilm")
    start = "bread and butter " * 200
    one, other = embedder.embed([start + "the sea", start + "an engine, a railway and a bridge " * 40])
    assert one @ one == pytest.approx(1.0)
    assert one @ other < 0.97
