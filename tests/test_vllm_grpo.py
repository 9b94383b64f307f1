"""TRL's own vLLM engine takes the settings that rollouts give it, and its draws are those of the model in training.

`make test-vllm` runs this; where vLLM is not installed it is skipped.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.run_store import read_json, read_jsonl

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here: make test-vllm runs these"),
]


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a random model whose heads are as wide as vLLM needs."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_grpo_learns_from_rollouts_that_vllm_draws(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    out.mkdir()
    script = Path(__file__).with_name("grpo_by_vllm.py")
    made = subprocess.run([sys.executable, str(script), str(model), str(out)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    first, second = [row for row in read_json(out / "training_log.json") if "loss" in row]
    assert first["sampling/sampling_logp_difference/max"] < 0.2, "vLLM computes in bfloat16, the trainer in float32"
    assert first["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=0.1)
    for row in (first, second):
        assert row["reward"] == pytest.approx(row["rewards/length/mean"], abs=1e-6)
        assert row["reward_std"] > 0
    kept = read_jsonl(out / "rollouts.jsonl")
    assert len(kept) == 16
    assert all(row["reward"] == len(row["text"]) / 100 for row in kept)
    assert len({row["text"] for row in kept}) > 8
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
