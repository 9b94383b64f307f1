"""Sharing a prefix gives each architecture's own likelihoods, or is refused where an architecture cannot share one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from likelihood_helpers import naive, random_model, with_model, worst_difference

from benchmark import Benchmark, PromptRenderer, RunFailure
from scoring.likelihood import Continuation, LikelihoodScorer, encode_response
from scoring.models.attention import NAME, use_grouped_attention
from scoring.models.causal_lm import CausalLM, load_causal_lm, load_weights
from scoring.models.resolver import locate_model
from scoring.models.shared_prefix import encode_prefix

TEXTS = ["Rye, and wait until morning.", "No.", "A long answer " * 12]
WINDOW = 16
SMALL_HEADS = {"head_dim": 8, "query_pre_attn_scalar": 8}
HALF_SLIDING = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}

SHARING: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": WINDOW},
    "Qwen2": HALF_SLIDING,
    "Qwen3": {**HALF_SLIDING, "head_dim": 8},
    "Gemma2": {
        "sliding_window": WINDOW,
        **SMALL_HEADS,
        "final_logit_softcapping": 5.0,
        "attn_logit_softcapping": 2.0,
        "attn_implementation": "eager",
    },
    "Gemma3Text": {"sliding_window": WINDOW, **SMALL_HEADS, "layer_types": ["sliding_attention", "full_attention"]},
    "GPT2": {},
    "Bloom": {"n_layer": 2, "n_head": 4},
    "Mixtral": {"num_local_experts": 4},
    "GptOss": {"num_local_experts": 4, "sliding_window": WINDOW, "head_dim": 8, "attn_implementation": "eager"},
}
"""Architecture -> settings. Windows are far shorter than the prefix; Bloom has ALiBi, GPT-OSS attention sinks."""

STATEFUL: dict[str, dict[str, Any]] = {
    "Mamba": {},
    "Rwkv": {"attention_hidden_size": 32, "context_length": 512},
    "Lfm2": {"layer_types": ["conv", "full_attention"]},
    "Jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 2,
        "use_mamba_kernels": False,
    },
    "FalconH1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_n_groups": 1,
        "mamba_d_state": 8,
        "head_dim": 8,
    },
}
"""Architectures with a state beside keys and values, in all layers or in some."""


@pytest.fixture(scope="module")
def prefix(tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer) -> list[int]:
    return tiny_lm.chat.encode_prompt(renderer.render("policy_without_reasoning", mini.test["id"][0]))[-200:]


@pytest.fixture(scope="module")
def responses(tiny_lm: CausalLM) -> list[Continuation]:
    return [encode_response(tiny_lm, text, ended=True) for text in TEXTS]


def model_of(name: str, tiny_lm: CausalLM) -> Any:  # noqa: ANN401
    settings = {**SHARING, **STATEFUL}[name]
    return random_model(f"{name}Config", len(tiny_lm.chat.tokenizer), **settings)


@pytest.mark.parametrize("name", SHARING)
def test_likelihoods_equal_a_naive_forward_pass_of_the_architecture(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], name: str
) -> None:
    model = model_of(name, tiny_lm)
    assert worst_difference(with_model(tiny_lm, model), prefix, responses, batch_tokens=30) < 1e-4


@pytest.mark.parametrize("name", ["Llama", "Mistral", "Qwen2", "Gemma3Text"])
def test_grouped_attention_keeps_the_likelihoods_of_the_usual_one(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], name: str
) -> None:
    grouped, usual = model_of(name, tiny_lm), model_of(name, tiny_lm)
    use_grouped_attention(grouped)
    assert (grouped.config._attn_implementation, usual.config._attn_implementation) == (NAME, "sdpa")
    assert worst_difference(with_model(tiny_lm, grouped), prefix, responses, reference=usual) < 1e-4


def test_the_window_of_a_sliding_model_matters_here(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation]
) -> None:
    sliding = model_of("Mistral", tiny_lm)
    whole = random_model("MistralConfig", len(tiny_lm.chat.tokenizer), sliding_window=None)
    assert worst_difference(with_model(tiny_lm, sliding), prefix, responses, reference=whole) > 0.1


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.filterwarnings("ignore")
def test_an_architecture_that_cannot_share_a_prefix_is_refused_in_one_sentence(
    tiny_lm: CausalLM, prefix: list[int], responses: list[Continuation], name: str
) -> None:
    scorer = LikelihoodScorer(with_model(tiny_lm, model_of(name, tiny_lm)), batch_tokens=100)
    with pytest.raises(RunFailure, match=f"{name}Model does not keep the keys of all tokens"):
        scorer.token_log_probs(prefix, [responses])


def test_a_model_that_keeps_fewer_keys_than_tokens_is_refused(tiny_lm: CausalLM) -> None:
    body = tiny_lm.model.get_decoder()

    class Forgetful:
        """Runs the tiny model without the first token."""

        config = body.config

        def __call__(self, ids_1_L: torch.Tensor, **past: Any) -> Any:  # noqa: ANN401
            """Run all tokens but the first."""
            return body(ids_1_L[:, 1:], **past)

    with pytest.raises(RunFailure, match="Forgetful does not keep the keys of all tokens"), torch.inference_mode():
        encode_prefix(Forgetful(), [3, 4, 5], tiny_lm.device)


@pytest.mark.parametrize(("length", "fits"), [(60, True), (61, False), (64, False), (65, False), (66, True)])
def test_longrope_is_scored_on_either_side_of_its_switch_and_refused_across_it(
    tiny_lm: CausalLM, prefix: list[int], length: int, fits: bool
) -> None:
    longrope = {"rope_type": "longrope", "rope_theta": 1e4}
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    limits = {"original_max_position_embeddings": 64, "pad_token_id": 0}
    model = random_model("Phi3Config", 2000, **limits, rope_parameters=longrope | factors)
    lm, response = with_model(tiny_lm, model), [Continuation((5, 6, 7, 8))]
    if fits:
        assert worst_difference(lm, prefix[:length], response) < 1e-4
    else:
        with pytest.raises(RunFailure, match="passes 64 tokens"):
            worst_difference(lm, prefix[:length], response)


def test_the_prefix_is_stored_once_however_many_rows_read_it(tiny_lm: CausalLM, prefix: list[int]) -> None:
    with torch.inference_mode():
        shared = encode_prefix(tiny_lm.model.get_decoder(), prefix, tiny_lm.device)
    assert shared.tokens == len(prefix)
    cache = shared.for_rows(50, 1)
    for layer, (keys, values) in zip(cache.layers, shared.layers, strict=True):
        assert layer.keys.shape == (50, *keys.shape[1:])
        assert layer.keys.data_ptr() == keys.data_ptr()
        assert layer.values.data_ptr() == values.data_ptr()
        layer.update(keys.expand(50, -1, -1, -1), values.expand(50, -1, -1, -1))
        assert layer.get_seq_length() == len(prefix), "the rows' own keys are not kept"


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random LoRA adapter on all linear layers that changes the tiny model visibly."""
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    folder = tmp_path_factory.mktemp("adapter")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        get_peft_model(load_weights(locate_model(str(tiny_model)), "float32"), settings).save_pretrained(folder)
    return folder


@pytest.fixture
def unmerged(tiny_model: Path, adapter: Path) -> Iterator[Any]:
    from peft import PeftModel

    yield PeftModel.from_pretrained(load_weights(locate_model(str(tiny_model)), "float32"), adapter).eval()


def test_an_adapter_is_scored_merged_and_unmerged_as_peft_runs_it(
    tiny_lm: CausalLM,
    tiny_model: Path,
    adapter: Path,
    unmerged: Any,  # noqa: ANN401
    prefix: list[int],
    responses: list[Continuation],
) -> None:
    merged = load_causal_lm(locate_model(str(tiny_model)), dtype="float32", device="cpu", adapters=[adapter])
    assert worst_difference(merged, prefix, responses, reference=unmerged) < 1e-4
    wrapped = with_model(tiny_lm, unmerged)
    assert worst_difference(wrapped, prefix, responses) < 1e-4
    assert LikelihoodScorer(wrapped, batch_tokens=1).head.in_chunks
    without = naive(tiny_lm.model, prefix, responses[0].ids)
    assert abs(without - naive(unmerged, prefix, responses[0].ids)).max() > 0.1
