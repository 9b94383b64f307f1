"""With the real packaged model in bfloat16: packed likelihoods stay near those of one plain forward pass a pair."""

import numpy as np
import pytest
from likelihood_helpers import make_blocks, naive

from benchmark import Benchmark, PromptRenderer
from scoring.club import club_estimate
from scoring.models.cache import CACHE_VARIABLE
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.resolver import locate_model
from scoring.pair_matrix import CandidateResponse

SIZE = 6


@pytest.fixture
def smollm2(monkeypatch: pytest.MonkeyPatch) -> CausalLM:
    """Return the packaged model from the user's own cache, where it is converted already."""
    monkeypatch.delenv(CACHE_VARIABLE)
    return load_causal_lm(locate_model("smollm2-135m"), dtype="bfloat16", device="cpu")


@pytest.mark.slow
def test_remi_from_packed_likelihoods_equals_that_from_one_forward_pass_a_pair(
    smollm2: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    samples, chat = mini.test["id"][:SIZE], smollm2.chat
    prompts = [renderer.render("policy_without_reasoning", sample) for sample in samples]
    golden = [CandidateResponse(sample.golden_response, ended=True) for sample in samples]
    blocks = make_blocks(smollm2, prompts, golden=golden, rotated=golden[1:] + golden[:1])
    plain_N_N = np.empty((SIZE, SIZE))
    for i, prompt in enumerate(prompts):
        for j, sample in enumerate(samples):
            ids = [*chat.encode_text(sample.golden_response), chat.end_of_turn_id]
            plain_N_N[i, j] = naive(smollm2.model, chat.encode_prompt(prompt), ids).mean()
    expected = {"golden": plain_N_N, "rotated": np.roll(plain_N_N, -1, axis=1)}
    worst = max(np.abs(blocks[name].means_N_N - means_N_N).max() for name, means_N_N in expected.items())
    packed, plain = (
        club_estimate(means["rotated"]) - club_estimate(means["golden"])
        for means in ({name: block.means_N_N for name, block in blocks.items()}, expected)
    )
    print(f"worst pair {worst:.4f} nats a token, R-EMI packed {packed:.5f}, plain {plain:.5f}")
    assert worst <= 0.03
    assert packed == pytest.approx(plain, abs=0.002)
    assert plain < -0.05, "a response to another input tells less about the input"
