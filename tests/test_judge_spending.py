"""What judges cost is counted, and no question is asked that could exceed the limit."""

import json
from pathlib import Path

import pytest
from endpoint_helpers import Asked, Reply, answer, serve
from judge_helpers import Bench, always_first, dear, prefers, responses, samples, settings, verdict

from benchmark.spending import Limits, Prices, Spent

LIKES_LENGTH = prefers(len)
GOOD = responses(samples(6), {"long": lambda s: f"{s.golden_response} And more.", "short": lambda s: "No."})
"""Thirty-six questions."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return Bench(tmp_path, GOOD)


def test_tokens_are_counted_with_those_of_unreadable_answers(bench: Bench) -> None:
    with serve(lambda asked: answer("Well.") if asked.number == 1 else LIKES_LENGTH(asked)) as server:
        _, asking = bench.ask(settings(server))
    assert asking.ledger.spent["big"] == Spent(72, 36, 0, 72 * 7, 72 * 3)
    with serve(LIKES_LENGTH) as server:
        _, again = bench.ask(settings(server))
    assert again.ledger.spent == asking.ledger.spent


def test_an_answer_that_a_longer_limit_asked_for_anew_is_no_repair(bench: Bench) -> None:
    with serve(lambda asked: answer(verdict(asked, "tie"), finish_reason="length")) as server:
        _, asking = bench.ask(settings(server, max_tokens=40), tries=1)
    with serve(LIKES_LENGTH) as server:
        _, asking = bench.ask(settings(server, max_tokens=60), tries=1)
        assert (asking.ledger.spent["big"].answers, asking.ledger.spent["big"].repairs) == (72, 0)
        _, asking = bench.ask(settings(server, max_tokens=60), tries=1)
    assert (asking.ledger.spent["big"].answers, asking.ledger.spent["big"].repairs) == (72, 0)


@pytest.mark.parametrize("limits", [Limits(tokens=40_000), Limits(money=0.08)])
def test_no_question_is_asked_that_could_exceed_the_limit_and_a_higher_one_goes_on(
    bench: Bench, limits: Limits
) -> None:
    prices = Prices(prompt=2.0, completion=2.0)
    with serve(dear(LIKES_LENGTH)) as server:
        judge = settings(server, max_tokens=100)
        scores, asking = bench.ask(judge, limits=limits, prices=prices)
        assert "is reached" in asking.stopped["big"]
        kept = len(bench.path.read_text().splitlines())
        assert kept == len(server.asked) == asking.ledger.spent["big"].answers
        assert 30_000 < asking.ledger.spent["big"].tokens <= 40_000
        assert any(score.reason == "not asked" for score in scores)
        bench.ask(judge, limits=limits, prices=prices)
        assert len(server.asked) == kept
        scores, asking = bench.ask(judge, limits=Limits(tokens=10**6, money=1.0), prices=prices)
    assert asking.stopped == {}
    assert len(server.asked) == 36
    assert all(score.value is not None for score in scores)


def test_all_judges_together_stay_within_the_limit(bench: Bench) -> None:
    with serve(dear(LIKES_LENGTH)) as one, serve(dear(always_first)) as two:
        judges = [settings(server, name=name, max_tokens=100) for name, server in (("one", one), ("two", two))]
        _, asking = bench.ask(*judges, limits=Limits(tokens=60_000))
        spent = asking.ledger.spent
        assert sorted(asking.stopped) == ["one", "two"]
        assert sum(cost.tokens for cost in spent.values()) <= 60_000
        assert (spent["one"].answers, spent["two"].answers) == (len(one.asked), len(two.asked))


def test_a_limit_that_just_suffices_stops_nothing(bench: Bench) -> None:
    with serve(dear(LIKES_LENGTH)) as server:
        _, asking = bench.ask(settings(server, parallel=1))
        needed = asking.ledger.spent["big"].tokens
        bench.path.unlink()
        _, asking = bench.ask(settings(server, parallel=1), limits=Limits(tokens=needed))
    assert asking.stopped == {}
    assert len(server.asked) == 72


def test_a_limit_is_not_trusted_to_a_server_that_counts_no_tokens(bench: Bench) -> None:
    def uncounted(asked: Asked) -> Reply:
        content = json.loads(LIKES_LENGTH(asked).body)
        del content["usage"]
        return Reply(body=json.dumps(content))

    with serve(uncounted) as server:
        _, asking = bench.ask(settings(server), limits=Limits(tokens=10**6))
        assert "no token usage is reported for big, so no limit can be kept" in asking.stopped["big"]
        assert len(server.asked) <= 1 + 2 * settings(server).parallel
        scores, asking = bench.ask(settings(server))
    assert asking.stopped == {}
    assert asking.ledger.spent["big"].unmeasured == 36
    assert all(score.value is not None for score in scores)
