"""Quantised weights by the real bitsandbytes, which computes on a CPU too; left out where it is not installed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from likelihood_helpers import naive
from safetensors.torch import load_file

from benchmark import Benchmark, PromptRenderer, RunFailure, Sample
from benchmark.run_store import read_json
from corl.reward_models import SharedBase
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import read_artifact
from rpm_methods.lineage import start_model
from rpm_methods.merged_adapter import in_float32, merged, without_adapters
from rpm_methods.method import TrainContext
from rpm_methods.policy import load_policy
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import RolloutSettings, RolloutTask, train_on_rollouts
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import prompt_rows, training_rows
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import context_length, load_causal_lm, load_chat, load_weights, merge_adapter
from scoring.models.generation import Sampling
from scoring.models.quantization import is_quantized, quantized
from scoring.models.resolver import ModelLocation, locate_model
from scoring.sampling import Rollout

pytest.importorskip("bitsandbytes", reason="QUANTISED MODELS ARE NOT TESTED: pip install rpm-methods[quantization]")
pytestmark = pytest.mark.slow

IDS = torch.arange(9)[None]
BOTH = ("8bit", "4bit")
STEPS = {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2}


@pytest.fixture(autouse=True)
def layers_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep bitsandbytes from packing weights for some processors, which suits neither training nor narrow layers."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


@pytest.fixture(scope="module")
def location(tiny_model: Path) -> ModelLocation:
    return locate_model(str(tiny_model))


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from peft import LoraConfig, get_peft_model

    made = []
    for number in range(2):
        torch.manual_seed(number)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        folder = tmp_path_factory.mktemp("adapters") / str(number)
        get_peft_model(load_weights(locate_model(str(tiny_model)), "bfloat16"), config).save_pretrained(folder)
        made.append(folder)
    return made


@pytest.fixture
def context(location: ModelLocation, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    folder = tmp_path / "first"
    folder.mkdir()
    return TrainContext(location, "4bit", "cpu", mini.train[:4], renderer, Sampling(6), 3, folder)


def logits(model: Any) -> torch.Tensor:  # noqa: ANN401
    with torch.inference_mode():
        found: torch.Tensor = model(IDS, use_cache=False).logits.float()
    return found


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.cosine_similarity(one.flatten(), other.flatten(), dim=0))


@pytest.mark.parametrize(("weights", "kind", "least"), [("8bit", torch.int8, 0.999), ("4bit", torch.uint8, 0.7)])
def test_layers_are_held_in_few_bits_and_the_output_layer_whole(
    location: ModelLocation, weights: str, kind: torch.dtype, least: float
) -> None:
    whole, lm = load_weights(location, "bfloat16").eval(), load_causal_lm(location, dtype=weights, device="cpu")
    layer = lm.model.model.layers[0]
    assert {layer.mlp.up_proj.weight.dtype, layer.self_attn.q_proj.weight.dtype} == {kind}
    assert lm.model.get_output_embeddings().weight.equal(whole.get_output_embeddings().weight)
    assert is_quantized(lm.model)
    assert not is_quantized(whole)
    assert least < likeness(logits(lm.model), logits(whole)) < 1


def test_four_bits_are_normal_floats_with_quantised_constants_that_compute_in_bfloat16(location: ModelLocation) -> None:
    layer = load_causal_lm(location, dtype="4bit", device="cpu").model.model.layers[1].mlp.down_proj
    assert (layer.weight.quant_type, layer.weight.compress_statistics) == ("nf4", True)
    assert layer.compute_dtype == torch.bfloat16


@pytest.mark.parametrize("weights", BOTH)
def test_all_adapters_but_the_last_are_merged_before_quantising_and_the_last_stands_beside(
    location: ModelLocation, adapters: list[Path], weights: str
) -> None:
    from peft import PeftModel

    below = quantized(merge_adapter(load_weights(location, "bfloat16"), adapters[0]), weights, "cpu")
    before = logits(below)
    beside = PeftModel.from_pretrained(below, adapters[1]).eval()
    for name, parameter in beside.named_parameters():
        if "lora" in name:
            parameter.data = parameter.data.bfloat16()
    found = logits(load_causal_lm(location, dtype=weights, device="cpu", adapters=adapters).model)
    assert found.equal(logits(beside))
    assert not torch.allclose(found, before, atol=0.1)


def test_a_single_adapter_stands_beside_the_quantised_base(location: ModelLocation, adapters: list[Path]) -> None:
    plain = load_causal_lm(location, dtype="4bit", device="cpu").model.model.layers[0].mlp.up_proj
    lm = load_causal_lm(location, dtype="4bit", device="cpu", adapters=adapters[:1])
    layer = lm.model.model.layers[0].mlp.up_proj
    assert torch.equal(layer.get_base_layer().weight, plain.weight)
    assert {tensor.dtype for name, tensor in layer.named_parameters() if "lora" in name} == {torch.bfloat16}


def test_an_adapter_that_cannot_be_read_is_named(location: ModelLocation, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=f"the adapter {tmp_path} cannot be read"):
        load_causal_lm(location, dtype="4bit", device="cpu", adapters=[tmp_path])


@pytest.mark.parametrize("weights", BOTH)
def test_likelihoods_behind_a_shared_prefix_are_those_of_a_plain_pass(
    location: ModelLocation, adapters: list[Path], weights: str
) -> None:
    lm = load_causal_lm(location, dtype=weights, device="cpu", adapters=adapters)
    prefix, responses = list(range(5, 60)), [list(range(70, 95)), [7, 8, 9]]
    (found,) = LikelihoodScorer(lm, batch_tokens=512).token_log_probs(
        prefix, [[Continuation(tuple(ids)) for ids in responses]]
    )
    for values, ids in zip(found, responses, strict=True):
        assert values.mean() == pytest.approx(naive(lm.model, prefix, ids).mean(), abs=0.05)


def test_training_starts_from_merged_weights_that_are_quantised_then(
    context: TrainContext, renderer: PromptRenderer
) -> None:
    parent = SupervisedFineTuning().train(SFTSettings(training=STEPS), context)
    child = replace(context, parent=parent, folder=context.folder.parent / "child")
    merged_first = merge_adapter(load_weights(context.base, "bfloat16"), parent.folder / "adapter")
    assert logits(start_model(child).eval()).equal(logits(quantized(merged_first, "4bit", "cpu")))


def rows(context: TrainContext) -> list[Any]:
    return training_rows(context.samples, context.renderer, "response", load_chat(context.base))


@pytest.mark.parametrize("weights", BOTH)
def test_an_adapter_is_trained_in_float32_on_quantised_weights_and_serves_as_it_was_trained(
    context: TrainContext, renderer: PromptRenderer, mini: Benchmark, weights: str
) -> None:
    context = replace(context, dtype=weights)
    artifact = SupervisedFineTuning().train(SFTSettings(training=STEPS), context)
    trained = load_file(artifact.folder / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in trained.values()} == {torch.float32}
    assert any(tensor.abs().max() > 0 for name, tensor in trained.items() if "lora_B" in name)
    losses = [row["loss"] for row in read_json(artifact.folder / "training_log.json") if "loss" in row]
    assert len(losses) == 2
    policy = load_policy(read_artifact(artifact.folder), renderer=renderer, dtype=weights, device="cpu")
    ((_, answer),) = next(policy.generate(policy.prompts(mini.test["id"][:1])))
    assert answer.new_tokens > 0


def test_the_first_loss_on_quantised_weights_is_near_that_on_whole_ones(context: TrainContext) -> None:
    found = {}
    for weights in ("bfloat16", "8bit"):
        folder = context.folder.parent / weights
        folder.mkdir()
        train_on_rows(rows(context), AdapterSettings(training=STEPS), replace(context, dtype=weights, folder=folder))
        found[weights] = read_json(folder / "training_log.json")[0]["loss"]
    assert found["8bit"] == pytest.approx(found["bfloat16"], rel=0.02)
    assert found["8bit"] != found["bfloat16"]


def test_rollouts_and_rewards_see_the_adapters_beside_weights_that_nothing_is_merged_into(
    context: TrainContext, location: ModelLocation
) -> None:
    train_on_rows(rows(context), AdapterSettings(training=STEPS), context)
    one = context.folder / "adapter"
    other = replace(context, folder=context.folder.parent / "other", seed=4)
    other.folder.mkdir()
    train_on_rows(rows(other), AdapterSettings(training=STEPS), other)
    seen: list[dict[str, torch.Tensor]] = []
    models: list[Any] = []

    def score(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        model, found = models[-1], {}
        for name in (None, "policy"):
            with merged(model, name) as bare:
                found[name or "in training"] = logits(bare)
        with without_adapters(model) as bare:
            found["base"] = logits(bare)
        seen.append(found)
        return [float(sum(rollout.ids) % 97) for rollout in rollouts]

    class Prepared:
        def __init__(self, model: object) -> None:
            models.append(model)

        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

    policy = {"policy": other.folder / "adapter"}
    training = replace(context, folder=context.folder.parent / "rl", adapter=one, beside=policy)
    training.folder.mkdir()
    drawn = prompt_rows(context.samples, context.renderer, "response", load_chat(location))
    task = RolloutTask(drawn, context.samples, "</Agent Response>", [RewardPart("seen", score, Prepared)])
    train_on_rollouts(task, RolloutSettings(training=STEPS | {"num_generations": 2}), training)
    base = logits(load_causal_lm(location, dtype="4bit", device="cpu").model)
    expected = logits(load_causal_lm(location, dtype="4bit", device="cpu", adapters=[other.folder / "adapter"]).model)
    assert len(seen) >= 2
    for found in seen:
        assert found["base"].equal(base)
        torch.testing.assert_close(found["policy"], expected, atol=0.05, rtol=0.05)
    assert not seen[0]["in training"].equal(seen[-1]["in training"]), "the adapter moved between the steps"
    trained = load_file(training.folder / "adapter" / "adapter_model.safetensors")
    start = load_file(one / "adapter_model.safetensors")
    assert any(not trained[name].equal(start[name]) for name in start)


def test_four_bit_layers_compute_in_float32_where_rewards_do_and_eight_bit_ones_cannot(
    context: TrainContext, location: ModelLocation, adapters: list[Path]
) -> None:
    from peft import PeftModel

    four, eight = (
        PeftModel.from_pretrained(start_model(replace(context, dtype=w)), adapters[0]) for w in ("4bit", "8bit")
    )
    before = logits(four.eval())
    shared = SharedBase(load_chat(location), context_length(location), adapter="default", batch_tokens=64, float32=True)
    with shared.lent(four):
        exact = logits(shared.scorer.lm.model)
        assert shared.scorer.lm.model.model.layers[0].mlp.up_proj.get_base_layer().compute_dtype == torch.float32
    assert 0 < float((exact - before).abs().max()) < 0.5
    assert logits(four).equal(before)
    with pytest.raises(ValueError, match="8-bit layers cannot"), in_float32(eight):
        pass
