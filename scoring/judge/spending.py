"""What judging costs, in tokens and US dollars, and where it has to stop."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scoring.judge.answers import KeptAnswer
from scoring.judge.settings import Prices, SpendLimit


@dataclass
class Spending:
    """What one judge's answers took. Requests that failed on the way are not in it: nobody counts them."""

    judge: str
    prices: Prices | None
    answers: int = 0
    uncounted: int = 0
    """Answers whose tokens the judge's server did not count."""
    prompt_tokens: int = 0
    """Of the counted answers."""
    completion_tokens: int = 0
    """Of the counted answers."""

    @property
    def usd(self) -> float | None:
        """US dollars; None without prices, or where tokens were not counted."""
        if self.prices is None or self.uncounted:
            return None
        return self.prices.usd(self.prompt_tokens, self.completion_tokens)

    def add(self, answer: KeptAnswer) -> None:
        """Count an answer."""
        self.answers += 1
        if answer.prompt_tokens is None or answer.completion_tokens is None:
            self.uncounted += 1
        else:
            self.prompt_tokens += answer.prompt_tokens
            self.completion_tokens += answer.completion_tokens

    def row(self) -> dict[str, Any]:
        """Return it as plain data."""
        prices = None if self.prices is None else self.prices.model_dump()
        return {
            "judge": self.judge,
            "answers": self.answers,
            "uncounted": self.uncounted,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd_per_million_tokens": prices,
            "usd": self.usd,
        }


class Ledger:
    """The spending of all judges under one limit."""

    def __init__(self, prices: Mapping[str, Prices | None], limit: SpendLimit, kept: Iterable[KeptAnswer]) -> None:
        """Begin with the answers that are kept already; those of judges without an entry in `prices` do not count."""
        self._limit = limit
        self._of = {judge: Spending(judge, price) for judge, price in prices.items()}
        for answer in kept:
            self.add(answer)

    @property
    def rows(self) -> list[Spending]:
        """What each judge took."""
        return list(self._of.values())

    def add(self, answer: KeptAnswer) -> None:
        """Count an answer."""
        if answer.judge in self._of:
            self._of[answer.judge].add(answer)

    def reached(self) -> str | None:
        """Return why nothing more may be asked; None while there is no reason."""
        if self._limit.usd is None and self._limit.tokens is None:
            return None
        uncounted = [spent.judge for spent in self.rows if spent.uncounted]
        if uncounted:
            return f"{', '.join(uncounted)} does not say how many tokens its answers take, so no limit can be kept"
        tokens = sum(spent.prompt_tokens + spent.completion_tokens for spent in self.rows)
        if self._limit.tokens is not None and tokens >= self._limit.tokens:
            return f"the limit of {self._limit.tokens} tokens is reached ({tokens} spent)"
        usd = sum(spent.usd or 0.0 for spent in self.rows)
        if self._limit.usd is not None and usd >= self._limit.usd:
            return f"the limit of {self._limit.usd:.2f} US dollars is reached ({usd:.2f} spent)"
        return None
