"""Decoding in which rows share their prompt: the sums of torch's attention, and each architecture's own answers."""

from typing import Any

import pytest
import torch
from likelihood_helpers import random_model, with_model
from torch.nn.functional import scaled_dot_product_attention

from scoring.models.attention import NAME, use_grouped_attention
from scoring.models.causal_lm import CausalLM
from scoring.models.decoding import Sampler, decode
from scoring.models.decoding_cache import DecodingCache
from scoring.models.prefix_cache import prefill
from scoring.models.prompt_rows import Held, PromptRows, attend

PROMPT_OF = [1, 0, 1, 2, 1, 0]
"""Rows that answer three prompts, not in their order, and not equally many."""
HEADS, KEY_HEADS, WIDTH, ANSWER, SIZE = 6, 2, 9, 4, 8
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 30, 31], list(range(40, 70))]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 6},
    "Qwen3": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1, "head_dim": 8},
    "Gemma3Text": {
        "sliding_window": 6,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "Mixtral": {"num_local_experts": 4},
}
"""With windows that are shorter than a prompt and an answer."""


def draw(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, Held, torch.Tensor, torch.Tensor]:
    """Return a query, what is held, and the keys and values of each row one behind the other."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    rows = PromptRows.of(PROMPT_OF, torch.device("cpu"))
    prompts, answers = (3, KEY_HEADS, WIDTH, SIZE), (len(PROMPT_OF), KEY_HEADS, ANSWER, SIZE)
    prompt_keys, prompt_values, answer_keys, answer_values = (normal(*s) for s in (prompts, prompts, answers, answers))
    held = Held(rows, prompt_keys.float(), prompt_values, answer_keys.float(), answer_values)
    keys = torch.cat((prompt_keys[PROMPT_OF], answer_keys), dim=2)
    values = torch.cat((prompt_values[PROMPT_OF], answer_values), dim=2)
    return normal(len(PROMPT_OF), HEADS, 1, SIZE), held, keys, values


def usual(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return torch's attention with keys and values copied for every head."""
    copied = (tensor.repeat_interleave(HEADS // KEY_HEADS, dim=1) for tensor in (keys, values))
    return scaled_dot_product_attention(query, *copied, attn_mask=mask, scale=0.3).transpose(1, 2)


def left_padded(starts: list[int]) -> torch.Tensor:
    """Return the mask of rows whose prompts begin at these places."""
    starts_B_1 = torch.tensor(starts)[PROMPT_OF][:, None]
    return (torch.arange(WIDTH + ANSWER) >= starts_B_1)[:, None, None]


@pytest.mark.parametrize("mask", [None, left_padded([0, 3, 8])])
def test_attention_equals_that_over_each_rows_own_keys(mask: torch.Tensor | None) -> None:
    query, held, keys, values = draw(torch.float32)
    found = attend(query, held, mask, 0.3)
    torch.testing.assert_close(found, usual(query, keys, values, mask), atol=1e-6, rtol=0)


def test_a_prompt_of_which_nothing_is_seen_counts_nothing() -> None:
    query, held, keys, values = draw(torch.float32)
    mask = torch.arange(WIDTH + ANSWER).expand(len(PROMPT_OF), 1, 1, -1) >= WIDTH + 1
    found = attend(query, held, mask, 0.3)
    torch.testing.assert_close(found, usual(query, keys[:, :, WIDTH + 1 :], values[:, :, WIDTH + 1 :], None))


def test_in_bfloat16_it_is_about_as_exact_as_torchs() -> None:
    query, held, keys, values = draw(torch.bfloat16)
    exact = usual(query.double(), keys.double(), values.double(), None)
    errors = [
        (one.double() - exact).abs().mean()
        for one in (attend(query, held, None, 0.3), usual(query, keys, values, None))
    ]
    assert 0 < errors[0] < 1.5 * errors[1]


def test_rows_find_their_places_again() -> None:
    rows = PromptRows.of(PROMPT_OF, torch.device("cpu"))
    assert rows.rows_P_R.tolist() == [[1, 5, 1], [0, 2, 4], [3, 3, 3]]
    of_rows = torch.randn(len(PROMPT_OF), 2, 3, 4)
    assert torch.equal(rows.apart(rows.together(of_rows)), of_rows)
    assert torch.equal(rows.together(of_rows)[0, 1, :3], of_rows[1, 1]), "first the queries of the first row"


def naive(model: Any, prompt: list[int], tokens: int) -> list[int]:  # noqa: ANN401
    """Answer greedily by reading everything again for each token."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(tokens):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rows_that_share_prompts_answer_as_the_architecture_does_alone(tiny_lm: CausalLM, name: str) -> None:
    settings = {**ARCHITECTURES[name], "initializer_range": 0.3}
    model = random_model(f"{name}Config", len(tiny_lm.chat.tokenizer), **settings)
    expected = [naive(model, prompt, 10) for prompt in PROMPTS]
    use_grouped_attention(model)
    assert model.config._attn_implementation == NAME
    sampler = Sampler(repetition_penalty=1.0, temperature=0.0, generator=torch.Generator())
    rows = [PROMPTS[prompt] for prompt in PROMPT_OF]
    drawn = decode(with_model(tiny_lm, model), rows, [""] * len(rows), sampler, 10)
    assert all(row.end_id is None for row in drawn), "else there is less to compare"
    assert [row.ids for row in drawn] == [expected[prompt] for prompt in PROMPT_OF]
    assert len({tuple(ids) for ids in expected}) == 3


def test_a_prompt_is_held_once_for_all_its_rows(tiny_lm: CausalLM) -> None:
    joined = DecodingCache([len(prompt) for prompt in PROMPTS], PROMPT_OF, room=5)
    with torch.inference_mode():
        for number, (cache, _) in enumerate(prefill(tiny_lm, PROMPTS)):
            joined.put(number, cache)
    shared = joined.for_decoding(tiny_lm.model).layers[0]
    assert shared.prompt_keys.shape[0] == shared.prompt_values.shape[0] == len(PROMPTS)
    assert shared.keys.shape[::2] == (len(PROMPT_OF), 5)
