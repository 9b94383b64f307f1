"""The ledger adds what is spent by account, prices what was measured, and lets no request exceed the limit."""

import threading

import pytest

from benchmark import RunFailure
from benchmark.spending import Ledger, Limits, Prices, Spent


def most(prompt_tokens: int, completion_tokens: int) -> Spent:
    return Spent(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def count(ledger: Ledger, account: str, prompt_tokens: int | None, completion_tokens: int | None) -> None:
    ledger.count(account, repair=False, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def test_costs_add_by_account_and_are_priced_where_they_were_measured() -> None:
    prices = Prices(prompt=2, completion=10)
    ledger = Ledger({"a": prices, "b": prices, "c": None}, Limits())
    count(ledger, "a", 100, 10)
    ledger.count("a", repair=True, prompt_tokens=50, completion_tokens=5)
    count(ledger, "b", 1, 1)
    assert ledger.spent == {"a": Spent(2, 1, 0, 150, 15), "b": Spent(1, 0, 0, 1, 1), "c": Spent()}
    total = sum(ledger.spent.values(), Spent())
    assert total.tokens == 167
    assert total.money(prices) == pytest.approx((151 * 2 + 16 * 10) / 1e6)
    count(ledger, "b", None, 3)
    assert ledger.spent["b"] == Spent(2, 0, 1, 1, 1)
    assert ledger.spent["b"].money(prices) is None
    assert Spent(prompt_tokens=5).money(None) is None


def test_what_is_under_way_in_any_account_counts_against_the_limit_until_it_ends() -> None:
    ledger = Ledger({"a": None, "b": None}, Limits(tokens=100))
    ledger.hold("a", 1, most(30, 20))
    ledger.hold("a", 1, most(30, 20))
    with pytest.raises(RunFailure, match=r"limit of 100 tokens is reached: 0 are spent, .* may take 101 tokens"):
        ledger.hold("b", 1, most(31, 20))
    ledger.hold("b", 1, most(30, 20))
    count(ledger, "a", 20, 10)
    ledger.release("a", 1)
    ledger.hold("a", 2, most(0, 20))
    with pytest.raises(RunFailure, match=r"30 are spent, .* may take 71 tokens"):
        ledger.hold("a", 3, most(0, 1))
    ledger.release_all("b")
    ledger.hold("a", 3, most(40, 10))
    with pytest.raises(RunFailure, match="may take 71 tokens"):
        ledger.hold("b", 2, most(1, 0))


def test_a_limit_in_money_is_kept_by_the_prices_of_each_account() -> None:
    ledger = Ledger({"a": Prices(prompt=1, completion=3), "b": Prices(prompt=4, completion=4)}, Limits(money=0.001))
    count(ledger, "a", 400, 100)
    ledger.hold("a", 1, most(0, 60))
    with pytest.raises(RunFailure, match=r"limit of 0\.001 in money is reached: 0\.0007 is spent, .* take 0\.000304;"):
        ledger.hold("b", 1, most(31, 0))
    ledger.hold("b", 1, most(30, 0))


def test_what_has_no_price_takes_no_money_but_its_tokens_count() -> None:
    prices = {"priced": Prices(prompt=1, completion=1), "free": None}
    ledger = Ledger(prices, Limits(money=1e-6, tokens=50))
    ledger.hold("free", 1, most(20, 20))
    ledger.hold("priced", 1, most(1, 0))
    with pytest.raises(RunFailure, match="limit of 50 tokens"):
        ledger.hold("free", 2, most(10, 0))


def test_without_usage_no_limit_can_be_kept_and_without_a_limit_none_is_needed() -> None:
    for limits in (Limits(tokens=10**9), Limits(money=10**9)):
        ledger = Ledger({"a": None, "b": None}, limits)
        count(ledger, "a", None, None)
        with pytest.raises(RunFailure, match="no token usage is reported for a, so no limit can be kept"):
            ledger.hold("b", 1, most(1, 1))
    ledger = Ledger({"a": None}, Limits())
    count(ledger, "a", None, None)
    ledger.hold("a", 1, most(10**12, 10**12))


def test_threads_that_hold_at_once_do_not_exceed_the_limit_together() -> None:
    ledger = Ledger({"a": None}, Limits(tokens=1000))
    together, passed = threading.Barrier(8), list[int]()

    def work(number: int) -> None:
        together.wait()
        for step in range(100):
            try:
                ledger.hold("a", number * 100 + step, most(3, 4))
            except RunFailure:
                continue
            passed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1000 // 7
