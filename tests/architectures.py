"""Random two-layer models in the form of the paper's base models, with tokenizers of their families.

They differ from the tiny model of `conftest.py` in what has gone wrong with real ones: Qwen3's base models end text
with another token than turns and their chat template thinks; Llama 3's have no chat template at all, no padding token,
and a tokenizer that puts a beginning-of-text token in front unless it is told not to.
"""

from pathlib import Path
from typing import Any

import torch
from conftest import _train_tokenizer

from benchmark import Benchmark

SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 8192,
    "initializer_range": 0.3,
}
QWEN3_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if loop.last and m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3_TOKENS = {
    "<|endoftext|>": "<|end_of_text|>",
    "<|im_start|>": "<|begin_of_text|>",
    "<|im_end|>": "<|eot_id|>",
}
"""Special tokens of the tokenizer that is trained here -> those that Llama 3 has instead."""
LLAMA3_HEADERS = ["<|start_header_id|>", "<|end_header_id|>"]


def save_tiny_qwen3(folder: Path, mini: Benchmark) -> None:
    """Write a random Qwen3 base model: norms of queries and keys, tied embeddings, no beginning-of-text token."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _train_tokenizer(mini)
    tokenizer.eos_token, tokenizer.unk_token = "<|endoftext|>", None
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = QWEN3_CHAT
    config = Qwen3Config(
        **SIZE,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    _save(Qwen3ForCausalLM, config, tokenizer, folder)


def save_tiny_llama3(folder: Path, mini: Benchmark) -> None:
    """Write a random Llama 3 base model: grouped queries, untied embeddings, rope theta 500,000, no chat template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = llama3_tokenizer(mini)
    config = LlamaConfig(
        **SIZE,
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    _save(LlamaForCausalLM, config, tokenizer, folder)


def llama3_tokenizer(mini: Benchmark) -> Any:  # noqa: ANN401 - a transformers tokenizer
    """Return a byte-level tokenizer with Llama 3's special tokens, which begins texts unless told not to."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    written = _train_tokenizer(mini).backend_tokenizer.to_str()
    for trained, own in LLAMA3_TOKENS.items():
        written = written.replace(trained, own)
    tokenizer = Tokenizer.from_str(written)
    bos = "<|begin_of_text|>"
    tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token="<|end_of_text|>")
    wrapped.add_special_tokens({"additional_special_tokens": [*LLAMA3_HEADERS, "<|eot_id|>"]})
    return wrapped


def _save(model_class: Any, config: Any, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401 - transformers'
    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
