"""With the real packaged model: packed likelihoods are those of one plain forward pass a pair, but for rounding."""

import numpy as np
import pytest
from likelihood_helpers import make_blocks, naive

from benchmark import Benchmark, PromptRenderer
from scoring.club import club_estimate
from scoring.models.cache import CACHE_VARIABLE
from scoring.models.causal_lm import load_causal_lm
from scoring.models.resolver import locate_model
from scoring.pair_matrix import CandidateResponse


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "size", "of_a_pair", "of_remi"), [("float32", 2, 1e-4, 1e-4), ("bfloat16", 5, 0.03, 0.03 / 5**0.5)]
)
def test_remi_from_packed_likelihoods_equals_that_from_one_forward_pass_a_pair(
    dtype: str,
    size: int,
    of_a_pair: float,
    of_remi: float,
    mini: Benchmark,
    renderer: PromptRenderer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bfloat16 R-EMI of N samples varies by 0.01 over the root of N between ways of adding; three times that."""
    monkeypatch.delenv(CACHE_VARIABLE)  # in the user's own cache the model is converted already
    smollm2 = load_causal_lm(locate_model("smollm2-135m"), dtype=dtype, device="cpu")
    samples, chat = mini.test["id"][:size], smollm2.chat
    prompts = [renderer.render("policy_without_reasoning", sample) for sample in samples]
    golden = [CandidateResponse(sample.golden_response, ended=True) for sample in samples]
    blocks = make_blocks(smollm2, prompts, golden=golden, rotated=golden[1:] + golden[:1])
    plain_N_N = np.empty((size, size))
    for i, prompt in enumerate(prompts):
        for j, sample in enumerate(samples):
            ids = [*chat.encode_text(sample.golden_response), chat.end_of_turn_id]
            plain_N_N[i, j] = naive(smollm2.model, chat.encode_prompt(prompt), ids).mean()
    expected = {"golden": plain_N_N, "rotated": np.roll(plain_N_N, -1, axis=1)}
    errors = np.stack([blocks[name].means_N_N - means_N_N for name, means_N_N in expected.items()])
    packed, plain = (
        club_estimate(means["rotated"]) - club_estimate(means["golden"])
        for means in ({name: block.means_N_N for name, block in blocks.items()}, expected)
    )
    print(f"worst pair {np.abs(errors).max():.5f} nats a token, R-EMI packed {packed:.5f}, plain {plain:.5f}")
    assert np.abs(errors).max() <= of_a_pair
    assert packed == pytest.approx(plain, abs=of_remi)
    assert plain < -0.05, "a response to another input tells less about the input"
