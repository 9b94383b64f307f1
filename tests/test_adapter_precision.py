"""LoRA computed in the model's format has gradients as good as PEFT's, in float32 weights, and is saved the same."""

from pathlib import Path

import pytest
import torch

from rpm_methods.adapter_precision import compute_in_model_format
from scoring.models.causal_lm import load_weights
from scoring.models.resolver import locate_model

IDS = torch.arange(3, 200).view(1, -1)


def adapted(model: Path, dtype: str, *, own: bool) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.0, init_lora_weights=False)
    torch.manual_seed(0)
    peft = get_peft_model(load_weights(locate_model(str(model)), "float32"), config)
    peft.get_base_model().to(torch.float32)
    if dtype == "bfloat16":
        for name, parameter in peft.named_parameters():
            if "lora" not in name:
                parameter.data = parameter.data.to(torch.bfloat16)
    if own:
        compute_in_model_format(peft)
    return peft.train()


def gradient(model: torch.nn.Module) -> torch.Tensor:
    logits = model(IDS, use_cache=False).logits.float()
    logits.log_softmax(-1)[0, :-1].gather(1, IDS[0, 1:, None]).mean().backward()
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.requires_grad])


def test_gradients_in_bfloat16_are_no_farther_from_float32_than_pefts(tiny_model: Path) -> None:
    exact = gradient(adapted(tiny_model, "float32", own=False))
    distances = [(gradient(adapted(tiny_model, "bfloat16", own=own)) - exact).norm() for own in (True, False)]
    assert 0 < distances[0] < 1.1 * distances[1]
    assert distances[0] < 0.2 * exact.norm()


def test_in_float32_nothing_changes(tiny_model: Path) -> None:
    plain, own = (gradient(adapted(tiny_model, "float32", own=own)) for own in (False, True))
    assert torch.equal(plain, own)


def test_no_layers_input_is_copied_into_float32(tiny_model: Path) -> None:
    model = adapted(tiny_model, "bfloat16", own=True)
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    for name, module in model.named_modules():
        if name.endswith(("lora_A.default", "lora_B.default")):
            module.register_forward_hook(lambda m, inputs, output: seen.append((inputs[0].dtype, m.weight.dtype)))
    model(IDS, use_cache=False)
    assert len(seen) == 2 * 7 * 2
    assert set(seen) == {(torch.bfloat16, torch.float32)}


def test_a_saved_adapter_is_the_same_file(tiny_model: Path, tmp_path: Path) -> None:
    for name, own in (("own", True), ("pefts", False)):
        adapted(tiny_model, "bfloat16", own=own).save_pretrained(tmp_path / name)
    own, pefts = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("own", "pefts"))
    assert own == pefts


def test_an_adapter_with_a_bias_is_left_as_it_is(tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules=["q_proj"], lora_bias=True, bias="none")
    model = get_peft_model(load_weights(locate_model(str(tiny_model)), "float32"), config)
    compute_in_model_format(model)
    kinds = {type(m) for n, m in model.named_modules() if n.endswith("lora_B.default")}
    assert kinds == {torch.nn.Linear}


@pytest.mark.parametrize("own", [True, False])
def test_merging_takes_the_float32_weights(tiny_model: Path, own: bool) -> None:
    model = adapted(tiny_model, "float32", own=own).eval()
    apart = model(IDS).logits
    assert torch.allclose(model.merge_and_unload()(IDS).logits, apart, atol=1e-4)
