"""An adapter is trained further from where it was, with others frozen beside it on the one base in memory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, Sample
from rpm_methods.arguments import AdapterSettings
from rpm_methods.merged_adapter import in_float32, merged, without_adapters
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import RolloutSettings, RolloutTask, train_on_rollouts
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import prompt_rows, training_rows
from scoring.models.causal_lm import load_chat, load_weights, merge_adapter
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model
from scoring.sampling import Rollout

WEIGHTS = "adapter/adapter_model.safetensors"
SFT = AdapterSettings(training={"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2})
RL = RolloutSettings(
    training={"max_steps": 2, "learning_rate": 1e-2, "num_generations": 2, "per_device_train_batch_size": 2}
)
IDS = torch.arange(9)[None]


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    base = locate_model(str(tiny_model))
    return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path / "first")


def imitate(context: TrainContext) -> Path:
    context.folder.mkdir()
    rows = training_rows(context.samples, context.renderer, "response", load_chat(context.base))
    train_on_rows(rows, SFT, context)
    return context.folder / "adapter"


def beside(context: TrainContext, name: str, **changes: Any) -> TrainContext:  # noqa: ANN401
    return replace(context, folder=context.folder.parent / name, **changes)


def task(context: TrainContext, part: RewardPart) -> RolloutTask:
    rows = prompt_rows(context.samples, context.renderer, "response", load_chat(context.base))
    return RolloutTask(rows, context.samples, "</Agent Response>", [part])


def test_training_goes_on_from_the_adapter_that_was_given(context: TrainContext) -> None:
    first = imitate(context)
    still = beside(context, "still", adapter=first)
    still.folder.mkdir()
    rows = training_rows(context.samples, context.renderer, "response", load_chat(context.base))
    unmoving = AdapterSettings(training={"max_steps": 1, "learning_rate": 1e-30, "per_device_train_batch_size": 2})
    with pytest.raises(Exception, match="moved no parameter"):
        train_on_rows(rows, unmoving, still)
    further = load_file(imitate(beside(context, "further", adapter=first)) / "adapter_model.safetensors")
    start = load_file(first / "adapter_model.safetensors")
    new = load_file(imitate(beside(context, "new")) / "adapter_model.safetensors")
    assert further.keys() == start.keys()
    assert all(new[name].equal(start[name]) for name in start), "the same training from nothing is the same"
    moved = max(float((further[name] - start[name]).abs().max()) for name in start)
    assert 0 < moved < 0.1


def test_rewards_see_the_frozen_adapter_beside_the_one_in_training_and_the_bare_base(context: TrainContext) -> None:
    one, other = imitate(context), imitate(beside(context, "other", seed=4))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    models: list[Any] = []

    def score(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        model = models[-1]
        with torch.inference_mode(), merged(model, "policy") as policy:
            of_policy = policy(IDS).logits
        with torch.inference_mode(), without_adapters(model) as bare:
            seen.append((of_policy, bare(IDS).logits))
        return [float(sum(rollout.ids) % 97) for rollout in rollouts]

    class Prepared:
        def __init__(self, model: object) -> None:
            models.append(model)

        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

    training = beside(context, "rl", adapter=one, beside={"policy": other})
    training.folder.mkdir()
    train_on_rollouts(task(context, RewardPart("seen", score, Prepared)), RL, training)
    base = load_weights(context.base, "float32").eval()
    with torch.inference_mode():
        plain = base(IDS).logits
        expected = merge_adapter(base, other)(IDS).logits
    assert len(seen) >= 2
    for of_policy, bare in seen:
        torch.testing.assert_close(of_policy, expected)
        torch.testing.assert_close(bare, plain)
    assert load_file(training.folder / WEIGHTS).keys() == load_file(one / "adapter_model.safetensors").keys()
    assert not list((training.folder / "adapter").glob("policy"))
    assert any(
        not tensor.equal(load_file(one / "adapter_model.safetensors")[name])
        for name, tensor in load_file(training.folder / WEIGHTS).items()
    )


def test_interrupted_beside_a_frozen_adapter_goes_on_to_the_same_end(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = imitate(context), imitate(beside(context, "other", seed=4))
    uneven = RewardPart("uneven", lambda sample, rollouts: [float(sum(r.ids) % 97) for r in rollouts])
    settings = RL.model_copy(update={"training": {**RL.training, "save_steps": 1}})
    made = []
    for name in ("straight", "broken"):
        training = beside(context, name, adapter=one, beside={"policy": other})
        training.folder.mkdir()
        if name == "broken":
            with monkeypatch.context() as patch:
                patch.setattr("rpm_methods.adapter_training._save", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    train_on_rollouts(task(context, uneven), settings, training)
        train_on_rollouts(task(context, uneven), settings, training)
        made.append((training.folder / WEIGHTS).read_bytes())
    assert made[0] == made[1]


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_new_adapter_has_none_beside_it(context: TrainContext) -> None:
    context.folder.mkdir()
    with pytest.raises(ValueError, match="not beside a new one"):
        train_on_rollouts(
            task(context, RewardPart("none", lambda sample, rollouts: [0.0] * len(rollouts))),
            RL,
            replace(context, beside={"policy": Path("anywhere")}),
        )


def test_computing_in_float32_gives_float32_results_and_leaves_the_weights(context: TrainContext) -> None:
    model = load_weights(context.base, "bfloat16").eval()
    before = {name: (p.data_ptr(), p.clone()) for name, p in model.named_parameters()}
    with torch.inference_mode(), in_float32(model):
        exact = model(IDS).logits
    assert exact.dtype == torch.float32
    reference = load_weights(context.base, "bfloat16").float().eval()
    with torch.inference_mode():
        assert exact.equal(reference(IDS).logits)
    for name, parameter in model.named_parameters():
        assert (parameter.data_ptr(), parameter.dtype) == (before[name][0], torch.bfloat16)
        assert parameter.equal(before[name][1])
