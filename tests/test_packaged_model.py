"""The packaged language model, converted: the same likelihoods, and a tokenizer that ends turns and pads correctly."""

from pathlib import Path

import pytest
import torch

from scoring.models.causal_lm import load_causal_lm
from scoring.models.packaged import packaged_file, packaged_folder
from scoring.models.resolver import locate_model

TEXT = "The lighthouse keeper wrote to her sister in Boston that the gulls had won the argument again."


@pytest.mark.slow
def test_the_converted_model_keeps_the_likelihoods_of_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("RPM_METHODS_CACHE", str(tmp_path))
    folder = packaged_folder("smollm2-135m")
    assert (folder / "model.safetensors").is_file()
    lm = load_causal_lm(locate_model("smollm2-135m"), dtype="float32", device="cpu")
    source = packaged_file("smollm2-135m")
    packaged = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    ids = torch.tensor([lm.chat.encode_text(TEXT)])
    with torch.inference_mode():
        pairs = [model(ids).logits[0, :-1].log_softmax(-1) for model in (lm.model, packaged)]
    converted, original = (logs.gather(1, ids[0, 1:, None])[:, 0] for logs in pairs)
    assert (converted - original).abs().mean() < 0.02
    tokenizer = lm.chat.tokenizer
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert lm.chat.end_of_turn_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert lm.context_length == 8192
