"""vLLM serves what it is given: a stack of adapters in a stage that is interrupted, and a model behind its own server.

In float32, where rounding decides nothing, the answers are those of transformers. `make test-vllm` runs these; without
vLLM they are skipped.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import torch
from endpoint_helpers import Interrupting
from parity import by_index, logits_behind
from policy_helpers import stacked_policy

from benchmark import Benchmark, Prompt, PromptRenderer
from benchmark.progress import SilentProgress
from benchmark.run_store import read_jsonl
from recipes.environment import Compute
from recipes.stage_responses import BATCHES, RESPONSES, generate_responses
from scoring.models.backend_settings import BackendSettings, ServerSettings
from scoring.models.backends import MERGED, ServedModel, open_backend
from scoring.models.backends_vllm import sampling_arguments
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.generation import Request, Sampling, generate_batches
from scoring.models.resolver import ModelLocation, locate_model

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here: make test-vllm runs these"),
]
SUBSETS = ("id", "german", "literature", "film", "theater", "gaming")


@pytest.fixture(scope="module")
def real() -> ModelLocation:
    return locate_model("smollm2-135m")


@pytest.fixture(scope="module")
def lm(real: ModelLocation) -> CausalLM:
    return load_causal_lm(real, dtype="float32", device="cpu")


def test_a_stack_of_adapters_is_merged_once_and_an_interrupted_stage_goes_on(
    real: ModelLocation, lm: CausalLM, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path
) -> None:
    samples = [mini.test[key][0] for key in ("id", "german", "korean", "gaming")]
    sampling = Sampling(max_new_tokens=12, batch_tokens=2000)
    stacked_policy(real, tmp_path / "policy", sampling, scale=0.05)
    by_vllm, own = BackendSettings(backend="vllm"), BackendSettings()
    compute = Compute("cpu", "float32", torch.get_num_threads())

    def answer(backend: BackendSettings, progress: SilentProgress | Interrupting, folder: Path) -> None:
        generate_responses(tmp_path / "policy", samples, sampling, backend, renderer, compute, progress, folder)

    folder = tmp_path / "responses"
    with pytest.raises(KeyboardInterrupt):
        answer(by_vllm, Interrupting(1), folder)
    first = (folder / BATCHES).read_text()
    assert len(first.splitlines()) == 1
    assert (folder / MERGED / "model.safetensors").is_file()
    answer(by_vllm, SilentProgress(), folder)
    assert (folder / BATCHES).read_text().startswith(first)
    asked = [index for batch in read_jsonl(folder / BATCHES) for index in batch]
    assert sorted(asked) == ["0", "1", "2", "3"]
    assert not (folder / MERGED).exists()
    answer(own, SilentProgress(), tmp_path / "own")
    answers = read_jsonl(folder / RESPONSES)
    assert answers == read_jsonl(tmp_path / "own" / RESPONSES)
    plain = by_index(list(generate_batches(lm, [renderer.render("response", s) for s in samples], sampling)))
    assert [row["response"] for row in answers] != [plain[index].text for index in range(len(samples))]


def test_a_server_answers_as_transformers_and_its_log_probabilities_are_ours(
    vllm_server: str, real: ModelLocation, lm: CausalLM, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path
) -> None:
    """Texts are equal, and every generated token's log-probability is to 0.05 nats."""
    sampling = Sampling(max_new_tokens=24, batch_tokens=8192)
    chosen = [renderer.render("response", mini.test[key][0]) for key in SUBSETS]
    expected = by_index(list(generate_batches(lm, chosen, sampling)))
    settings = BackendSettings(backend="server", server=ServerSettings(url=vllm_server, model="smol", concurrency=8))
    model = ServedModel(real, (), "icl", "float32", "cpu")
    with open_backend(settings, model, sampling, tmp_path) as backend:
        assert by_index(list(backend.generate(chosen, sampling))) == expected
    as_text = BackendSettings(
        backend="server", server=ServerSettings(url=vllm_server, model="smol", prompts="text", dialect="openai")
    )
    plain = replace(sampling, repetition_penalty=1.0, max_new_tokens=8)
    with open_backend(as_text, model, plain, tmp_path) as backend:
        made = by_index(list(backend.generate(chosen[:2], plain)))
    assert made == by_index(list(generate_batches(lm, chosen[:2], plain)))
    distances = [gap for prompt in chosen for gap in _log_prob_distances(vllm_server, lm, prompt, sampling)]
    print(f"log-probabilities of {len(distances)} tokens: at most {max(distances):.2e} nats apart")
    assert len(distances) > 100
    assert max(distances) < 0.05


def _log_prob_distances(url: str, lm: CausalLM, prompt: Prompt, sampling: Sampling) -> list[float]:
    """Ask the server for an answer with its log-probabilities; return how far each is from ours."""
    ids = lm.chat.encode_prompt(prompt)
    arguments = sampling_arguments(Request(0, ids, prompt.stop), sampling, lm.chat.end_ids)
    body = {"model": "smol", "prompt": ids, "logprobs": 0, "return_token_ids": True, **arguments}
    choice = httpx.post(f"{url}/completions", json=body, timeout=300).json()["choices"][0]
    tokens = choice["token_ids"]
    own_T_V = logits_behind(lm, ids, tokens).log_softmax(dim=1)
    theirs = choice["logprobs"]["token_logprobs"]
    return [abs(float(own_T_V[at, token]) - theirs[at]) for at, token in enumerate(tokens)]
