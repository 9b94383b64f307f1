"""Items are asked for once, repaired once, then set aside; what came is kept and decides what is asked again."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from construction_helpers import rows
from endpoint_helpers import Asked, FakeServer, Reply, answer, serve

from benchmark import RunFailure
from benchmark.construction.answer_store import AnswerStore
from benchmark.construction.answers import Kind
from benchmark.construction.asking import Asker, Question, Step
from benchmark.construction.pace import RequestPace
from benchmark.construction.prompts import ConstructionPrompts
from benchmark.construction.settings import WriterSettings
from benchmark.prompts import Message, Prompt
from benchmark.spending import Ledger, Limits, Spent

KINDS = Step("kinds", "characters classified", Kind)
REAL, FICTIONAL = '{"kind": "real"}', '{"kind": "fictional"}'


@pytest.fixture
def make_asker(tmp_path: Path) -> Callable[..., Asker]:
    """Return what makes an asker that knows what is kept, as a new run does."""

    def make(server: FakeServer, give_up_after: int = 8, **changes: object) -> Asker:
        values = {"model": "scribe", "base_url": server.url, "attempts": 2, "parallel": 2, "max_tokens": 50, **changes}
        return Asker(
            settings=WriterSettings.model_validate(values),
            prompts=ConstructionPrompts(),
            store=AnswerStore(tmp_path),
            ledger=Ledger({"kinds": None}, Limits()),
            pace=RequestPace(None),
            seed=1,
            give_up_after=give_up_after,
            sleep=lambda _: None,
        )

    return make


def questions(*items: str, check: Any = None) -> dict[str, Question[Kind]]:  # noqa: ANN401
    more = {} if check is None else {"check": check}
    return {item: Question(Prompt((Message("user", f"What is {item}?"),)), **more) for item in items}


def script(replies: Mapping[str, Reply], repaired: Reply | None = None) -> Callable[[Asked], Reply]:
    """Answer the items in `replies` with theirs, repairs with `repaired`, and all else with REAL."""

    def reply(asked: Asked) -> Reply:
        if len(asked.body["messages"]) > 1:
            return repaired or answer(REAL)
        return next((r for item, r in replies.items() if f"What is {item}?" == asked.text), answer(REAL))

    return reply


def kinds(answers: Mapping[str, Kind]) -> dict[str, str]:
    return {item: answer.kind for item, answer in answers.items()}


def test_answers_come_in_the_order_of_the_questions(make_asker: Callable[..., Asker]) -> None:
    with serve(script({"a": Reply(body=answer(FICTIONAL).body, seconds=0.1)})) as server:
        answers = make_asker(server).ask(KINDS, questions("a", "b", "c"))
    assert list(kinds(answers).items()) == [("a", "fictional"), ("b", "real"), ("c", "real")]


def test_a_faulty_answer_is_sent_back_once_with_what_is_wrong(make_asker: Callable[..., Asker]) -> None:
    with serve(script({"a": answer('{"kind": "both"}')})) as server:
        asker = make_asker(server)
        assert kinds(asker.ask(KINDS, questions("a"))) == {"a": "real"}
        first, repair = server.asked
    roles = [message["role"] for message in repair.body["messages"]]
    assert (roles, repair.body["messages"][0]) == (["user", "assistant", "user"], first.body["messages"][0])
    assert repair.body["messages"][1]["content"] == '{"kind": "both"}'
    assert "kind: Input should be 'real' or 'fictional'" in repair.text
    assert asker.aside == {}
    assert asker.ledger.spent["kinds"] == Spent(2, 1, 0, 14, 6)


def test_what_is_faulty_twice_is_set_aside_for_good(make_asker: Callable[..., Asker], tmp_path: Path) -> None:
    with serve(script({"b": answer("{}")}, repaired=answer("No."))) as server:
        for _ in range(2):
            asker = make_asker(server)
            assert kinds(asker.ask(KINDS, questions("a", "b"))) == {"a": "real"}
            (aside,) = asker.aside.values()
            assert (aside.step, aside.item, aside.answer) == ("kinds", "b", "No.")
            assert aside.reason == "it holds no complete JSON object with kind"
        assert len(server.asked) == 3
    assert [(row["item"], row["attempt"]) for row in rows(tmp_path / "answers/kinds.jsonl")][-1] == ("b", 2)


def test_a_check_of_the_item_counts_like_the_schema(make_asker: Callable[..., Asker]) -> None:
    check = lambda answer: None if answer.kind == "fictional" else "it is not fictional"  # noqa: E731
    with serve(script({}, repaired=answer(FICTIONAL))) as server:
        assert kinds(make_asker(server).ask(KINDS, questions("a", check=check))) == {"a": "fictional"}
        assert "it is not fictional" in server.asked[1].text


def test_what_is_kept_is_not_asked_again_unless_the_request_changes(make_asker: Callable[..., Asker]) -> None:
    with serve(script({"b": answer("{}")})) as server:
        make_asker(server).ask(KINDS, questions("a", "b"))
        assert len(server.asked) == 3
        make_asker(server).ask(KINDS, questions("a", "b"))
        make_asker(server, max_tokens=900, parallel=1).ask(KINDS, questions("b", "a"))
        assert len(server.asked) == 3
        make_asker(server, temperature=0.1).ask(KINDS, questions("a"))
        assert len(server.asked) == 4
        make_asker(server).ask(KINDS, {"a": Question(Prompt((Message("user", "Who is a?"),)))})
        assert len(server.asked) == 5


def test_after_a_stop_between_the_two_attempts_only_the_repair_is_asked_for(make_asker: Callable[..., Asker]) -> None:
    stop = threading.Event()

    def reply(asked: Asked) -> Reply:
        if len(asked.body["messages"]) > 1:
            return answer(REAL) if stop.is_set() else Reply(401)
        return answer("{}")

    with serve(reply) as server:
        with pytest.raises(RunFailure, match="HTTP 401"):
            make_asker(server).ask(KINDS, questions("a"))
        stop.set()
        assert kinds(make_asker(server).ask(KINDS, questions("a"))) == {"a": "real"}
    assert [len(asked.body["messages"]) for asked in server.asked] == [1, 3, 3]


def test_an_answer_that_was_cut_is_asked_for_again_with_a_longer_limit(make_asker: Callable[..., Asker]) -> None:
    def reply(asked: Asked) -> Reply:
        return answer(REAL[: asked.body["max_tokens"]], finish_reason="length")

    with serve(reply) as server:
        asker = make_asker(server, max_tokens=9)
        assert asker.ask(KINDS, questions("a")) == {}
        assert asker.aside["kinds", "a"].reason.endswith("with kind (the answer was cut after 9 tokens)")
        assert len(server.asked) == 2
        assert make_asker(server, max_tokens=8).ask(KINDS, questions("a")) == {}
        assert len(server.asked) == 2
        assert kinds(make_asker(server, max_tokens=99).ask(KINDS, questions("a"))) == {"a": "real"}
        assert len(server.asked) == 3


def test_an_unanswered_item_is_set_aside_for_this_run_alone(make_asker: Callable[..., Asker], tmp_path: Path) -> None:
    with serve(script({"b": Reply(400, '{"error": {"message": "too long"}}'), "c": Reply(503)})) as server:
        asker = make_asker(server)
        assert kinds(asker.ask(KINDS, questions("a", "b", "c"))) == {"a": "real"}
        assert {item: one.reason for (_, item), one in asker.aside.items()} == {
            "b": "HTTP 400: too long",
            "c": "HTTP 503 (the last of 2 attempts)",
        }
        assert [row["item"] for row in rows(tmp_path / "answers/kinds.jsonl")] == ["a"]
    with serve(script({})) as server:
        assert list(make_asker(server).ask(KINDS, questions("a", "b", "c"))) == ["a", "b", "c"]
        assert len(server.asked) == 2


@pytest.mark.parametrize("faulty", [answer("{}"), Reply(400, "no")])
def test_item_after_item_set_aside_stops_the_run(make_asker: Callable[..., Asker], faulty: Reply) -> None:
    many = [f"i{number}" for number in range(200)]
    with serve(script(dict.fromkeys(many, faulty), repaired=answer("{}"))) as server:
        with pytest.raises(RunFailure, match="5 items of the step 'kinds' were set aside one after another"):
            make_asker(server, give_up_after=5).ask(KINDS, questions(*many))
        assert len(server.asked) <= 2 * 16 + 5 + 4


def test_one_good_item_among_bad_ones_lets_the_run_go_on(make_asker: Callable[..., Asker]) -> None:
    items = [f"i{number}" for number in range(12)]
    bad = {item: Reply(400) for number, item in enumerate(items) if number % 3}
    with serve(script(bad)) as server:
        assert list(make_asker(server, give_up_after=3, parallel=1).ask(KINDS, questions(*items))) == items[::3]


# ---- how fast ----


def test_requests_start_at_least_their_share_of_a_minute_apart() -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = RequestPace(30, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pace.wait()
    assert slept == [2.0, 4.0]
    now[0] = 105.5
    pace.wait()
    now[0] = 200.0
    pace.wait()
    assert slept == [2.0, 4.0, 0.5]
    RequestPace(None, clock=lambda: 0.0, sleep=sleep).wait()
    assert len(slept) == 3
