"""What every method that is installed must do, found by entry point."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, RunFailure, UserMistakes
from rpm_methods.artifact import PolicyArtifact, read_artifact
from rpm_methods.method import Method, MethodConfig, TrainContext
from rpm_methods.policy import Policy, load_policy
from rpm_methods.registry import get_method, methods
from rpm_methods.rollout_source import RewardPart
from scoring.models.causal_lm import load_weights
from scoring.models.generation import Generation, Sampling
from scoring.models.resolver import locate_model

TWO_STEPS = {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "save_steps": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "icl": {"examples": 2},
    "sft": {"training": TWO_STEPS},
    "da": {"training": TWO_STEPS},
    "dpo": {"training": TWO_STEPS},
    "rft": {"training": TWO_STEPS, "candidates": 2},
    "grpo": {"training": TWO_STEPS | {"num_generations": 2}},
    "thinking_sft": {"training": TWO_STEPS},
    "thinking_rl": {"training": TWO_STEPS | {"num_generations": 2}},
    "corl": {
        "iterations": 1,
        "max_reasoning_tokens": 8,
        "max_response_tokens": 6,
        "reasoning_rl": {"training": TWO_STEPS | {"num_generations": 2}},
        "imitation": {"training": TWO_STEPS},
        "response_rl": {"training": TWO_STEPS | {"num_generations": 2}},
    },
}
"""Settings that make a method small; one without an entry takes two steps, or its defaults if it trains nothing."""


QUICK = ("icl", "sft", "grpo")
"""One method of each way of training; the others are as slow and run in CI."""


def every_method() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(methods())]


@pytest.fixture(params=every_method())
def method(request: pytest.FixtureRequest) -> Method[Any]:
    return get_method(request.param)


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    base = locate_model(str(tiny_model))
    folder = tmp_path / "run"
    folder.mkdir()
    return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, folder)


def config_of(method: Method[Any]) -> MethodConfig:
    small = {"training": TWO_STEPS} if method.spec.trains else {}
    return method.config_type.model_validate(CONFIGS.get(method.spec.name, small))


def with_parent(method: Method[Any], context: TrainContext) -> TrainContext:
    """Return the context with the policy that the method starts from, made once beside its folder."""
    name = method.spec.starts_from
    if name == "base":
        return context
    folder = context.folder.parent / f"parent-{name}"
    if not folder.exists():
        folder.mkdir()
        parent = get_method(name)
        parent.train(config_of(parent), with_parent(parent, replace(context, folder=folder)))
    return replace(context, parent=read_artifact(folder))


def make(method: Method[Any], context: TrainContext) -> PolicyArtifact:
    return method.train(config_of(method), with_parent(method, context))


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


@pytest.fixture(autouse=True)
def rewards_with_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("grpo", "thinking_rl"):
        monkeypatch.setattr(f"rpm_methods.{module}.full_marks_reward", uneven_reward)
    monkeypatch.setattr("corl.thinking_loop.thinking_reward", uneven_reward)
    monkeypatch.setattr("corl.thinking_loop.response_rewards", lambda *arguments: [uneven_reward()])


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
    method: Method[Any], context: TrainContext, renderer: PromptRenderer, mini: Benchmark
) -> None:
    written = make(method, context)
    assert read_artifact(context.folder) == written
    first = answers(load(context.folder, renderer), mini)
    assert first == answers(load(context.folder, renderer), mini)
    assert all(answer.text is not None for answer in first)


def test_the_same_seed_gives_the_same_losses_and_the_same_answers(
    method: Method[Any], context: TrainContext, renderer: PromptRenderer, mini: Benchmark
) -> None:
    again = replace(context, folder=context.folder.parent / "again")
    again.folder.mkdir()
    make(method, context)
    make(method, again)
    if method.spec.trains:
        assert trained(context.folder) == trained(again.folder)
    assert answers(load(context.folder, renderer), mini) == answers(load(again.folder, renderer), mini)


def test_interrupted_and_resumed_equals_uninterrupted(
    method: Method[Any], context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not method.spec.trains:
        pytest.skip("trains nothing")
    straight = replace(context, folder=context.folder.parent / "straight")
    straight.folder.mkdir()
    make(method, straight)
    with monkeypatch.context() as patch:
        patch.setattr("rpm_methods.adapter_training._save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(method, context)
    (last,) = context.folder.rglob("checkpoint-2")
    shutil.rmtree(last)
    make(method, context)
    assert trained(context.folder) == trained(straight.folder)


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_what_starts_from_another_policy_merges_its_adapters_in_order(
    method: Method[Any], context: TrainContext, renderer: PromptRenderer
) -> None:
    from rpm_methods.lineage import start_model

    if method.spec.starts_from == "base":
        pytest.skip("starts from the base model")
    written = make(method, context)
    ready = with_parent(method, context)
    assert ready.parent is not None
    assert len(written.adapters) == len(ready.parent.adapters) + 1
    merged = start_model(ready)
    parent = load(ready.parent.folder, renderer).backend.lm.model
    ids = torch.arange(9)[None]
    assert torch.equal(merged(ids).logits, parent(ids).logits)
    base = load_weights(context.base, "float32")
    assert not torch.equal(base(ids).logits, merged(ids).logits)


def test_a_method_that_trains_leaves_an_adapter_and_one_that_does_not_leaves_none(
    method: Method[Any], context: TrainContext
) -> None:
    assert bool(make(method, context).adapters) == method.spec.trains
    if method.spec.trains:
        weights = load_file(context.folder / "adapter" / "adapter_model.safetensors")
        moved = [tensor.any() for name, tensor in weights.items() if "lora_B" in name]
        assert any(moved), "lora_B begins as zero"
        assert all(steps[1] > 0 for steps in trained(context.folder).steps)


def test_an_artifact_of_another_version_or_other_weights_is_refused(
    method: Method[Any], context: TrainContext, renderer: PromptRenderer
) -> None:
    make(method, context)
    path = context.folder / "policy.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "base_fingerprint": "other"}))
    with pytest.raises(RunFailure, match="trained on other weights"):
        load(context.folder, renderer)
    path.write_text(json.dumps({**content, "format_version": 9}))
    with pytest.raises(RunFailure, match="format version 9"):
        load(context.folder, renderer)


def test_icl_takes_the_nearest_training_samples_and_never_the_sample_itself(
    context: TrainContext, renderer: PromptRenderer, mini: Benchmark
) -> None:
    from rpm_methods.exemplars import input_text
    from scoring.embeddings import SentenceEmbedder

    make(get_method("icl"), context)
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
