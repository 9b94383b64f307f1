"""A server as a backend gets the tokens that transformers reads, and its answers end, count and resume like theirs."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from endpoint_helpers import Asked, FakeServer, Reply, serve
from pydantic import ValidationError

from benchmark import Benchmark, Prompt, PromptRenderer, RunFailure
from benchmark.prompts import Message
from scoring.models.backend_settings import ServerSettings
from scoring.models.backends_server import ServerBackend, UnansweredPrompts, open_server
from scoring.models.causal_lm import CausalLM
from scoring.models.decoding import Sampler, decode
from scoring.models.generation import Generation, Sampling, generate_batches

SAMPLING = Sampling(max_new_tokens=12, batch_tokens=2500)
LOCK = threading.Lock()
Answers = Callable[[Asked], Reply]


def completions(lm: CausalLM, *, tokens: bool = True) -> Answers:
    """Return a server that draws with the model itself; with OpenAI's keys alone it ends as the model's own would."""

    def reply(asked: Asked) -> Reply:
        body = asked.body
        ids = body["prompt"]
        if isinstance(ids, str):
            ids = lm.chat.tokenizer(ids, add_special_tokens=False)["input_ids"]
        stop = (body["stop"] or [""])[0]
        sampler = Sampler(body.get("repetition_penalty", 1.0), body["temperature"], torch.Generator())
        with LOCK:
            (drawn,) = decode(lm, [ids], [stop], sampler, body["max_tokens"])
        ended = [] if drawn.end_id is None else [drawn.end_id]
        text = lm.chat.decode(drawn.ids)
        choice: dict[str, Any] = {"text": text.split(stop)[0] if stop else text, "finish_reason": drawn.finish_reason}
        if tokens:
            choice["token_ids"] = drawn.ids + ended
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(drawn.ids)}
        return Reply(body=json.dumps({"choices": [choice], "usage": usage}))

    return reply


def settings(server: FakeServer, **changes: object) -> ServerSettings:
    return ServerSettings.model_validate({"url": server.url, "model": "m", "attempts": 1, "concurrency": 2} | changes)


def backend(lm: CausalLM, chosen: ServerSettings, sampling: Sampling = SAMPLING) -> ServerBackend:
    return open_server(chosen, "m", lm.chat, lm.context_length, sampling)


def by_index(batches: Sequence[list[tuple[int, Generation]]]) -> dict[int, Generation]:
    return {index: answer for batch in batches for index, answer in batch}


@pytest.fixture(scope="module")
def prompts(mini: Benchmark, renderer: PromptRenderer, tiny_lm: CausalLM) -> list[Prompt]:
    """Return prompts that end by stop string, by length, with a marker spelled in a text, and one too long."""
    samples = [mini.test[key][0] for key in ("id", "german", "japanese", "turn_level")]
    plain = [renderer.render("response", sample) for sample in samples]
    drawn = by_index(list(generate_batches(tiny_lm, plain[:1], SAMPLING)))[0].text or ""
    stopped = replace(plain[0], stop=drawn[len(drawn) // 2 :][:2])
    spelled = replace(plain[1], messages=(Message("user", "Say <|im_end|> and <|im_start|>."),))
    long = Prompt((Message("user", "word " * tiny_lm.context_length),))
    return [*plain, long, stopped, spelled]


def test_answers_are_those_of_transformers_to_the_same_tokens(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    expected = list(generate_batches(tiny_lm, prompts, SAMPLING))
    with serve(completions(tiny_lm)) as server:
        made = list(backend(tiny_lm, settings(server)).generate(prompts, SAMPLING))
    assert [sorted(batch) for batch in expected] == made
    assert {answer.finish_reason for answer in by_index(made).values()} == {"stop", "length", "prompt_too_long"}
    assert len(server.asked) == len(prompts) - 1
    assert all(asked.path == "/v1/completions" for asked in server.asked)


def test_a_server_that_gives_no_tokens_is_read_by_its_text_and_counts(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    plain = replace(SAMPLING, repetition_penalty=1.0)
    expected = by_index(list(generate_batches(tiny_lm, prompts, plain)))
    with serve(completions(tiny_lm, tokens=False)) as server:
        chosen = settings(server, dialect="openai")
        assert by_index(list(backend(tiny_lm, chosen, plain).generate(prompts, plain))) == expected
    keys = {"model", "prompt", "max_tokens", "temperature", "seed", "stop"}
    assert all(set(asked.body) == keys for asked in server.asked)


def test_a_prompt_sent_as_text_is_read_as_the_same_tokens_or_refused(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    expected = by_index(list(generate_batches(tiny_lm, prompts[:4], SAMPLING)))
    with serve(completions(tiny_lm)) as server:
        chosen = settings(server, prompts="text")
        assert by_index(list(backend(tiny_lm, chosen).generate(prompts[:4], SAMPLING))) == expected
        assert all(isinstance(asked.body["prompt"], str) for asked in server.asked)
        with pytest.raises(RunFailure, match=r"reads prompt 0 as .* tokens, and it has"):
            list(backend(tiny_lm, chosen).generate(prompts[-1:], SAMPLING))


def test_every_prompt_has_a_seed_of_its_own_and_ends_by_the_tokenizers_tokens(
    tiny_lm: CausalLM, prompts: list[Prompt]
) -> None:
    seeds = []
    for seed in (1, 1, 2):
        drawn = replace(SAMPLING, temperature=0.7, seed=seed)
        with serve(completions(tiny_lm)) as server:
            list(backend(tiny_lm, settings(server), drawn).generate(prompts[:4], drawn))
        seeds.append({asked.text: asked.body["seed"] for asked in server.asked})
        assert all(asked.body["stop_token_ids"] == tiny_lm.chat.end_ids for asked in server.asked)
        assert all(asked.body["ignore_eos"] is True and asked.body["temperature"] == 0.7 for asked in server.asked)
    assert len(set(seeds[0].values())) == 4
    assert seeds[0] == seeds[1]
    assert not set(seeds[0].values()) & set(seeds[2].values())


def test_prompts_without_an_answer_are_named_at_the_end_and_the_others_kept(
    tiny_lm: CausalLM, prompts: list[Prompt]
) -> None:
    answered = completions(tiny_lm)
    ids = [str(tiny_lm.chat.encode_prompt(prompt)) for prompt in prompts]

    def reply(asked: Asked) -> Reply:
        refused = Reply(400, json.dumps({"error": {"message": "no such thing"}}))
        return refused if asked.text in (ids[1], ids[3]) else answered(asked)

    made: dict[int, Generation] = {}
    with serve(reply) as server:
        with pytest.raises(UnansweredPrompts, match=r"prompt 1.*prompt 3|prompt 3.*prompt 1") as caught:
            for batch in backend(tiny_lm, settings(server)).generate(prompts, SAMPLING):
                made |= dict(batch)
        assert "no such thing" in str(caught.value)
        assert set(caught.value.problems) == {1, 3}
        assert set(made) == {0, 2, 4, 5, 6}
    with serve(answered) as server:
        rest = list(backend(tiny_lm, settings(server)).generate(prompts, SAMPLING, finished=made))
    assert {asked.text for asked in server.asked} == {ids[1], ids[3]}
    assert by_index(rest) | made == by_index(list(generate_batches(tiny_lm, prompts, SAMPLING)))


def test_answers_that_came_before_the_server_went_down_are_kept(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    answered = completions(tiny_lm)
    together = replace(SAMPLING, batch_tokens=10**6)
    left = iter([True, True])

    def reply(asked: Asked) -> Reply:
        return answered(asked) if next(left, False) else Reply(401, json.dumps({"error": {"message": "expired"}}))

    made: dict[int, Generation] = {}
    with serve(reply) as server, pytest.raises(RunFailure, match=r"401.*expired"):
        for batch in backend(tiny_lm, settings(server, concurrency=1)).generate(prompts[:4], together):
            made |= dict(batch)
    assert len(made) == 2
    expected = by_index(list(generate_batches(tiny_lm, prompts[:4], together)))
    assert made.items() <= expected.items()


def test_what_is_busy_or_makes_no_sense_is_asked_again(tiny_lm: CausalLM, prompts: list[Prompt]) -> None:
    answered = completions(tiny_lm)
    ended = json.dumps({"choices": [{"text": "x", "finish_reason": "content_filter"}]})
    faulty = [Reply(503, "busy"), Reply(body="not JSON"), Reply(body='{"choices": []}'), Reply(body=ended)]

    def reply(asked: Asked) -> Reply:
        return faulty[asked.number - 1] if asked.number <= len(faulty) else answered(asked)

    with serve(reply) as server:
        patient = backend(tiny_lm, settings(server, attempts=5))
        patient.endpoint._sleep = lambda seconds: None
        made = by_index(list(patient.generate(prompts[:1], SAMPLING)))
        assert made == by_index(list(generate_batches(tiny_lm, prompts[:1], SAMPLING)))
        assert len(server.asked) == 5


def test_the_key_comes_from_the_named_variable_alone(
    tiny_lm: CausalLM, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MY_KEY", "secret-1")
    with serve(completions(tiny_lm)) as server:
        list(backend(tiny_lm, settings(server, api_key_env="MY_KEY")).generate(prompts[:1], SAMPLING))
        list(backend(tiny_lm, settings(server)).generate(prompts[:1], SAMPLING))
    assert [asked.headers.get("Authorization") for asked in server.asked] == ["Bearer secret-1", None]
    assert "secret-1" not in json.dumps([asdict(asked)["body"] for asked in server.asked])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://example.org/v1"}, "url would send key and texts in the clear"),
        ({"url": "nothing"}, "url is not a URL that begins"),
        ({"api_key_env": "sk-12345"}, "api_key_env is not the name of an environment variable"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"surl": 1}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        ServerSettings.model_validate({"url": "http://127.0.0.1:1/v1", "model": "m"} | change)
    assert "sk-12345" not in str(caught.value)
