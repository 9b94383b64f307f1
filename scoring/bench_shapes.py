"""Random models to measure on: the shape of a real one, weights by chance, words that are numbers. None is loaded."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from scoring.bench import SEED, Workload
from scoring.models.attention import use_grouped_attention
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer
from scoring.models.precision import DTYPES

SPECIAL = ("<end>", "<pad>", "<unknown>")
Range = tuple[int, int]


@dataclass(frozen=True)
class BenchShape:
    """A model's shape, and how much work is measured on it."""

    model: Mapping[str, Any]
    """Arguments of transformers' Qwen3Config."""
    samples: int
    """Inputs, and as many responses: all their pairs are scored."""
    prefix_tokens: Range
    response_tokens: Range
    padded_pairs: int
    batch_tokens: int
    """Of scoring, where it is not swept."""
    swept_inputs: int
    """Of the sweep, before as many responses as there are samples."""
    swept_batch_tokens: tuple[int, ...]
    compiled: tuple[str, ...]
    """What the sweep compiles (`scoring.bench_sweep.COMPILED`)."""
    prompts: int
    """Of a GRPO step."""
    rollouts: int
    prompt_tokens: int
    new_tokens: int
    steps: int
    """Of GRPO; all but the first are measured."""


SHAPES: dict[str, BenchShape] = {
    "qwen3-4b": BenchShape(  # the public configuration of Qwen/Qwen3-4B-Base; inputs and responses as in RPGBench
        model={
            "hidden_size": 2560,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 9728,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
        },
        samples=64,
        prefix_tokens=(600, 900),
        response_tokens=(60, 100),
        padded_pairs=64,
        batch_tokens=4096,
        swept_inputs=16,
        swept_batch_tokens=(1024, 2048, 4096, 8192, 16384),
        compiled=("parts", "whole"),
        prompts=8,
        rollouts=8,
        prompt_tokens=500,
        new_tokens=256,
        steps=3,
    ),
    "tiny": BenchShape(
        model={
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 128,
            "vocab_size": 2000,
            "max_position_embeddings": 512,
            "initializer_range": 0.1,
        },
        samples=4,
        prefix_tokens=(40, 60),
        response_tokens=(6, 12),
        padded_pairs=4,
        batch_tokens=32,
        swept_inputs=2,
        swept_batch_tokens=(16, 32),
        compiled=(),
        prompts=2,
        rollouts=2,
        prompt_tokens=30,
        new_tokens=8,
        steps=2,
    ),
}


def random_lm(shape: BenchShape, *, dtype: str, device: str) -> CausalLM:
    """Return a random model of a shape, as `load_causal_lm` would load it, with a tokenizer of its own."""
    from transformers import AutoModelForCausalLM, Qwen3Config

    chat = ChatTokenizer(number_tokenizer(shape.model["vocab_size"]))
    config = Qwen3Config(
        **shape.model,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        eos_token_id=chat.end_of_turn_id,
        pad_token_id=chat.pad_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(SEED)
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype]).eval()
    use_grouped_attention(model)
    return CausalLM(model, chat, shape.model["max_position_embeddings"], torch.device(device))


def number_tokenizer(vocabulary: int) -> Any:  # noqa: ANN401 - a transformers tokenizer
    """Return a tokenizer whose words are numbers and whose last tokens end a text, pad and stand for the rest."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = [str(number) for number in range(vocabulary - len(SPECIAL))]
    words = {word: place for place, word in enumerate((*numbers, *SPECIAL))}
    end, pad, unknown = SPECIAL
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=pad, unk_token=unknown)


def random_workload(shape: BenchShape, count: int) -> Workload:
    """Return inputs and responses of random words."""
    rng = random.Random(SEED)
    words = shape.model["vocab_size"] - len(SPECIAL)

    def text(lengths: Range) -> list[int]:
        return [rng.randrange(words) for _ in range(rng.randint(*lengths))]

    prefixes = [text(shape.prefix_tokens) for _ in range(count)]
    return Workload(prefixes, [text(shape.response_tokens) for _ in range(count)])


def random_prompts(shape: BenchShape) -> list[list[int]]:
    """Return the prompts of a GRPO step."""
    rng = random.Random(SEED + 1)
    words = shape.model["vocab_size"] - len(SPECIAL)
    return [[rng.randrange(words) for _ in range(shape.prompt_tokens)] for _ in range(shape.prompts)]
