"""Attention in tiles and behind a shared prefix: the sums of torch's own, at any size of the tiles."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from scoring.models import tiled_attention
from scoring.models.attention import grouped_attention
from scoring.models.held_prefix import HeldPrefix, attend_behind
from scoring.models.tiled_attention import CAUSAL_QUERIES, attend_in_tiles

ROWS, HEADS, KEY_HEADS, SIZE, SCALING = 2, 6, 2, 16, 0.3
LENGTHS = [1, CAUSAL_QUERIES, 2 * CAUSAL_QUERIES + 7]


def draw(queries: int, keys: int, dtype: torch.dtype = torch.float32, rows: int = ROWS) -> list[torch.Tensor]:
    """Return query, keys and values."""
    generator = torch.Generator().manual_seed(queries + keys)
    shapes = [(rows, HEADS, queries, SIZE), *[(rows, KEY_HEADS, keys, SIZE)] * 2]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def usual(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, *, causal: bool = False
) -> torch.Tensor:
    """Return torch's attention with keys and values copied for every head."""
    copied = (tensor.repeat_interleave(HEADS // KEY_HEADS, dim=1) for tensor in (keys, values))
    found = scaled_dot_product_attention(query, *copied, attn_mask=mask, is_causal=causal, scale=SCALING)
    return found.transpose(1, 2)


def window(queries: int, keys: int, reach: int) -> torch.Tensor:
    """Return the mask of the last queries of a sequence, each of which sees itself and `reach - 1` tokens before."""
    back = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    return ((back >= 0) & (back < reach))[None, None]


@pytest.mark.parametrize("length", LENGTHS)
def test_causal_attention_equals_torchs(length: int) -> None:
    query, keys, values = draw(length, length)
    found = attend_in_tiles(query, keys, values, None, SCALING)
    torch.testing.assert_close(found, usual(query, keys, values, None, causal=True), atol=5e-6, rtol=0)


@pytest.mark.parametrize("tile", [1, 3000, 10**9])
@pytest.mark.parametrize("reach", [5, 10**6])
def test_attention_under_a_mask_equals_torchs_at_any_size_of_the_tiles(
    monkeypatch: pytest.MonkeyPatch, tile: int, reach: int
) -> None:
    monkeypatch.setattr(tiled_attention, "TILE", tile)
    query, keys, values = draw(30, 70)
    of_rows = window(30, 70, reach).expand(ROWS, -1, -1, -1).clone()
    of_rows[1, :, :, :3] = False
    for mask in (window(30, 70, reach), of_rows):
        found = attend_in_tiles(query, keys, values, mask, SCALING)
        torch.testing.assert_close(found, usual(query, keys, values, mask), atol=5e-6, rtol=0)


@pytest.mark.parametrize("tile", [1, 3000, 10**9])
@pytest.mark.parametrize("reach", [5, 10**6])
@pytest.mark.parametrize("tokens", [1, 20])
def test_rows_behind_a_prefix_read_what_each_would_behind_its_own_copy(
    monkeypatch: pytest.MonkeyPatch, tile: int, reach: int, tokens: int
) -> None:
    monkeypatch.setattr(tiled_attention, "TILE", tile)
    _, prefix_keys, prefix_values = draw(1, 50, rows=1)
    query, own_keys, own_values = draw(tokens, tokens)
    mask = None if tokens == 1 and reach > 50 else window(tokens, 50 + tokens, reach)
    held = HeldPrefix(prefix_keys, prefix_values, own_keys, own_values)
    keys = torch.cat((prefix_keys.expand(ROWS, -1, -1, -1), own_keys), dim=2)
    values = torch.cat((prefix_values.expand(ROWS, -1, -1, -1), own_values), dim=2)
    found = attend_behind(query, held, mask, SCALING)
    torch.testing.assert_close(found, usual(query, keys, values, mask), atol=5e-6, rtol=0)


def causal(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return attend_in_tiles(query, keys, values, None, SCALING)


def behind(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend to the first 100 tokens as to a prefix, with the rest as the continuation."""
    held = HeldPrefix(keys[:, :, :100], values[:, :, :100], keys[:, :, 100:], values[:, :, 100:])
    return attend_behind(query[:, :, 100:], held, window(query.shape[2] - 100, query.shape[2], 10**6), SCALING)


@pytest.mark.parametrize("attend", [causal, behind])
def test_in_bfloat16_it_is_about_as_exact_as_torchs(
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    tensors = draw(300, 300, torch.bfloat16, rows=1)
    found = attend(*tensors)
    query, keys, values = (tensor.double() for tensor in tensors)
    exact = usual(query, keys, values, None, causal=True)[:, -found.shape[1] :]
    torchs = usual(*tensors, None, causal=True)[:, -found.shape[1] :]
    errors = [float((one.double() - exact).abs().mean()) for one in (found, torchs)]
    assert 0 < errors[0] < 1.5 * errors[1]


def test_with_gradients_torchs_own_attention_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_run(*arguments: object) -> torch.Tensor:
        raise AssertionError("tiles have no gradient")

    monkeypatch.setattr("scoring.models.attention.attend_in_tiles", must_not_run)
    query, keys, values = draw(9, 9)
    query.requires_grad_()
    mask = window(9, 9, 10**6)
    found, _ = grouped_attention(torch.nn.Module(), query, keys, values, mask, scaling=SCALING)
    assert found.requires_grad
    torch.testing.assert_close(found, usual(query, keys, values, mask), atol=5e-6, rtol=0)
    with torch.no_grad(), pytest.raises(AssertionError, match="tiles have no gradient"):
        grouped_attention(torch.nn.Module(), query, keys, values, mask, scaling=SCALING)
