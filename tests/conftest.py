"""What tests share: a random two-layer model with a tokenizer trained on the mini benchmark, made once a session."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads that turn in circles while they wait take a core from other tests
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

from benchmark import AgentCharacter, Benchmark, PromptRenderer, Sample, Turn, load_benchmark
from scoring.models.cache import CACHE_VARIABLE
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.resolver import locate_model

CONTEXT_LENGTH = 4096


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what tests cache out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    yield folder
    os.environ.pop(CACHE_VARIABLE)
    if before is not None:
        os.environ[CACHE_VARIABLE] = before


@pytest.fixture(scope="session")
def mini() -> Benchmark:
    """Return the bundled mini benchmark."""
    return load_benchmark("mini")


@pytest.fixture(scope="session")
def renderer() -> PromptRenderer:
    """Return the renderer with the bundled templates."""
    return PromptRenderer()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> Path:
    """Return the folder of a random two-layer Llama (grouped-query attention, tied embeddings, ChatML)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = _train_tokenizer(mini)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedding(tmp_path_factory: pytest.TempPathFactory, mini: Benchmark) -> Path:
    """Return the folder of a random two-layer sentence-embedding model with 32 dimensions."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "tiny-embedding"
    tokenizer = _train_tokenizer(mini)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.model_max_length = 256
    tokenizer.save_pretrained(folder)
    return folder


def _train_tokenizer(mini: Benchmark) -> Any:  # noqa: ANN401 - a transformers tokenizer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=special, initial_alphabet=alphabet)
    texts = [text for sample in mini for text in (sample.user_persona, sample.last_query, sample.golden_response)]
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>"
    )
    wrapped.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    wrapped.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return wrapped


@pytest.fixture(scope="session")
def tiny_lm(tiny_model: Path) -> CausalLM:
    """Return the tiny model in memory, float32."""
    return load_causal_lm(locate_model(str(tiny_model)), dtype="float32", device="cpu")


def make_sample(sample_id: str = "IDTest-1", **changes: object) -> Sample:
    """Return a small sample with the given fields changed."""
    character = AgentCharacter("Hero", "Science", "Historical figure", "Born.", "Lived.", "Kind.")
    fields: dict[str, object] = {
        "sample_id": sample_id,
        "split": "IDTest",
        "subset": "id",
        "user_persona": "I bake bread.",
        "agent_character": character,
        "turns": (Turn("Are you well?", "I am."),),
        "last_query": "What shall I bake?",
        "golden_response": "Rye.",
    }
    return Sample(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server of the packaged model as `smol`; it starts with the first test that asks it."""
    from vllm_server import serve_by_vllm

    with serve_by_vllm(locate_model("smollm2-135m").folder, tmp_path_factory.mktemp("server") / "server.log") as url:
        yield url
