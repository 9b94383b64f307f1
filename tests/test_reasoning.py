"""Reasoning under a generator: written once into a cache, gone on with after a kill, and what of it is shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_sample
from estimator_helpers import REASONING, batches_decoded, silent

from benchmark import Benchmark, PromptRenderer, Sample
from scoring.estimator import ReasoningSettings
from scoring.models import generation
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Generation
from scoring.reasoning import Reasoning, ReasoningCache, cached_reasonings, reasoning_counts, write_reasonings

FEW_A_BATCH = replace(REASONING, batch_tokens=2500)
MARKER = "[Features of the Ideal Response]"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the batches that are generated from now on."""
    return batches_decoded(monkeypatch)


@pytest.fixture(scope="module")
def some(mini: Benchmark) -> list[Sample]:
    return [*mini.test["id"][:3], *mini.test["korean"][:3]]


def written(
    lm: CausalLM, samples: Sequence[Sample], path: Path, chosen: ReasoningSettings = FEW_A_BATCH
) -> list[Reasoning]:
    return write_reasonings(lm, samples, PromptRenderer(), chosen, ReasoningCache(path), silent)


def test_what_is_written_is_never_written_again(
    tiny_lm: CausalLM, some: list[Sample], tmp_path: Path, decoded: list[int]
) -> None:
    told: list[int] = []
    cache = ReasoningCache(tmp_path / "a.jsonl")
    assert cached_reasonings(some, PromptRenderer(), FEW_A_BATCH, cache) is None
    first = write_reasonings(tiny_lm, some, PromptRenderer(), FEW_A_BATCH, cache, told.append)
    assert sum(decoded) == len(some)
    assert len(decoded) > 1
    assert told == [0, *decoded]
    batches, content = list(decoded), cache.path.read_bytes()
    assert content.count(b"\n") == len(batches)
    again = write_reasonings(tiny_lm, some, PromptRenderer(), FEW_A_BATCH, cache, told.append)
    assert decoded == batches
    assert told[-1] == len(some)
    assert cache.path.read_bytes() == content
    assert first == again == cached_reasonings(some, PromptRenderer(), FEW_A_BATCH, cache)
    assert [one.sample_id for one in first] == [sample.sample_id for sample in some]


def test_an_interrupted_writing_goes_on_and_ends_in_the_same_bytes(
    tiny_lm: CausalLM, some: list[Sample], tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = written(tiny_lm, some, tmp_path / "straight.jsonl")
    batches = list(decoded)
    counting = generation.decode

    def stopping(*given: Any) -> Any:  # noqa: ANN401
        if len(decoded) == len(batches) + 1:
            raise KeyboardInterrupt
        return counting(*given)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "decode", stopping)
        with pytest.raises(KeyboardInterrupt):
            written(tiny_lm, some, tmp_path / "cut.jsonl")
    with (tmp_path / "cut.jsonl").open("a") as file:
        file.write('{"circumstances": "", "wri')  # as a kill leaves it
    assert written(tiny_lm, some, tmp_path / "cut.jsonl") == straight
    assert decoded == [*batches, *batches]
    assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


def test_what_is_written_once_stays_though_its_batch_is_run_again(
    tiny_lm: CausalLM, some: list[Sample], tmp_path: Path, decoded: list[int]
) -> None:
    cache = ReasoningCache(tmp_path / "a.jsonl")
    cache.add({some[1].content_hash: Generation("- kept", "stop", 5, 2)})
    whole = replace(REASONING, batch_tokens=10**6)
    found = {one.sample_id: one for one in written(tiny_lm, some, cache.path, whole)}
    assert decoded == [len(some)]
    assert (found[some[1].sample_id].text, found[some[1].sample_id].tokens) == ("- kept", 2)
    fresh = {one.sample_id: one for one in written(tiny_lm, some, tmp_path / "fresh.jsonl", whole)}
    assert {name for name in fresh if fresh[name] != found[name]} == {some[1].sample_id}


def test_what_was_written_in_other_circumstances_is_passed_over_and_stays(
    tiny_lm: CausalLM, some: list[Sample], tmp_path: Path
) -> None:
    written(tiny_lm, some[:2], tmp_path / "a.jsonl")
    elsewhere = ReasoningCache(tmp_path / "a.jsonl", circumstances="bfloat16")
    assert cached_reasonings(some[:2], PromptRenderer(), FEW_A_BATCH, elsewhere) is None
    write_reasonings(tiny_lm, some[:2], PromptRenderer(), FEW_A_BATCH, elsewhere, silent)
    assert cached_reasonings(some[:2], PromptRenderer(), FEW_A_BATCH, elsewhere) is not None
    assert cached_reasonings(some[:2], PromptRenderer(), FEW_A_BATCH, ReasoningCache(elsewhere.path)) is not None


def test_another_golden_response_is_another_sample(tiny_lm: CausalLM, tmp_path: Path, decoded: list[int]) -> None:
    one, other = make_sample(), make_sample(golden_response="Oats.")
    written(tiny_lm, [one], tmp_path / "a.jsonl")
    written(tiny_lm, [other], tmp_path / "a.jsonl")
    assert decoded == [1, 1]


# What is shown, and what is counted


def test_a_prompt_without_room_is_shown_nothing_and_counted(
    tiny_lm: CausalLM, some: list[Sample], tmp_path: Path, decoded: list[int]
) -> None:
    renderer = PromptRenderer()
    prompts = [renderer.render(REASONING.template, sample) for sample in some]
    lengths = sorted(len(tiny_lm.chat.encode_prompt(prompt)) for prompt in prompts)
    assert lengths[-1] > lengths[-2]
    narrow = CausalLM(tiny_lm.model, tiny_lm.chat, lengths[-1] - 1 + REASONING.max_new_tokens, tiny_lm.device)
    found = written(narrow, some, tmp_path / "a.jsonl")
    (long,) = [one for one in found if one.finish_reason == "prompt_too_long"]
    assert (long.text, long.shown, long.marked, long.prompt_tokens, long.tokens) == ("", "", False, lengths[-1], 0)
    assert sum(decoded) == len(some) - 1
    counts = reasoning_counts(found)
    assert (counts["samples"], counts["prompt_too_long"], counts["unmarked"]) == (len(some), 1, 0)
    assert written(narrow, some, tmp_path / "a.jsonl") == found
    assert sum(decoded) == len(some) - 1


TEXTS = [
    Generation(f"### Part 1\nwarm\n```\n{MARKER}\n- short\n```", "stop", 9, 4),
    Generation("warm and short", "stop", 9, 4),
    Generation("", "stop", 9, 4),
    Generation(f"```\n{MARKER}\n", "length", 9, 4),
    Generation(f"```\n{MARKER}\n- cut h", "length", 9, 4),
    Generation(None, "prompt_too_long", 9, 0),
]


def test_what_is_shown_and_counted_follows_from_what_was_written(tiny_lm: CausalLM, tmp_path: Path) -> None:
    samples = [make_sample(f"IDTest-{number}") for number in range(len(TEXTS))]
    cache = ReasoningCache(tmp_path / "a.jsonl")
    cache.add({sample.content_hash: text for sample, text in zip(samples, TEXTS, strict=True)})
    found = written(tiny_lm, samples, cache.path, replace(REASONING, template="reasoning"))
    assert [one.shown for one in found] == ["- short", "warm and short", "", "", "- cut h", ""]
    assert [one.marked for one in found] == [True, False, False, True, True, False]
    assert [one.text for one in found] == [text.text or "" for text in TEXTS]
    expected = {"samples": 6, "unmarked": 2, "empty": 2, "cut_by_length": 2, "prompt_too_long": 1}
    assert reasoning_counts(found) == expected
