"""What a build has cost, step by step, and the limit that no request may exceed.

Tokens are those that the endpoint reports for answers, set-aside ones included. A request is let through only if the
limit holds even where every request under way costs the most that it can: all bytes of its body as prompt tokens (a
byte-level tokenizer makes no more) and the whole `max_tokens`.
"""

import threading
from dataclasses import dataclass

from benchmark.construction.settings import Limits, Prices
from benchmark.errors import RunFailure


@dataclass
class Spent:
    """The cost of one step, or of several."""

    answers: int = 0
    repairs: int = 0
    """Those of the answers that were asked for a second time."""
    unmeasured: int = 0
    """Answers for which the endpoint reported no tokens: they are in none of the sums below."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        """Return both together."""
        return Spent(
            self.answers + other.answers,
            self.repairs + other.repairs,
            self.unmeasured + other.unmeasured,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and completions together."""
        return self.prompt_tokens + self.completion_tokens

    def money(self, prices: Prices | None) -> float | None:
        """Return the price; None without prices or where some answers were not measured."""
        if prices is None or self.unmeasured:
            return None
        return (self.prompt_tokens * prices.prompt + self.completion_tokens * prices.completion) / 1e6


class Ledger:
    """Counts what is spent and lets requests through. Safe for several threads."""

    def __init__(self, prices: Prices | None, limits: Limits) -> None:
        """Begin with nothing spent."""
        self.prices, self.limits = prices, limits
        self.by_step: dict[str, Spent] = {}
        self._held: dict[int, Spent] = {}
        self._lock = threading.Lock()

    @property
    def total(self) -> Spent:
        """What all steps have cost."""
        return sum(self.by_step.values(), Spent())

    def count(self, step: str, *, repair: bool, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Add an answer.

        Raises:
            RunFailure: there is a limit, and the endpoint did not report the answer's tokens.
        """
        measured = prompt_tokens is not None and completion_tokens is not None
        one = Spent(1, int(repair), int(not measured))
        if prompt_tokens is not None and completion_tokens is not None:
            one.prompt_tokens, one.completion_tokens = prompt_tokens, completion_tokens
        with self._lock:
            self.by_step[step] = self.by_step.get(step, Spent()) + one
        if not measured and (self.limits.tokens is not None or self.limits.money is not None):
            raise RunFailure(
                "the endpoint reports no token usage, so no limit can be kept; remove `limits` or change it"
            )

    def hold(self, request: int, body_bytes: int, max_tokens: int) -> None:
        """Reserve the most that a request may cost; a request that is sent again is reserved once.

        Raises:
            RunFailure: with it the limit might be exceeded.
        """
        most = Spent(prompt_tokens=body_bytes, completion_tokens=max_tokens)
        with self._lock:
            held = {**self._held, request: most}
            worst = sum(held.values(), self.total)
            if problem := self._excess(worst):
                raise RunFailure(f"{problem}; raise the limit, and the same command goes on from here")
            self._held = held

    def release(self, request: int) -> None:
        """Give back the reservation of a request that has ended."""
        with self._lock:
            self._held.pop(request, None)

    def release_all(self) -> None:
        """Give back every reservation."""
        with self._lock:
            self._held.clear()

    def _excess(self, worst: Spent) -> str | None:
        spent = self.total
        if self.limits.tokens is not None and worst.tokens > self.limits.tokens:
            return f"the limit of {self.limits.tokens} tokens is reached: {spent.tokens} are spent" + _next(
                worst, spent
            )
        if self.limits.money is not None:
            now, then = spent.money(self.prices), worst.money(self.prices)
            if now is not None and then is not None and then > self.limits.money:
                return f"the limit of {self.limits.money:g} in money is reached: {now:.4g} is spent" + _next(
                    worst, spent
                )
        return None


def _next(worst: Spent, spent: Spent) -> str:
    return f", and what is under way with the next request may take {worst.tokens - spent.tokens} tokens"
