"""A model on this machine as judge: the same questions, answers and reasons as at an endpoint."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import make_sample
from endpoint_helpers import serve
from judge_helpers import Bench, Interrupting, prefers, responses, samples, settings

from benchmark import Prompt, RunFailure
from benchmark.spending import Limits, Prices
from scoring.judge.answers import AnswerFile
from scoring.judge.local_judge import LocalJudge
from scoring.judge.settings import LocalJudgeSettings
from scoring.judge.verdict import UnreadableVerdict
from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Generation, Sampling, generate_batches
from scoring.models.resolver import locate_model

SAMPLES = samples(2)
METRICS = ("win_rate",)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, responses(SAMPLES, {"one": lambda s: f"Well, {s.sample_id}."}), METRICS)


def local(model: Path, **changes: object) -> LocalJudge:
    values = {"model": str(model), "name": "tiny", "max_tokens": 8, "batch_tokens": 1600, **changes}
    return LocalJudge(LocalJudgeSettings.model_validate(values), locate_model(str(model)), "float32", "cpu")


def no_model(*arguments: object, **more: object) -> None:
    raise AssertionError("the model is loaded")


def test_answers_are_those_of_the_model_to_the_questions_and_are_kept(
    bench: Bench, tiny_model: Path, tiny_lm: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, _ = bench.ask(local(tiny_model), tries=1)
    prompts = [question.prompt() for question in bench.questionnaire.questions]
    made = dict(item for batch in generate_batches(tiny_lm, prompts, Sampling(8, 1.0)) for item in batch)
    kept = {(answer.sample_id, answer.order): answer for answer in AnswerFile(bench.path)}
    assert len(kept) == 4
    for index, question in enumerate(bench.questionnaire.questions):
        answer = kept[question.sample.sample_id, question.order]
        assert (answer.text, answer.finish_reason) == (made[index].text, made[index].finish_reason)
        assert (answer.prompt_tokens, answer.completion_tokens) == (made[index].prompt_tokens, made[index].new_tokens)
    assert {score.value for score in scores} == {None}
    assert all((score.reason or "").startswith(("unreadable: ", "incomplete: ")) for score in scores)
    monkeypatch.setattr("scoring.models.causal_lm.load_causal_lm", no_model)
    assert bench.ask(local(tiny_model), tries=1)[0] == scores


def test_what_a_model_says_is_read_as_an_endpoints_answer_is(
    bench: Bench, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model gives no verdict, so one that always takes A stands in; its last answer is cut."""

    def answers(lm: CausalLM, prompts: Sequence[Prompt], *_: object, **more: object) -> Iterator[object]:
        for index, prompt in enumerate(prompts):
            code = json.dumps(re.findall(r"[0-9a-f]{16}", prompt.messages[-1].content)[-1])
            reason = "length" if index + 1 == len(prompts) else "stop"
            yield [(index, Generation(f'Well.\n{{"code": {code}, "better": "A"}}', reason, 9, 5))]

    monkeypatch.setattr("scoring.models.generation.generate_batches", answers)
    scores, _ = bench.ask(local(tiny_model), tries=1)
    assert [score.value for score in scores if score.judge == "tiny"] == [0.5, None]
    assert scores[0].parts == {"response_first": 1.0, "golden_first": 0.0}
    assert scores[2].reason == "unreadable: the answer was cut at 8 tokens"


def test_unreadable_answers_are_asked_about_again_in_one_chat(
    bench: Bench, tiny_model: Path, tiny_lm: CausalLM
) -> None:
    bench.ask(local(tiny_model))
    first, second = bench.questionnaire.questions[0], AnswerFile(bench.path)
    kept = [answer for answer in second if (answer.sample_id, answer.order) == ("S-0", first.order)]
    assert len(kept) == 2
    with pytest.raises(UnreadableVerdict) as caught:
        kept[0].verdict(first)
    prompt = first.prompt_again(kept[0].text, str(caught.value))
    ((_, again),) = next(generate_batches(tiny_lm, [prompt], Sampling(8, 1.0)))
    assert (again.text, again.prompt_tokens) == (kept[1].text, kept[1].prompt_tokens)


def test_interrupted_and_resumed_equals_uninterrupted(bench: Bench, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.ask(local(tiny_model), tries=1, progress=Interrupting(2))
    kept = len(bench.path.read_text().splitlines())
    assert kept == 2
    bench.ask(local(tiny_model), tries=1)
    whole = Bench(tmp_path / "whole", bench.questionnaire.responses, METRICS)
    whole.ask(local(tiny_model), tries=1)
    assert sorted(bench.path.read_text().splitlines()) == sorted(whole.path.read_text().splitlines())


def test_a_prompt_that_leaves_no_room_is_unscored_with_the_numbers(tiny_model: Path, tmp_path: Path) -> None:
    long = make_sample("long", user_persona="word " * 5000)
    bench = Bench(tmp_path, responses([long, SAMPLES[0]], {"one": lambda s: "Well."}), METRICS)
    scores, _ = bench.ask(local(tiny_model), tries=1)
    (reason,) = {s.reason for s in scores if s.judge == "tiny" and s.response.sample is long}
    assert reason is not None
    assert reason.startswith("no answer: a prompt of ")
    assert reason.endswith(" tokens; the context has room for 4088")


def test_it_judges_beside_an_endpoint_and_its_failure_ends_its_own_part_alone(
    bench: Bench, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*arguments: object, **more: object) -> None:
        raise RunFailure("the checkpoint cannot be read")

    monkeypatch.setattr("scoring.models.causal_lm.load_causal_lm", damaged)
    with serve(prefers(len)) as server:
        scores, asking = bench.ask(local(tiny_model), settings(server))
    assert asking.stopped == {"tiny": "the checkpoint cannot be read"}
    assert {s.reason for s in scores if s.judge == "tiny"} == {"not asked"}
    assert [s.value for s in scores if s.judge == "big"] == [1.0] * len(SAMPLES)


@pytest.mark.parametrize("dear", ["prompt", "completion"])
def test_no_batch_is_begun_that_could_exceed_the_limit(bench: Bench, tiny_model: Path, dear: str) -> None:
    """A batch is one prompt here; the most that it may take is the whole context."""
    prices = Prices.model_validate({"prompt": 0, "completion": 0, dear: 1e6})
    one_by_one = {"batch_tokens": 1, "prices": prices}
    for limits in (Limits(tokens=4095), Limits(money=4095)):
        _, asking = bench.ask(local(tiny_model, **one_by_one), tries=1, limits=limits, prices=prices)
        assert asking.ledger.spent["tiny"].answers == 0
    _, asking = bench.ask(local(tiny_model, **one_by_one), tries=1, limits=Limits(tokens=4096 + 500), prices=prices)
    assert "the limit of 4596 tokens is reached" in asking.stopped["tiny"]
    assert 0 < asking.ledger.spent["tiny"].answers < 4
    assert asking.ledger.spent["tiny"].tokens <= 4596
    _, asking = bench.ask(local(tiny_model, **one_by_one), tries=1, limits=Limits(tokens=10**6), prices=prices)
    assert asking.stopped == {}
