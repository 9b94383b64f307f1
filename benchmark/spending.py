"""What models at endpoints and on this machine cost, account by account, and the limit that no request may exceed.

Tokens are those that are reported for answers, those that could not be used included. A request is let through only if
the limit holds even where every request under way costs the most that it can. Requests that bring no answer are in no
account: nobody counts their tokens.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from benchmark.errors import RunFailure


class Prices(BaseModel):
    """Money for a million tokens, in any currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)

    def money(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Limits(BaseModel):
    """What may be spent in all, by interrupted runs too. No request is begun that could exceed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int | None = Field(default=None, ge=1)
    """Prompts and answers together."""
    money: float | None = Field(default=None, gt=0)
    """In the currency of the prices."""


@dataclass(frozen=True)
class Spent:
    """The cost of one account, or of several; also the most that a request may cost."""

    answers: int = 0
    repairs: int = 0
    """Those of the answers that were asked for because one before could not be used."""
    unmeasured: int = 0
    """Answers for which no tokens were reported: they are in none of the sums below."""
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
        return prices.money(self.prompt_tokens, self.completion_tokens)


class Ledger:
    """Accounts under one limit: counts what is spent and lets requests through. Safe for several threads."""

    def __init__(self, prices: Mapping[str, Prices | None], limits: Limits) -> None:
        """Open an account for each name in `prices`, with nothing spent; what has no prices costs no money."""
        self.prices, self._limits = dict(prices), limits
        self._spent = dict.fromkeys(prices, Spent())
        self._held: dict[tuple[str, int], Spent] = {}
        self._lock = threading.Lock()

    @property
    def spent(self) -> dict[str, Spent]:
        """What each account has cost, in the order in which they were opened."""
        return dict(self._spent)

    def count(self, account: str, *, repair: bool, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Add an answer; None where its tokens are not reported."""
        if prompt_tokens is None or completion_tokens is None:
            one = Spent(1, int(repair), unmeasured=1)
        else:
            one = Spent(1, int(repair), 0, prompt_tokens, completion_tokens)
        with self._lock:
            self._spent[account] += one

    def hold(self, account: str, request: int, most: Spent) -> None:
        """Reserve the most that a request may cost; a request that is sent again is reserved once.

        Args:
            account: what it is counted to.
            request: its number within the account.
            most: the most tokens that it may take.

        Raises:
            RunFailure: with it the limit might be exceeded, or cannot be kept since tokens are not reported.
        """
        with self._lock:
            held = {**self._held, (account, request): most}
            if problem := self._excess(held):
                raise RunFailure(problem)
            self._held = held

    def release(self, account: str, request: int) -> None:
        """Give back the reservation of a request that has ended, after its answer was counted."""
        with self._lock:
            self._held.pop((account, request), None)

    def release_all(self, account: str) -> None:
        """Give back every reservation of an account."""
        with self._lock:
            self._held = {key: most for key, most in self._held.items() if key[0] != account}

    def _excess(self, held: Mapping[tuple[str, int], Spent]) -> str | None:
        """Return why what is held may not be begun."""
        limits = self._limits
        if limits.tokens is None and limits.money is None:
            return None
        unmeasured = [account for account, spent in self._spent.items() if spent.unmeasured]
        if unmeasured:
            return f"no token usage is reported for {', '.join(unmeasured)}, so no limit can be kept; remove `limits`"
        under_way = dict.fromkeys(self._spent, Spent())
        for (account, _), most in held.items():
            under_way[account] += most
        tokens = [sum(one.tokens for one in costs.values()) for costs in (self._spent, under_way)]
        if limits.tokens is not None and sum(tokens) > limits.tokens:
            return _reached(f"{limits.tokens} tokens", f"{tokens[0]} are", f"{tokens[1]} tokens")
        money = [self._money(costs) for costs in (self._spent, under_way)]
        if limits.money is not None and sum(money) > limits.money:
            return _reached(f"{limits.money:g} in money", f"{money[0]:.4g} is", f"{money[1]:.4g}")
        return None

    def _money(self, costs: Mapping[str, Spent]) -> float:
        return sum(cost.money(self.prices[account]) or 0.0 for account, cost in costs.items())


def _reached(limit: str, spent: str, more: str) -> str:
    reached = f"the limit of {limit} is reached: {spent} spent, and what is under way with the next request may take"
    return f"{reached} {more}; raise the limit, and the same command goes on from here"
