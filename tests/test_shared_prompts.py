"""Sharing a group's prompt gives the log-probabilities and gradients of TRL's own forward pass."""

from pathlib import Path

import pytest
import torch

from rpm_methods.merged_adapter import merged
from rpm_methods.shared_prompts import share_prompts, why_not_shared
from rpm_methods.training_rows import IGNORED
from scoring.models.causal_lm import load_weights
from scoring.models.resolver import locate_model

TEMPERATURE = 0.7
WIDTH = 7


@pytest.fixture
def model(tiny_model: Path) -> torch.nn.Module:
    """Return the tiny model with an adapter that does something, under TRL's fused output layer."""
    from peft import LoraConfig, get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.0, init_lora_weights=False)
    peft = get_peft_model(load_weights(locate_model(str(tiny_model)), "float32"), config)
    add_fused_lm_head(peft.get_base_model(), temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    share_prompts(peft)
    return peft.train()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask of three groups that stand mixed: prompts of 30, 11 and 1 tokens, completions of 1 to 7."""
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 1500, (length,), generator=generator) for length in (30, 11, 1)]
    ids, mask = [], []
    for number, length in [(0, 7), (1, 3), (0, 2), (2, 5), (1, 7), (0, 1), (2, 7)]:
        prompt = prompts[number]
        answer = torch.randint(3, 1500, (length,), generator=generator)
        left, right = 30 - len(prompt), WIDTH - length
        pads = [torch.zeros(n, dtype=torch.long) for n in (left, right)]
        ids.append(torch.cat((pads[0], prompt, answer, pads[1])))
        mask.append(torch.cat((pads[0], torch.ones(len(prompt) + length, dtype=torch.long), pads[1])))
    return torch.stack(ids), torch.stack(mask)


def shared(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Ask as TRL does: labels are the tokens of the completions."""
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, :-WIDTH] = IGNORED
    output = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False, fused_lm_head=True)
    assert output.log_probs.shape == (len(ids), ids.shape[1] - 1)
    return output.log_probs[:, -WIDTH:], output.entropy[:, -WIDTH:]


def one_by_one(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Score each row alone, unpadded, from the model's plain logits; padding gets 0."""
    found = []
    for ids_L, mask_L in zip(ids, mask, strict=True):
        held = mask_L[-WIDTH:].bool()
        row = ids_L[mask_L.bool()]
        logits = model(row[None], use_cache=False).logits[0, :-1] / TEMPERATURE
        log_probs = logits.log_softmax(dim=1)[-int(held.sum()) :]
        entropies = -(log_probs.exp() * log_probs).sum(dim=1)
        chosen = log_probs.gather(1, row[-int(held.sum()) :, None])[:, 0]
        rows = [torch.zeros(WIDTH).masked_scatter(held, values) for values in (chosen, entropies)]
        found.append(rows)
    return torch.stack([row[0] for row in found]), torch.stack([row[1] for row in found])


def gradient(model: torch.nn.Module, log_probs: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(-1, 1, log_probs.numel()).view_as(log_probs)
    model.zero_grad()
    (log_probs * weights).sum().backward()
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.requires_grad])


def test_log_probs_entropies_and_gradients_equal_those_of_rows_one_by_one(
    model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ids, mask = batch
    log_probs, entropies = shared(model, ids, mask)
    mine = gradient(model, log_probs)
    expected, expected_entropies = one_by_one(model, ids, mask)
    theirs = gradient(model, expected)
    held = mask[:, -WIDTH:].bool()
    assert not log_probs[~held].any()
    assert torch.allclose(log_probs[held], expected[held], atol=1e-5)
    assert torch.allclose(entropies[held], expected_entropies[held], atol=1e-5)
    assert torch.cosine_similarity(mine, theirs, dim=0) > 0.9999999
    assert mine.norm() == pytest.approx(float(theirs.norm()), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_policy_that_has_not_moved_equals_its_reference_to_the_bit(
    model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype
) -> None:
    model.to(dtype)
    log_probs, _ = shared(model, *batch)
    with torch.no_grad():
        reference, _ = shared(model, *batch)
    assert log_probs.requires_grad
    assert torch.equal(log_probs, reference)


def test_a_prompt_runs_through_the_model_once_a_group(
    model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    widths: list[tuple[int, ...]] = []
    hook = model.get_base_model().model.embed_tokens.register_forward_hook(
        lambda module, inputs, output: widths.append(tuple(inputs[0].shape))
    )
    shared(model, *batch)
    hook.remove()
    assert sorted(widths) == [(1, 10), (1, 29), (2, 7), (2, 7), (3, 7)]


def test_preference_pairs_padded_on_the_right_are_scored_the_same(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    prompts = [torch.randint(3, 1500, (length,), generator=generator) for length in (12, 20)]
    rows = [torch.cat((prompts[n % 2], torch.randint(3, 1500, (3 + n,), generator=generator))) for n in range(4)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    labels = ids.masked_fill(mask == 0, IGNORED)
    for number, row in enumerate(labels):
        row[: len(prompts[number % 2])] = IGNORED
    found = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True).log_probs
    for number, row in enumerate(rows):
        start = len(prompts[number % 2])
        logits = model(row[None], use_cache=False).logits[0, start - 1 : -1] / TEMPERATURE
        expected = logits.log_softmax(dim=1).gather(1, row[start:, None])[:, 0]
        assert torch.allclose(found[number, start - 1 : len(row) - 1], expected, atol=1e-5)
        assert found[number].count_nonzero() == len(row) - start


def test_prompts_are_shared_on_a_cpu_without_checkpointing_and_the_reason_is_given_elsewhere(
    model: torch.nn.Module,
) -> None:
    assert why_not_shared("cpu", model.config, checkpointing=False) == ""
    assert "cuda" in why_not_shared("cuda", model.config, checkpointing=False)
    assert "checkpointing" in why_not_shared("cpu", model.config, checkpointing=True)


def test_a_merged_adapter_acts_as_the_unmerged_one_and_leaves_no_trace(model: torch.nn.Module) -> None:
    ids = torch.arange(20)[None]
    model.eval()
    apart = model(ids).logits
    model.train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(3):
        with merged(model) as bare:
            assert not bare.training
            assert torch.allclose(bare(ids).logits, apart, atol=1e-4)
    assert model.training
    after = dict(model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_error_within_leaves_the_adapter_unmerged(model: torch.nn.Module) -> None:
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt), merged(model):
        raise KeyboardInterrupt
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert not any(getattr(module, "merged", False) for module in model.modules())
