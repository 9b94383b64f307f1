"""A model at an OpenAI-compatible endpoint: what is sent, asked again, stops the run, and stays secret."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from endpoint_helpers import Asked, FakeServer, Reply, answer, prompts, serve
from pydantic import ValidationError

from benchmark import Prompt, RunFailure, UserMistakes
from benchmark.endpoint import Endpoint, EndpointSettings, Outcome
from benchmark.prompts import Message
from benchmark.spending import Spent

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def settings(**changes: object) -> EndpointSettings:
    values = {"model": "big", "temperature": 0.5, "max_tokens": 9, "timeout_seconds": 5, "attempts": 3, "parallel": 2}
    return EndpointSettings.model_validate({**values, **changes})


def ask(server: FakeServer, *texts: str, seed: int = 0, check: Any = None, **changes: object) -> list[Outcome]:  # noqa: ANN401
    """Return the outcomes in the order of the prompts; pauses are left out."""
    return ask_with_pauses(server, *texts, seed=seed, check=check, **changes)[0]


def ask_with_pauses(
    server: FakeServer,
    *texts: str,
    seed: int = 0,
    check: Any = None,  # noqa: ANN401
    **changes: object,
) -> tuple[list[Outcome], list[float]]:
    pauses: list[float] = []
    endpoint = Endpoint(settings(base_url=server.url, **changes), sleep=pauses.append)
    outcomes = endpoint.ask(prompts(*texts), seed=seed, **({} if check is None else {"check": check}))
    return sorted(outcomes, key=lambda outcome: outcome.index), pauses


def text_of(outcome: Outcome) -> str:
    assert outcome.completion is not None, outcome.problem
    assert outcome.problem is None
    return outcome.completion.text


def first_then(first: Reply, after: int = 1) -> Callable[[Asked], Reply]:
    """Answer the first `after` requests of each prompt with `first`, later ones well."""
    return lambda asked: first if asked.number <= after else answer(f"to {asked.text}")


def test_a_prompts_messages_are_sent_and_neither_its_answer_prefix_nor_its_stop_string() -> None:
    prompt = Prompt((Message("system", "Be Ada."), Message("user", "Well?")), "<Answer>", "</Answer>")
    with serve(lambda asked: answer("Well.")) as server:
        endpoint = Endpoint(settings(base_url=server.url + "/", extra_body={"chat_template_kwargs": {"a": False}}))
        (outcome,) = endpoint.ask([prompt], seed=0)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "big",
        "messages": [{"role": "system", "content": "Be Ada."}, {"role": "user", "content": "Well?"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "chat_template_kwargs": {"a": False},
    }
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert outcome.completion is not None
    assert (outcome.completion.finish_reason, outcome.completion.prompt_tokens) == ("stop", 7)


def test_without_a_key_no_authorization_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serve(lambda asked: answer("Well.")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        list(Endpoint(settings()).ask(prompts("a"), seed=0))
    assert "Authorization" not in server.asked[0].headers


def test_all_prompts_are_answered_and_no_more_than_parallel_at_a_time() -> None:
    with serve(lambda asked: Reply(body=answer(f"to {asked.text}").body, seconds=0.05)) as server:
        outcomes = ask(server, *"abcdefgh", parallel=3)
    assert [text_of(outcome) for outcome in outcomes] == [f"to {letter}" for letter in "abcdefgh"]
    assert server.most_at_once == 3
    assert len(server.asked) == 8


def test_an_outcome_comes_before_slower_ones_are_there() -> None:
    release = threading.Event()

    def reply(asked: Asked) -> Reply:
        if asked.text == "slow":
            assert release.wait(5)
        return answer(asked.text)

    with serve(reply) as server:
        outcomes = Endpoint(settings(base_url=server.url)).ask(prompts("slow", "quick"), seed=0)
        assert text_of(next(outcomes)) == "quick"
        release.set()
        assert text_of(next(outcomes)) == "slow"


FAULTY = {
    "429": Reply(429),
    "500": Reply(500, "<html>no</html>"),
    "408": Reply(408),
    "409": Reply(409),
    "425": Reply(425),
    "503": Reply(503),
    "not JSON": Reply(200, "<html>"),
    "no choices": Reply(200, json.dumps({"choices": []})),
    "a list": Reply(200, "[1]"),
    "no message": Reply(200, json.dumps({"choices": [{"text": "a"}]})),
    "null": answer(None),
    "empty": answer(" \n"),
    "half a character": answer("a \ud83d b"),
    "unfinished thoughts": answer("<think> hm", finish_reason="length"),
    "dropped connection": Reply(0),
}


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY)
def test_what_may_pass_is_asked_again_after_a_pause(faulty: Reply) -> None:
    with serve(first_then(faulty)) as server:
        (outcome,), pauses = ask_with_pauses(server, "a")
    assert text_of(outcome) == "to a"
    assert server.count("a") == 2
    assert len(pauses) == 1
    assert 0.5 <= pauses[0] <= 1.0


def test_an_endpoint_that_hangs_is_asked_again_after_the_timeout() -> None:
    slow = Reply(200, answer("late").body, seconds=4.0)
    with serve(first_then(slow)) as server:
        start = time.monotonic()
        (outcome,) = ask(server, "a", timeout_seconds=0.2)
    assert text_of(outcome) == "to a"
    assert time.monotonic() - start < 3.5


def test_pauses_double_with_a_jitter_that_follows_the_seed() -> None:
    with serve(lambda asked: Reply(500)) as server:
        pauses = [ask_with_pauses(server, "a", seed=seed, attempts=9)[1] for seed in (1, 1, 2)]
    assert pauses[0] == pauses[1] != pauses[2]
    longest = [1, 2, 4, 8, 16, 32, 60, 60]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses[0], longest, strict=True))
    assert server.count("a") == 27


@pytest.mark.parametrize("as_date", [False, True])
def test_the_pause_that_the_endpoint_names_is_kept(as_date: bool) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=33), usegmt=True)
    with serve(first_then(Reply(429, headers={"Retry-After": moment if as_date else "31"}))) as server:
        (outcome,), pauses = ask_with_pauses(server, "a")
    assert text_of(outcome) == "to a"
    assert 25 <= pauses[0] <= 34


def test_an_endpoint_that_wants_hours_of_pause_stops_the_run() -> None:
    with (
        serve(lambda asked: Reply(429, '{"error": {"message": "quota"}}', {"Retry-After": "7200"})) as server,
        pytest.raises(RunFailure, match=r"asks to wait 120 minutes \(HTTP 429: quota\)"),
    ):
        ask(server, *"abcdef")
    assert len(server.asked) <= 2


def test_a_prompt_that_fails_for_good_is_an_outcome_with_a_reason_among_the_others() -> None:
    def reply(asked: Asked) -> Reply:
        refused = Reply(400, json.dumps({"error": {"message": "too\nlong"}}))
        return {"bad": refused, "down": Reply(502)}.get(asked.text) or answer("fine")

    with serve(reply) as server:
        outcomes = ask(server, "a", "bad", "b", "down", "c")
    assert [outcome.problem for outcome in outcomes] == [
        None,
        "HTTP 400: too long",
        None,
        "HTTP 502 (the last of 3 attempts)",
        None,
    ]
    assert (server.count("bad"), server.count("down")) == (1, 3)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (401, "check the key in the environment variable OPENAI_API_KEY"),
        (402, "OPENAI_API_KEY has no credit"),
        (403, "may use the model 'big'"),
        (404, "check base_url .* has the model 'big'"),
    ],
)
def test_a_refusal_that_all_prompts_would_meet_stops_at_once(status: int, wanted: str) -> None:
    with serve(lambda asked: Reply(status)) as server, pytest.raises(RunFailure, match=wanted) as caught:
        ask(server, *"abcdefgh")
    assert f"{server.url}/chat/completions answers HTTP {status}" in str(caught.value)
    assert len(server.asked) <= 2


def test_without_a_key_a_refusal_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with (
        serve(lambda asked: Reply(401)) as server,
        pytest.raises(RunFailure, match="set the environment variable MY_KEY to a key; it is not set"),
    ):
        ask(server, "a", api_key_variable="MY_KEY")


def test_answers_under_way_are_handed_over_before_a_refusal_stops_the_run() -> None:
    refused = threading.Event()

    def reply(asked: Asked) -> Reply:
        if asked.text == "refused":
            refused.set()
            return Reply(401)
        assert refused.wait(5)
        return Reply(200, answer("paid").body, seconds=0.2)

    with serve(reply) as server:
        outcomes = Endpoint(settings(base_url=server.url)).ask(prompts("a", "refused", "b", "c"), seed=0)
        assert text_of(next(outcomes)) == "paid"
        with pytest.raises(RunFailure, match="HTTP 401"):
            next(outcomes)
    assert len(server.asked) == 2


def test_an_endpoint_that_is_not_there_stops_the_run_with_the_first_prompts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            time.sleep(0.02)

        endpoint = Endpoint(settings(base_url=url), sleep=sleep)
        with pytest.raises(RunFailure, match=r"cannot be reached \(ConnectError.*the last of 3 attempts"):
            list(endpoint.ask(prompts(*map(str, range(1000))), seed=0))
    assert 4 <= len(pauses) < 200


def test_an_endpoint_that_answers_nobody_stops_the_run_after_eight_prompts() -> None:
    failed: list[Outcome] = []
    with serve(lambda asked: Reply(503, "overloaded")) as server:
        outcomes = Endpoint(settings(base_url=server.url, attempts=1), sleep=lambda _: None).ask(
            prompts(*map(str, range(1000))), seed=0
        )
        with pytest.raises(RunFailure, match=r"answered none of the last 8 prompts \(HTTP 503: overloaded\)"):
            failed.extend(outcomes)
    assert 8 <= len(server.asked) < 200


def test_a_faulty_answer_is_asked_for_again_at_once_and_then_given_up() -> None:
    def check(text: str) -> str | None:
        return None if text.startswith("to ") else f"{text} is no answer"

    with serve(first_then(answer("nonsense"), after=2)) as server:
        outcomes, pauses = ask_with_pauses(server, "a", "b", check=check)
        (given_up,) = ask(server, "c", check=check, attempts=2)
    assert [text_of(outcome) for outcome in outcomes] == ["to a", "to b"]
    assert server.count("a") == server.count("b") == 3
    assert pauses == []
    assert given_up == Outcome(0, None, "nonsense is no answer (the last of 2 attempts)")


def test_a_faulty_answer_that_was_cut_says_so() -> None:
    with serve(lambda asked: answer("half", finish_reason="length")) as server:
        (outcome,) = ask(server, "a", check=lambda text: "has no end", attempts=1)
    assert outcome.problem == "has no end (cut at max_tokens: 9)"


def test_an_error_in_the_check_comes_out() -> None:
    def check(text: str) -> str | None:
        raise KeyError("a fault of the caller")

    with serve(lambda asked: answer("fine")) as server, pytest.raises(KeyError, match="of the caller"):
        ask(server, "a", check=check)


@pytest.mark.parametrize("thoughts", ["<think>a {}</think>\n", "a</think>", "<think>b</think>c</think>"])
def test_thoughts_before_the_answer_are_left_out(thoughts: str) -> None:
    with serve(lambda asked: answer(thoughts + " the answer ")) as server:
        (outcome,) = ask(server, "a")
    assert text_of(outcome) == "the answer"


def test_closing_early_asks_nothing_more() -> None:
    with serve(lambda asked: Reply(200, answer("a").body, seconds=0.02)) as server:
        outcomes = Endpoint(settings(base_url=server.url)).ask(prompts(*map(str, range(1000))), seed=0)
        assert len(list(itertools.islice(outcomes, 3))) == 3
        outcomes.close()
        time.sleep(0.1)
        asked = len(server.asked)
        time.sleep(0.2)
        assert len(server.asked) == asked < 20


@pytest.mark.parametrize("status", [400, 401, 500, 418])
def test_the_key_stands_in_no_error_even_if_the_endpoint_repeats_it(status: int) -> None:
    said = json.dumps({"error": {"message": "x" * 280 + f" wrong key {KEY}"}})
    with serve(lambda asked: Reply(status, said)) as server:
        try:
            (outcome,) = ask(server, "a")
            shown = str(outcome.problem)
        except RunFailure as error:
            shown = str(error)
    assert f"HTTP {status}: xxx" in shown
    assert KEY[:8] not in shown


def faults() -> Iterator[tuple[dict[str, object], str]]:
    yield {"api_key_variable": KEY}, "api_key_variable is not the name"
    yield {"api_key_variable": "gsk_abc"}, "api_key_variable is not the name"
    yield {"base_url": f"https://me:{KEY}@host/v1"}, "holds a user name or password"
    yield {"base_url": "localhost:8000"}, "begins with http"
    yield {"base_url": "http://host:port/v1"}, "base_url is not a URL"
    yield {"base_url": "http://models.example/v1"}, "use https://, or set insecure: true"
    yield {"extra_body": {"stream": True, "model": "b"}}, "may not hold model, stream"
    yield {"modl": "x"}, "modl"


@pytest.mark.parametrize(("changes", "wanted"), faults())
def test_faulty_settings_are_refused_without_showing_a_secret(changes: dict[str, object], wanted: str) -> None:
    with pytest.raises(ValidationError, match=wanted) as caught:
        settings(**changes)
    assert KEY not in str(caught.value)


HERE = ("http://localhost:8000/v1", "http://127.3.2.1/v1", "http://[::1]:80/v1", "http://a.localhost/v1")
ELSEWHERE = (
    "http://10.0.0.7/v1",
    "http://models.example:8000/v1",
    "http://localhost.example/v1",
    "http://[fe80::1]/v1",
)


@pytest.mark.parametrize("url", [*HERE, "https://models.example/v1"])
def test_this_machine_needs_no_tls(url: str) -> None:
    assert settings(base_url=url).base_url == url


@pytest.mark.parametrize("url", ELSEWHERE)
def test_other_machines_are_asked_without_tls_only_where_the_settings_say_so(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = r"would send key and texts in the clear to another machine \(http://\); use https://"
    with pytest.raises(ValidationError, match=f"base_url {wanted}"):
        settings(base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserMistakes, match=f"OPENAI_BASE_URL: {wanted}"):
        Endpoint(settings())
    assert settings(base_url=url, insecure=True).base_url == url
    Endpoint(settings(insecure=True))


def test_every_request_passes_the_gate_and_what_the_gate_raises_stops_the_run() -> None:
    passed: list[tuple[int, int, int]] = []

    def gate(place: int, most: Spent) -> None:
        passed.append((place, most.prompt_tokens, most.completion_tokens))
        if len(passed) == 4:
            raise RunFailure("enough")

    outcomes: list[Outcome] = []
    with serve(first_then(Reply(500))) as server:
        endpoint = Endpoint(settings(base_url=server.url, parallel=1), sleep=lambda _: None, gate=gate)
        with pytest.raises(RunFailure, match="enough"):
            outcomes.extend(endpoint.ask(prompts(*"abc"), seed=0))
        sent = [len(json.dumps(endpoint.body(prompt)).encode()) for prompt in prompts(*"ab")]
    limit = endpoint.settings.max_tokens
    assert passed == [(place, sent[place], limit) for place in (0, 0, 1, 1)]
    assert [text_of(outcome) for outcome in outcomes] == ["to a"]
    assert len(server.asked) == 3


def test_a_faulty_environment_is_a_mistake_that_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "my-server")
    with pytest.raises(UserMistakes, match="OPENAI_BASE_URL: is not a URL that begins"):
        Endpoint(settings())
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} {KEY}")
    with pytest.raises(UserMistakes, match="OPENAI_API_KEY: holds characters") as caught:
        Endpoint(settings(base_url="http://localhost/v1"))
    assert KEY not in str(caught.value)
