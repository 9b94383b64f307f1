"""An OpenAI-compatible server as a backend: `/v1/completions` with the very tokens that the other backends read.

The chat template is applied here, so the server needs none, and the opening of the answer is part of the prompt.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

from benchmark.endpoint import Endpoint, EndpointSettings
from benchmark.endpoint_replies import Completion, Failure
from benchmark.errors import RunFailure
from benchmark.prompts import Prompt
from benchmark.user_lines import has_half_character
from scoring.models.backend_settings import ServerSettings
from scoring.models.backends_vllm import read_drawn, sampling_arguments
from scoring.models.chat import ChatTokenizer
from scoring.models.generation import (
    Batch,
    Generation,
    Request,
    Sampling,
    answer_in_batches,
    generation_of,
    unfinished_text,
)

OPENAI_KEYS = ("max_tokens", "temperature", "seed", "stop")
"""Of what says how an answer is drawn; the rest are vLLM's own."""


class UnansweredPrompts(RunFailure):
    """Prompts that stayed without an answer after all attempts."""

    def __init__(self, problems: Mapping[int, str]) -> None:
        """`problems` maps the index of each prompt to what was wrong last."""
        self.problems = dict(problems)
        super().__init__(said_of_unanswered({f"prompt {index}": problem for index, problem in problems.items()}))


def said_of_unanswered(problems: Mapping[str, str]) -> str:
    """Return the sentence for prompts without an answer, by name; the first one's problem stands for all."""
    first = next(iter(problems.values()))
    named = ", ".join(problems)
    return f"no answer came to {named} ({first}); all other answers are kept, and the same command asks for these again"


@dataclass(frozen=True)
class SentPrompt(Prompt):
    """A prompt with the body of its request."""

    body: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    """Of the prompt as tokenised here."""


@dataclass(frozen=True)
class TextCompletion(Completion):
    """A completion; its text may be empty."""

    ids: list[int] | None = None
    """The tokens drawn, where the server gives them."""


class CompletionsEndpoint(Endpoint):
    """A server that is asked for completions."""

    path: ClassVar[str] = "/completions"
    url_key: ClassVar[str] = "generation.server.url"

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the body of the request for a prompt, which is a SentPrompt."""
        assert isinstance(prompt, SentPrompt)
        return prompt.body

    def read(self, response: httpx.Response) -> Completion | Failure:
        """Return what a response with status 200 holds."""
        try:
            content = response.json()
            choice, usage = content["choices"][0], content.get("usage") or {}
            text, reason = choice["text"], choice["finish_reason"]
            made = TextCompletion(
                str(text), reason, usage.get("prompt_tokens"), usage.get("completion_tokens"), choice.get("token_ids")
            )
        except ValueError:
            return Failure("the server's answer is not JSON", "busy")
        except (KeyError, IndexError, TypeError, AttributeError):
            return Failure("the server's answer has no choices[0] with text and finish_reason", "busy")
        if reason not in ("stop", "length"):
            return Failure(f"the server ended the answer by '{reason}'", "busy")
        if has_half_character(made.text):
            return Failure("the server's answer holds half of a character", "busy")
        return made


@dataclass(frozen=True)
class ServerBackend:
    """A model behind a server."""

    endpoint: CompletionsEndpoint
    settings: ServerSettings
    chat: ChatTokenizer
    context_length: int

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, finished: Collection[int] = ()
    ) -> Iterator[Batch]:
        """Yield what came of each batch, as `answer_in_batches` does; of a batch begun only the rest is asked.

        Raises:
            UnansweredPrompts: once all have been asked, naming those that stayed without an answer.
            RunFailure: the server is down, refuses key or model, or reads a prompt as other tokens.
        """
        failed: dict[int, str] = {}

        def answer(requests: Sequence[Request]) -> Iterator[Batch]:
            asked = [request for request in requests if request.index not in finished]
            made: Batch = []
            try:
                for outcome in self.endpoint.ask([self._sent(r, sampling) for r in asked], seed=sampling.seed):
                    request = asked[outcome.index]
                    if isinstance(outcome.completion, TextCompletion):
                        made.append((request.index, self._generation(request, outcome.completion)))
                    else:
                        failed[request.index] = str(outcome.problem)
            except RunFailure:
                yield from [sorted(made)] if made else []
                raise
            yield from [sorted(made)] if made else []

        yield from answer_in_batches(self.chat, self.context_length, prompts, sampling, answer, finished=finished)
        if failed:
            raise UnansweredPrompts(failed)

    def _sent(self, request: Request, sampling: Sampling) -> SentPrompt:
        arguments = sampling_arguments(request, sampling, self.chat.end_ids)
        if self.settings.dialect == "openai":
            arguments = {key: arguments[key] for key in OPENAI_KEYS}
        else:
            arguments |= {"add_special_tokens": False, "return_token_ids": True}
        ids = list(request.ids)
        prompt = ids if self.settings.prompts == "tokens" else self.chat.spelled_out(ids)
        body = {"model": self.endpoint.settings.model, "prompt": prompt, **arguments}
        return SentPrompt((), stop=request.stop, body=body, tokens=len(ids))

    def _generation(self, request: Request, made: TextCompletion) -> Generation:
        if made.prompt_tokens is not None and made.prompt_tokens != len(request.ids):
            raise RunFailure(
                f"{self.settings.url} reads prompt {request.index} as {made.prompt_tokens} tokens, and it has "
                f"{len(request.ids)}: another tokenizer, or tokens added at its beginning; send tokens "
                "(generation.server.prompts), or serve the model that this policy was trained on"
            )
        if made.ids is not None:
            return generation_of(self.chat, request, read_drawn(self.chat, made.ids, request.stop))
        cut = made.finish_reason == "length"
        text = unfinished_text(made.text, request.stop) if cut else made.text.strip()
        counted = made.completion_tokens
        new_tokens = len(self.chat.encode_text(made.text)) if counted is None else counted
        return Generation(text, "length" if cut else "stop", len(request.ids), new_tokens)


def open_server(
    settings: ServerSettings, model: str, chat: ChatTokenizer, context_length: int, sampling: Sampling
) -> ServerBackend:
    """Return the backend for a model that the server knows by this name; nothing is sent yet.

    Raises:
        UserMistakes: the key in the environment holds characters that cannot be sent.
    """
    endpoint = EndpointSettings(
        model=model,
        base_url=settings.url,
        insecure=settings.insecure,
        api_key_variable=settings.api_key_env,
        temperature=sampling.temperature,
        max_tokens=sampling.max_new_tokens,
        timeout_seconds=settings.timeout_seconds,
        attempts=settings.attempts,
        parallel=settings.concurrency,
    )
    return ServerBackend(CompletionsEndpoint(endpoint), settings, chat, context_length)
