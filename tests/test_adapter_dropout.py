"""Elements drawn in bulk are dropped as torch's dropout drops them; loss and gradients are those of the plain way."""

from pathlib import Path

import pytest
import torch
from test_adapter_precision import IDS, gradient

from rpm_methods.adapter_dropout import VALUES, DroppingLinear, drop_in_bulk, kept_elements
from rpm_methods.adapter_precision import compute_in_model_format
from scoring.models.causal_lm import load_weights
from scoring.models.resolver import locate_model

SHAPE = torch.Size((40, 50, 51))
DROPPED = round(0.05 * VALUES)


def dropped_elements(shape: torch.Size, seed: int, dropped: int) -> torch.Tensor:
    """Return True where an element is dropped."""
    mask = kept_elements(shape, seed, dropped)
    assert set(mask.unique().tolist()) == {-1, 0}
    return mask == 0


def adapted(model: Path, dropout: float, dtype: str = "float32", **lora: object) -> torch.nn.Module:
    """Return a model whose adapter has weights other than 0 and drops elements in bulk."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, **lora}
    config = LoraConfig(lora_dropout=dropout, **settings)
    peft = get_peft_model(load_weights(locate_model(str(model)), dtype), config)
    compute_in_model_format(peft)
    drop_in_bulk(peft)
    return peft.train()


def layer(p: float = 0.05) -> DroppingLinear:
    torch.manual_seed(1)
    made = torch.nn.Linear(48, 6, bias=False)
    made.__class__ = DroppingLinear
    made.dropped = round(p * VALUES)
    return made  # type: ignore[return-value]  # its class was just changed


def test_the_share_of_dropped_elements_is_the_probability() -> None:
    shares = [float(dropped_elements(SHAPE, seed, DROPPED).double().mean()) for seed in range(20)]
    error = (0.05 * 0.95 / SHAPE.numel() / len(shares)) ** 0.5
    assert sum(shares) / len(shares) == pytest.approx(DROPPED / VALUES, abs=4 * error)
    assert len(set(shares)) > 1


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8, 51])
def test_neighbours_are_dropped_independently(distance: int) -> None:
    gone = dropped_elements(SHAPE, 5, VALUES // 2).flatten().double() - 0.5
    correlation = float((gone[distance:] * gone[:-distance]).mean()) / 0.25
    assert abs(correlation) < 4 / SHAPE.numel() ** 0.5


def test_a_seed_always_drops_the_same_elements_and_another_seed_others() -> None:
    same = [dropped_elements(SHAPE, seed, DROPPED) for seed in (7, 7, 8)]
    assert torch.equal(same[0], same[1])
    both = float((same[0] & same[2]).double().mean())
    assert both == pytest.approx(0.05**2, rel=0.2)


def test_product_and_gradients_are_those_of_the_input_with_a_mask_laid_upon_it() -> None:
    matrix, inputs = layer(), torch.randn(2, 30, 48, requires_grad=True)
    torch.manual_seed(3)
    product = matrix(inputs)
    weights = torch.randn_like(product)
    found = torch.autograd.grad((product * weights).sum(), (inputs, matrix.weight))
    torch.manual_seed(3)
    seed = int(torch.randint(2**63 - 1, ()))
    mask = ~dropped_elements(inputs.shape, seed, DROPPED) / (1 - DROPPED / VALUES)
    plain = (inputs * mask) @ matrix.weight.T
    expected = torch.autograd.grad((plain * weights).sum(), (inputs, matrix.weight))
    torch.testing.assert_close(product, plain)
    assert bool((mask == 0).any())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_dropped_is_made_up_for_on_average() -> None:
    matrix, inputs = layer(0.3), torch.randn(1, 48)
    with torch.no_grad():
        mean = torch.stack([matrix(inputs) for _ in range(4000)]).mean(0)
        spread = torch.stack([matrix(inputs) for _ in range(400)]).std(0)
        whole = matrix.eval()(inputs)
    assert bool(((mean - whole).abs() < 4.5 * spread / 4000**0.5).all())


def test_nothing_is_dropped_out_of_training(tiny_model: Path) -> None:
    model = adapted(tiny_model, 0.5).eval()
    plain = adapted(tiny_model, 0.0).eval()
    assert torch.equal(model(IDS).logits, plain(IDS).logits)
    assert not torch.equal(model.train()(IDS).logits, plain(IDS).logits)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_mean_gradient_is_that_of_torchs_dropout(tiny_model: Path, dtype: str) -> None:
    """Over many draws: the two differ by no more than two halves of torch's own draws do."""
    torchs = adapted(tiny_model, 0.0, dtype)
    own = adapted(tiny_model, 0.3, dtype)
    for module in torchs.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = torch.nn.Dropout(0.3)

    def mean(model: torch.nn.Module, draws: int) -> torch.Tensor:
        total = torch.zeros(0)
        for _ in range(draws):
            model.zero_grad()
            drawn = gradient(model)
            total = drawn if not len(total) else total + drawn
        return total / draws

    first, second, bulk = mean(torchs, 60), mean(torchs, 60), mean(own, 60)
    assert (bulk - first).norm() < 1.25 * (second - first).norm()


def test_a_step_computed_again_drops_the_same_elements(tiny_model: Path) -> None:
    """Gradient checkpointing runs layers twice."""
    model = adapted(tiny_model, 0.3)
    torch.manual_seed(4)
    expected = gradient(model)
    model.zero_grad()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    torch.manual_seed(4)
    torch.testing.assert_close(gradient(model), expected)


def test_the_same_seed_of_torchs_gives_the_same_gradient(tiny_model: Path) -> None:
    model, found = adapted(tiny_model, 0.3), []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        model.zero_grad()
        found.append(gradient(model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("dropout", "lora", "kind"),
    [
        (0.3, {}, DroppingLinear),
        (0.3, {"lora_bias": True}, torch.nn.Linear),
        (0.3, {"use_dora": True}, None),
        (0.0, {}, None),
    ],
)
def test_what_peft_has_otherwise_stays(
    tiny_model: Path, dropout: float, lora: dict[str, object], kind: type[torch.nn.Module] | None
) -> None:
    model = adapted(tiny_model, dropout, **lora)
    matrices = {type(m) for n, m in model.named_modules() if n.endswith("lora_A.default")}
    dropouts = {type(m) for n, m in model.named_modules() if n.endswith("lora_dropout.default")}
    if kind is not None:
        assert matrices == {kind}
    assert (DroppingLinear in matrices) == (kind is DroppingLinear)
    kept = dropout > 0 and kind is not DroppingLinear
    assert dropouts == {torch.nn.Dropout if kept else torch.nn.Identity}
