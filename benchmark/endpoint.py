"""Language models behind an OpenAI-compatible endpoint (chat completions): many prompts in parallel, with retries.

A prompt's messages are sent as they are. Its answer prefix and its stop string are not sent: a chat endpoint opens and
ends an answer itself. Answers come back one by one as they arrive, so that each can be stored at once. The key comes
from an environment variable and stands in no file, error or log.
"""

import json
import os
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, ClassVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from benchmark.endpoint_replies import (
    Completion,
    Failure,
    read_completion,
    read_message,
    read_retry_after,
    struck_out,
)
from benchmark.endpoint_threads import Finished, PromptThreads
from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.prompts import Prompt
from benchmark.seeds import derive_seed
from benchmark.spending import Spent

URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
FATAL = (401, 402, 403, 404)
"""Statuses after which nothing more is asked: every other prompt would meet them too."""
RETRIED = (408, 409, 425, 429)
"""Statuses below 500 that pass; all from 500 on are retried too."""
CONNECT_SECONDS = 15.0
LONGEST_RETRY_AFTER = 600.0
"""Seconds; an endpoint that asks for a longer pause (the quota of a day) stops the run instead."""
FAILURES_IN_A_ROW = 8
"""Prompts that go unanswered one after another before the endpoint counts as down."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_OWN_KEYS = {"model", "messages", "temperature", "max_tokens", "stream", "n"}


class EndpointSettings(BaseModel):
    """Where and how to ask a model at an OpenAI-compatible endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str = Field(min_length=1)
    """Name of the model as the endpoint knows it."""
    base_url: str | None = None
    """URL up to `/v1`; null takes the environment variable OPENAI_BASE_URL, else OpenAI's own."""
    insecure: bool = False
    """Whether another machine may be asked without TLS (http://): key and texts then travel in the clear."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key. If it is not set, no key is sent: local servers need none."""
    temperature: float = Field(ge=0)
    max_tokens: int = Field(ge=1)
    timeout_seconds: float = Field(default=120.0, gt=0)
    """Longest silence of the endpoint within one request."""
    attempts: int = Field(default=6, ge=1)
    """Most requests for one prompt."""
    parallel: int = Field(default=4, ge=1)
    """Requests under way at a time."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """More of the request's body, under the endpoint's own names (`chat_template_kwargs`, `seed`, …)."""

    @model_validator(mode="after")  # on the whole, since the error of a single field quotes its value
    def _holds_no_secret(self) -> "EndpointSettings":
        if not _VARIABLE.fullmatch(self.api_key_variable):
            named = "api_key_variable is not the name of an environment variable in capitals"
            raise ValueError(f"{named}; the key itself stays in the environment")
        if self.base_url is not None and (fault := fault_of_url(self.base_url, insecure=self.insecure)):
            raise ValueError(f"base_url {fault}")
        own = _OWN_KEYS & set(self.extra_body)
        if own:
            raise ValueError(f"extra_body may not hold {', '.join(sorted(own))}: these are decided elsewhere")
        return self


@dataclass(frozen=True)
class Outcome:
    """What became of one prompt: an answer, or the reason why there is none."""

    index: int
    """Place of the prompt among those given."""
    completion: Completion | None
    problem: str | None
    """None exactly when there is a completion."""


Check = Callable[[str], str | None]
"""Returns what is wrong with an answer, None if it can be used. Called in several threads."""
Gate = Callable[[int, Spent], object]
"""Called in the prompt's thread before each of its requests, with the prompt's place and the most that the request may
cost. It may wait, or raise what is to stop the run."""


def accept_all(text: str) -> str | None:
    """Find nothing wrong with any answer."""
    return None


class Endpoint:
    """A model that is asked over HTTP."""

    path: ClassVar[str] = "/chat/completions"
    url_key: ClassVar[str] = f"base_url (or the environment variable {URL_VARIABLE})"
    """Where the user sets the URL."""

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        sleep: Callable[[float], object] | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Read URL and key from the environment; nothing is sent yet.

        Args:
            settings: where and how to ask.
            sleep: called with the seconds to wait before another attempt; None waits, and stops when the run does.
            gate: what every request has to pass, for rate and spend limits; None lets all pass.

        Raises:
            UserMistakes: OPENAI_BASE_URL is no URL, or the key holds characters that cannot be sent.
        """
        self.settings = settings
        self._sleep, self._gate = sleep, gate
        self._url = _url_below(settings, self.path)
        self._key = _key(settings.api_key_variable)

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the body of the request for a prompt."""
        return {
            "model": self.settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "temperature": self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
            **self.settings.extra_body,
        }

    def ask(self, prompts: Sequence[Prompt], *, seed: int, check: Check = accept_all) -> Generator[Outcome, None, None]:
        """Ask all prompts in parallel and yield each one's outcome as it comes; close the generator to stop early.

        Timeouts, lost connections, statuses 408, 409, 425, 429 and 5xx, faulty bodies and answers in which `check`
        finds something wrong are asked again, `attempts` times in all, with pauses that double (jittered by the
        seed) or that the endpoint names (`Retry-After`). What fails for good is an Outcome with a problem.

        Raises:
            RunFailure: the endpoint refuses key, payment, URL or model (401 to 404), wants a pause of more than ten
                minutes, or is down: `parallel` prompts in a row cannot be delivered, or eight in a row get no
                answer. The answers to requests under way are yielded first.
        """
        failure: Exception | None = None
        watch = _Watch(min(self.settings.parallel, len(prompts)), self._shown_url)
        with self._client() as client:
            threads = PromptThreads(
                lambda index: self._attempt(client, index, prompts[index], check),
                len(prompts),
                attempts=self.settings.attempts,
                parallel=self.settings.parallel,
                seed=derive_seed(seed, "endpoint"),
                sleep=self._sleep,
            )
            try:
                for item in threads.items():
                    if isinstance(item, Exception):
                        failure = failure or item
                    else:
                        outcome = _outcome(item)
                        yield outcome
                        failure = failure or watch.judge(item, outcome)
                    if failure:
                        threads.stop()
            finally:
                threads.stop()
        if failure:
            raise failure

    @property
    def _shown_url(self) -> str:
        return str(self._url.copy_with(query=None))

    def _client(self) -> httpx.Client:
        settings = self.settings
        seconds = settings.timeout_seconds
        return httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS), pool=None),
            limits=httpx.Limits(max_connections=settings.parallel, max_keepalive_connections=settings.parallel),
        )

    def _attempt(self, client: httpx.Client, index: int, prompt: Prompt, check: Check) -> Completion | Failure:
        """Send one request; RunFailure when no other would fare better."""
        if self._gate is not None:
            self._gate(index, self._most(prompt))
        result = self._request(client, prompt)
        fault = check(result.text) if isinstance(result, Completion) else None
        if isinstance(result, Failure) or fault is None:
            return result
        cut = f" (cut at max_tokens: {self.settings.max_tokens})" if result.finish_reason == "length" else ""
        return Failure(fault + cut, "unusable")

    def _most(self, prompt: Prompt) -> Spent:
        """Return every byte of the body as a token, of which a tokenizer makes no more, and the whole `max_tokens`."""
        size = len(json.dumps(self.body(prompt), ensure_ascii=False).encode())
        return Spent(prompt_tokens=size, completion_tokens=self.settings.max_tokens)

    def _request(self, client: httpx.Client, prompt: Prompt) -> Completion | Failure:
        try:
            response = client.post(self._url, json=self.body(prompt))
        except httpx.RequestError as error:
            undelivered = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            said = struck_out(str(error), self._key)
            return Failure(f"{type(error).__name__}: {said}".removesuffix(": "), "busy", undelivered)
        return self.read(response) if response.status_code == 200 else self._failure(response)

    def read(self, response: httpx.Response) -> Completion | Failure:
        """Return what a response with status 200 holds."""
        return read_completion(response)

    def _failure(self, response: httpx.Response) -> Failure:
        """Return what a status other than 200 means for the prompt; RunFailure when it means the same for all."""
        status = response.status_code
        said = read_message(response, self._key)
        reason = f"HTTP {status}" + (f": {said}" if said else "")
        if status in FATAL:
            raise RunFailure(f"{self._shown_url} answers {reason}; {self._remedy(status)}")
        if status not in RETRIED and status < 500:
            return Failure(reason, "refused")
        wait = read_retry_after(response)
        if wait is not None and wait > LONGEST_RETRY_AFTER:
            wanted = f"asks to wait {wait / 60:.0f} minutes ({reason})"
            raise RunFailure(f"{self._shown_url} {wanted}; the same command goes on from here then")
        return Failure(reason, "busy", retry_after=wait)

    def _remedy(self, status: int) -> str:
        variable, model = self.settings.api_key_variable, self.settings.model
        if status == 404:
            return f"check {self.url_key} and that it has the model '{model}'"
        if self._key is None:
            return f"set the environment variable {variable} to a key; it is not set"
        if status == 402:
            return f"the account of the key in the environment variable {variable} has no credit"
        return f"check the key in the environment variable {variable} and that it may use the model '{model}'"


class _Watch:
    """Tells prompts that failed from an endpoint that is down."""

    def __init__(self, parallel: int, url: str) -> None:
        self._parallel, self._url = parallel, url
        self._failures: list[Failure] = []

    def judge(self, finished: Finished, outcome: Outcome) -> RunFailure | None:
        """Return the failure of the whole run if this prompt's makes it one."""
        failure = finished.result
        if isinstance(failure, Completion) or failure.kind in ("unusable", "refused"):
            self._failures.clear()
            return None
        self._failures.append(failure)
        latest = [failure.undelivered for failure in self._failures[-self._parallel :]]
        if len(latest) == self._parallel and all(latest):
            problem = "cannot be reached"
        elif len(self._failures) >= max(FAILURES_IN_A_ROW, self._parallel):
            problem = f"answered none of the last {len(self._failures)} prompts"
        else:
            return None
        return RunFailure(f"{self._url} {problem} ({outcome.problem}); the same command goes on when it is up")


def _outcome(finished: Finished) -> Outcome:
    if isinstance(finished.result, Completion):
        return Outcome(finished.index, finished.result, None)
    last = f" (the last of {finished.attempts} attempts)" if finished.attempts > 1 else ""
    return Outcome(finished.index, None, finished.result.reason + last)


def _url_below(settings: EndpointSettings, path: str) -> httpx.URL:
    base = settings.base_url
    if base is None:
        base = os.environ.get(URL_VARIABLE) or DEFAULT_URL
        if fault := fault_of_url(base, insecure=settings.insecure):
            raise UserMistakes([Mistake(f"environment variable {URL_VARIABLE}", fault)])
    url = httpx.URL(base)
    return url.copy_with(path=url.path.rstrip("/") + path)


def fault_of_url(text: str, *, insecure: bool) -> str | None:
    """Return why an endpoint at this URL may not be asked; None if it may: over TLS, on this machine, or `insecure`."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return "is not a URL"
    if url.scheme not in ("http", "https") or not url.host:
        return "is not a URL that begins with http:// or https://"
    if url.userinfo:
        return "holds a user name or password; give the key in the environment"
    if url.scheme == "http" and not insecure and not _is_loopback(url.host):
        clear = "would send key and texts in the clear to another machine (http://)"
        return f"{clear}; use https://, or set insecure: true where the way there is safe"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _key(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserMistakes([Mistake(f"environment variable {variable}", "holds characters that no key has")])
    return key or None
