"""vLLM answers as transformers does: a real model, the mini benchmark, vLLM's CPU build in an environment of its own.

Compared in float32: in bfloat16 a logit is rounded to an eighth, and greedy answers part at every other tie.
`make test-vllm` runs these; where vLLM is not installed they are skipped.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from parity import Agreement, by_index, damped, logits_behind

from benchmark import Benchmark, Prompt, PromptRenderer
from scoring.models.backend_settings import BackendSettings
from scoring.models.backends import ServedModel, open_backend
from scoring.models.backends_vllm import VllmBackend, sampling_arguments
from scoring.models.causal_lm import CausalLM, load_causal_lm, load_chat
from scoring.models.decoding import Sampler, decode
from scoring.models.generation import Request, Sampling, prompt_batches
from scoring.models.resolver import ModelLocation, locate_model

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here: make test-vllm runs these"),
]
PROMPTS = {key: 3 for key in ("id", "literature", "film", "theater", "gaming", "word_level")}
"""Of the subsets in English, whose prompts are short; two of each other subset."""
SAMPLING = Sampling(max_new_tokens=48)
Prompts = list[Prompt]


@pytest.fixture(scope="module")
def real() -> ModelLocation:
    return locate_model("smollm2-135m")


@pytest.fixture(scope="module")
def prompts(mini: Benchmark, renderer: PromptRenderer, real: ModelLocation) -> Prompts:
    """Return 30 prompts, the shortest of each subset."""
    chat = load_chat(real)
    made = {key: [renderer.render("response", sample) for sample in rows] for key, rows in mini.test.items()}
    ordered = {key: sorted(rows, key=lambda prompt: len(chat.encode_prompt(prompt))) for key, rows in made.items()}
    chosen = [prompt for key, rows in ordered.items() for prompt in rows[: PROMPTS.get(key, 2)]]
    assert len(chosen) == 30
    return chosen


@pytest.fixture(scope="module")
def lm(real: ModelLocation) -> CausalLM:
    return load_causal_lm(real, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def engine(real: ModelLocation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmBackend]:
    model = ServedModel(real, (), "icl", "float32", "cpu")
    folder = tmp_path_factory.mktemp("engine")
    with open_backend(BackendSettings(backend="vllm"), model, SAMPLING, folder) as backend:
        assert isinstance(backend, VllmBackend)
        yield backend


def test_greedy_answers_agree_but_for_ties(engine: VllmBackend, lm: CausalLM, prompts: Prompts) -> None:
    """Tokens before the first divergence agree; those from it on count against, unless a tie explains it."""
    ids = [lm.chat.encode_prompt(prompt) for prompt in prompts]
    agreement = Agreement()
    for batch in prompt_batches(dict(enumerate(ids)), SAMPLING.batch_tokens, SAMPLING.max_new_tokens):
        asked = [Request(i, ids[i], prompts[i].stop) for i in batch]
        drawn = engine.process.answer(
            [{"ids": r.ids, "sampling": sampling_arguments(r, SAMPLING, lm.chat.end_ids)} for r in asked]
        )
        sampler = Sampler(SAMPLING.repetition_penalty, 0.0, torch.Generator())
        own = decode(lm, [r.ids for r in asked], [r.stop for r in asked], sampler, SAMPLING.max_new_tokens)
        for request, theirs, mine in zip(asked, drawn, own, strict=True):
            tokens = [*mine.ids, *([] if mine.end_id is None else [mine.end_id])]
            agreement.add(tokens, theirs, partial(scored, lm, request, theirs))
    print(f"{agreement.identical} of {len(ids)} answers identical; {agreement.share:.4f} of tokens agree")
    print(f"gaps at first divergences, nats: {[round(gap, 3) for gap in sorted(agreement.gaps)]}")
    assert agreement.compared > 1000
    assert agreement.share >= 0.95


def scored(lm: CausalLM, request: Request, tokens: list[int]) -> torch.Tensor:
    """Return log-probabilities behind each token as decoding sees them."""
    return damped(logits_behind(lm, request.ids, tokens), request.ids, tokens, SAMPLING.repetition_penalty)


def test_an_answer_ends_at_its_stop_string(engine: VllmBackend, prompts: Prompts) -> None:
    """One prompt a batch: rounding may differ where another prompt of a batch ends."""
    alone = replace(SAMPLING, max_new_tokens=24, batch_tokens=1)
    plain = by_index(list(engine.generate(prompts[:3], alone)))
    stops = {i: answer.text[len(answer.text) // 2 :][:3] for i, answer in plain.items() if answer.text}
    assert len(stops) == 3
    made = by_index(list(engine.generate([replace(prompts[i], stop=stops[i]) for i in range(3)], alone)))
    for index, answer in made.items():
        text = plain[index].text or ""
        assert answer.finish_reason == "stop"
        assert answer.text == text[: text.index(stops[index])].strip()
        assert answer.new_tokens < plain[index].new_tokens


def test_draws_follow_from_the_seed_and_the_prompts_place_alone(engine: VllmBackend, prompts: Prompts) -> None:
    drawn = replace(SAMPLING, max_new_tokens=12, temperature=1.0)
    first = by_index(list(engine.generate(prompts[:4], drawn)))
    assert by_index(list(engine.generate(prompts[:4], drawn))) == first
    assert by_index(list(engine.generate(prompts[:4], replace(drawn, seed=7)))) != first
    same = by_index(list(engine.generate([prompts[0]] * 4, drawn)))
    assert len({answer.text for answer in same.values()}) > 1


def test_a_batch_is_answered_alike_whatever_was_answered_before_it(engine: VllmBackend, prompts: Prompts) -> None:
    sampling = replace(SAMPLING, max_new_tokens=12, batch_tokens=1)
    batches = list(engine.generate(prompts[:3], sampling))
    assert len(batches) == 3
    finished = {index for batch in batches[:-1] for index, _ in batch}
    assert list(engine.generate(prompts[:3], sampling, finished=finished)) == batches[-1:]
