"""What is set otherwise on a GPU: larger pieces of logits, a larger product to measure; the results are the same."""

from typing import Any

import pytest
import torch
from likelihood_helpers import random_model, with_model, worst_difference

from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models import attention, precision
from scoring.models.attention import use_grouped_attention
from scoring.models.causal_lm import CausalLM
from scoring.models.output_head import FLOAT_CHUNK, GPU_LOGITS, HEAD_CHUNK, gpu_chunks
from scoring.models.precision import SIZES, matrix_rate, measured_rates

PREFIX = list(range(3, 40))
RESPONSES = [Continuation(tuple(range(40, 40 + 2 * HEAD_CHUNK + 5))), Continuation((7, 8)), Continuation((9,) * 30, 4)]


def scored(scorer: LikelihoodScorer) -> torch.Tensor:
    (found,) = scorer.token_log_probs(PREFIX, [RESPONSES])
    return torch.cat([torch.from_numpy(values) for values in found])


def test_pieces_on_a_gpu_are_bounded_by_their_logits_and_on_a_cpu_by_its_cache(tiny_lm: CausalLM) -> None:
    assert LikelihoodScorer(tiny_lm, batch_tokens=64).head.chunks == (HEAD_CHUNK, FLOAT_CHUNK)
    for vocabulary in (49_152, 128_256, 151_936):
        head, reduced = gpu_chunks(vocabulary)
        assert head == reduced > HEAD_CHUNK
        assert head * vocabulary <= GPU_LOGITS < (head + 1) * vocabulary
    assert gpu_chunks(10**9) == (HEAD_CHUNK, HEAD_CHUNK)


@pytest.mark.parametrize("chunks", [(1, 1), (50, 50), (10**6, 10**6)])
def test_the_size_of_the_pieces_changes_no_result(tiny_lm: CausalLM, chunks: tuple[int, int]) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=10**6)
    expected = scored(scorer)
    scorer.head.chunks = chunks
    torch.testing.assert_close(scored(scorer), expected, atol=1e-5, rtol=0)


def test_grouped_attention_takes_outputs_laid_out_as_kernels_of_gpus_do(
    tiny_lm: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = attention.scaled_dot_product_attention

    def as_on_a_gpu(*given: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        return plain(*given, **named).transpose(1, 2).contiguous().transpose(1, 2)

    model = random_model("LlamaConfig", 300)
    use_grouped_attention(model)
    reference = random_model("LlamaConfig", 300)
    monkeypatch.setattr(attention, "scaled_dot_product_attention", as_on_a_gpu)
    lm = with_model(tiny_lm, model)
    assert worst_difference(lm, PREFIX, RESPONSES[:2], reference=reference) < 1e-4


def test_rates_of_a_gpu_are_measured_on_large_matrices_and_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def rate(dtype: torch.dtype, device: str) -> float:
        measured.append(f"{dtype} {device}")
        return 1e15

    assert SIZES["cuda"] >= 8192 > SIZES["cpu"]
    monkeypatch.setattr(precision, "matrix_rate", rate)
    monkeypatch.setattr(precision, "device_name", lambda device: "a made-up device")
    for device in ("cuda", "cuda", "cpu"):
        assert measured_rates(device) == {"bfloat16": 1e15, "float32": 1e15}
    assert [line.split()[-1] for line in measured] == ["cuda", "cuda", "cpu", "cpu"]


def test_a_rate_is_operations_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "cpu", 64)
    times = iter(float(number) for number in range(100))
    monkeypatch.setattr("scoring.models.precision.time.perf_counter", lambda: next(times))
    assert matrix_rate(torch.float32, "cpu") == 2 * 64**3
