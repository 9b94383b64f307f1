"""What an HTTP response of a chat completions endpoint holds: a usable completion, or why there is none."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx

from benchmark.user_lines import has_half_character

MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class Completion:
    """What the model answered."""

    text: str
    """The answer without the thoughts that a thinking model puts before it (all up to `</think>`); never empty."""
    finish_reason: str | None
    prompt_tokens: int | None
    """Tokens as the endpoint counts them; None where it does not."""
    completion_tokens: int | None


@dataclass(frozen=True)
class Failure:
    """Why one request brought nothing."""

    reason: str
    kind: Literal["busy", "refused", "unusable"]
    """busy: ask again after a pause; refused: asking again would not help; unusable: ask again at once."""
    undelivered: bool = False
    """Whether there was no connection to begin with."""
    retry_after: float | None = None
    """Seconds that the endpoint wants to be left alone."""


def read_completion(response: httpx.Response) -> Completion | Failure:
    """Return what a response with status 200 holds."""
    try:
        content = response.json()
        choice = content["choices"][0]
        text, finish_reason = choice["message"]["content"], choice.get("finish_reason")
    except ValueError:
        return Failure("the endpoint's answer is not JSON", "busy")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Failure("the endpoint's answer has no choices[0].message.content", "busy")
    text = _behind_thoughts(text) if isinstance(text, str) else ""
    if not text:
        return Failure(f"the endpoint's answer is empty (finish_reason {finish_reason})", "busy")
    if has_half_character(text):
        return Failure("the endpoint's answer holds half of a character", "busy")
    usage = content.get("usage")
    prompt_tokens, completion_tokens = (
        usage.get(key) if isinstance(usage, dict) else None for key in ("prompt_tokens", "completion_tokens")
    )
    return Completion(text, finish_reason, prompt_tokens, completion_tokens)


def read_message(response: httpx.Response, secret: str | None) -> str:
    """Return the beginning of what the endpoint says of an error, in one line, with the secret struck out."""
    try:
        content = response.json()
        error = content.get("error", content)
        said = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        said = response.text
    return struck_out(" ".join(str(said).split()), secret)[:MESSAGE_LENGTH]


def struck_out(text: str, secret: str | None) -> str:
    """Return the text with "[key]" wherever the secret stands."""
    return text.replace(secret, "[key]") if secret else text


def read_retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the header names as a number or as a date; None without a readable one."""
    value = response.headers.get("retry-after", "")
    if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _behind_thoughts(text: str) -> str:
    _, closed, answer = text.rpartition("</think>")
    return "" if not closed and text.lstrip().startswith("<think>") else answer.strip()
