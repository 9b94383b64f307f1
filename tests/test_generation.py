"""Generation equals transformers' own, whatever is batched or shared, and says why each answer ended."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import Benchmark, Prompt, PromptRenderer
from benchmark.prompts import Message
from scoring.models.attention import use_grouped_attention
from scoring.models.causal_lm import CausalLM, load_chat
from scoring.models.generation import Generation, Sampling, generate_batches, prompt_batches
from scoring.models.resolver import locate_model

SAMPLING = Sampling(max_new_tokens=12, batch_tokens=4096)


def answers(lm: CausalLM, prompts: Sequence[Prompt], sampling: Sampling) -> dict[int, Generation]:
    return {index: answer for batch in generate_batches(lm, prompts, sampling) for index, answer in batch}


def reference(lm: CausalLM, prompt: Prompt, sampling: Sampling) -> str:
    """Return what transformers' generate gives for one prompt alone, up to the stop string."""
    from transformers import GenerationConfig

    ids = torch.tensor([lm.chat.encode_prompt(prompt)])
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        do_sample=False,
        eos_token_id=lm.chat.end_ids,
        pad_token_id=lm.chat.pad_id,
    )
    output = lm.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return lm.chat.decode(output[0, ids.shape[1] :].tolist()).strip()


@pytest.fixture(scope="module")
def prompts(mini: Benchmark, renderer: PromptRenderer) -> list[Prompt]:
    samples = [mini.test[key][0] for key in ("id", "german", "japanese", "turn_level")]
    plain = [replace(renderer.render("response", sample), stop="") for sample in samples]
    shared = [
        replace(renderer.render_with_examples("response", sample, mini.train[:1]), stop="") for sample in samples[:2]
    ]
    return plain + shared


def test_greedy_answers_equal_those_of_transformers_one_by_one(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    made = answers(tiny_lm, prompts, SAMPLING)
    expected = [reference(tiny_lm, prompt, SAMPLING) for prompt in prompts]
    assert [made[i].text for i in range(len(prompts))] == expected
    assert len(set(expected)) > 1


def test_answers_do_not_depend_on_the_batch(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    together = answers(tiny_lm, prompts, replace(SAMPLING, batch_tokens=10**6))
    alone = answers(tiny_lm, prompts, replace(SAMPLING, batch_tokens=1))
    assert together == alone


def test_models_with_a_sliding_window_answer_as_in_transformers(tiny_model: Path, prompts: list[Prompt]) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=2100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=48, max_position_embeddings=4096, initializer_range=0.3,
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    chat = load_chat(locate_model(str(tiny_model)))
    assert len(chat.tokenizer) <= config.vocab_size
    use_grouped_attention(model)
    lm = CausalLM(model, chat, config.max_position_embeddings, torch.device("cpu"))
    made = answers(lm, prompts, SAMPLING)
    assert [made[i].text for i in range(len(prompts))] == [reference(lm, prompt, SAMPLING) for prompt in prompts]


def test_a_prompt_that_leaves_no_room_is_reported_and_not_cut(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    long = Prompt((Message("user", "word " * tiny_lm.context_length),))
    made = answers(tiny_lm, [long, prompts[0]], SAMPLING)
    assert made[0].text is None
    assert made[0].finish_reason == "prompt_too_long"
    assert made[1].text is not None


def test_an_answer_ends_at_its_stop_string_and_leaves_it_out(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    text = answers(tiny_lm, prompts[:1], SAMPLING)[0].text
    assert text
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    made = answers(tiny_lm, [replace(prompts[0], stop=stop)], SAMPLING)[0]
    assert made.finish_reason == "stop"
    assert made.text == text[: text.index(stop)].strip()


def test_a_stop_string_cut_off_by_the_length_limit_is_no_part_of_the_answer(
    tiny_lm: CausalLM, prompts: list[Prompt]
) -> None:
    text = answers(tiny_lm, prompts[:1], SAMPLING)[0].text or ""
    made = answers(tiny_lm, [replace(prompts[0], stop=text[-3:] + "never comes")], SAMPLING)[0]
    assert made.finish_reason == "length"
    assert made.text == text[:-3].strip()


def test_finished_batches_are_passed_over_and_the_rest_is_the_same(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    sampling = replace(SAMPLING, batch_tokens=2500)
    batches = list(generate_batches(tiny_lm, prompts, sampling))
    assert len(batches) > 1
    finished = {index for index, _ in batches[0]}
    assert list(generate_batches(tiny_lm, prompts, sampling, finished=finished)) == batches[1:]


def test_sampling_is_repeatable_by_seed_and_differs_between_seeds(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    drawn = replace(SAMPLING, temperature=1.0, seed=1)
    first = answers(tiny_lm, prompts, drawn)
    assert answers(tiny_lm, prompts, drawn) == first
    assert answers(tiny_lm, prompts, replace(drawn, seed=2)) != first


def test_batches_stay_within_the_memory_setting_and_hold_every_prompt_once() -> None:
    lengths = [5, 9, 3, 9, 7, 30]
    batches = list(prompt_batches({i: [i] * n for i, n in enumerate(lengths)}, 24, extra=2))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * (max(lengths[i] for i in batch) + 2) <= 24
