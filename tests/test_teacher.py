"""Dialogues and reasoning written by a teacher: read honestly, stored as they come, asked for once."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_sample
from endpoint_helpers import Asked, FakeServer, Interrupting, Reply, answer, serve
from method_helpers import TWO_STEPS
from mini_helpers import augmented_rows, json_lines

from benchmark import Benchmark, PromptRenderer, RunFailure, UserMistakes
from rpm_methods.da import augmented_samples
from rpm_methods.method import TrainContext
from rpm_methods.registry import get_method
from rpm_methods.teacher import ANSWERS, FaultyAnswer, Teacher, TeacherSettings
from rpm_methods.teacher_dialogues import DIALOGUES, UTTERANCES, drawn_samples, read_object, teacher_dialogues
from rpm_methods.teacher_reasoning import all_features, features, recorded_reasoning, teacher_reasoning
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

KEY = "sk-very-secret-0123456789"
SAMPLES = [make_sample(f"IDTrain-{k}", user_persona=f"I am user {k}.") for k in (1, 2, 3)]
POSSIBILITIES = {f"possibility_{k}": f"Course {k}." for k in (1, 2, 3)}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def teach(asked: Asked) -> Reply:
    """Answer as a good teacher does."""
    if "possibility_1" in asked.text:
        return answer(f"Gladly:\n```json\n{json.dumps(POSSIBILITIES)}\n```")
    if "user_query_4" in asked.text:
        course = next(course for course in POSSIBILITIES.values() if course in asked.text)
        return answer(json.dumps({key: f"{key}, {course}" for key in UTTERANCES}))
    return answer("# Reasoning\n" + json_lines("reasoning.jsonl")[0]["reasoning"])


def teach_unless(wrong: Mapping[str, Reply]) -> Callable[[Asked], Reply]:
    """Answer prompts that hold one of the texts with its reply."""
    return lambda asked: next((reply for text, reply in wrong.items() if text in asked.text), None) or teach(asked)


@pytest.fixture
def make_teacher(tmp_path: Path, renderer: PromptRenderer) -> Callable[..., Teacher]:
    def make(server: FakeServer, **changes: Any) -> Teacher:  # noqa: ANN401
        values = {"model": "big", "base_url": server.url, "attempts": 2, "parallel": 2, **changes}
        settings = TeacherSettings.model_validate(values)
        return Teacher(settings, renderer, tmp_path, seed=5, sleep=lambda _: None)

    return make


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- dialogues ----


def test_a_teachers_dialogues_have_the_schema_of_the_recorded_ones(make_teacher: Callable[..., Teacher]) -> None:
    with serve(teach) as server:
        path = teacher_dialogues(make_teacher(server), SAMPLES)
    made = rows(path)
    assert [row["sample_ID"] for row in made] == [f"IDTrain-{s}-augmented-{k}" for s in (1, 2, 3) for k in (1, 2, 3)]
    assert {tuple(row) for row in made} == {tuple(row) for row in augmented_rows()}
    assert made[4]["source_sample_IDs"] == ["IDTrain-2"]
    assert made[4]["context_seed"] == "Course 2."
    sample = augmented_samples(str(path), SAMPLES)[4]
    assert (sample.user_persona, sample.agent_character) == (SAMPLES[1].user_persona, SAMPLES[1].agent_character)
    assert [turn.agent_response for turn in sample.turns] == [f"agent_response_{k}, Course 2." for k in (1, 2, 3)]
    assert sample.last_query == "user_query_4, Course 2."
    assert sample.golden_response == "agent_response_4, Course 2."
    assert len(server.asked) == 3 + 9


def test_a_second_run_asks_only_for_what_is_missing_and_all_failures_are_listed(
    make_teacher: Callable[..., Teacher], tmp_path: Path
) -> None:
    wrong = {"I am user 1.": answer("{}"), "Course 2.": Reply(400, "no")}
    with serve(teach_unless(wrong)) as server, pytest.raises(RunFailure) as caught:
        teacher_dialogues(make_teacher(server), SAMPLES)
    problem = "the answer holds no JSON objects with possibility_1 and so on (the last of 2 attempts)"
    assert str(caught.value).splitlines()[1:] == [
        f"  IDTrain-1 topics: {problem}",
        "  IDTrain-2-augmented-2: HTTP 400: no",
        "  IDTrain-3-augmented-2: HTTP 400: no",
    ]
    assert "the 4 dialogues that came" in str(caught.value)
    assert [row["sample_ID"][-11:] for row in rows(tmp_path / DIALOGUES)] == ["augmented-1", "augmented-3"] * 2
    with serve(teach) as server:
        path = teacher_dialogues(make_teacher(server), SAMPLES)
        assert sum("possibility_1" in asked.text for asked in server.asked) == 1
        assert len(server.asked) == 1 + 3 + 2
        assert len(rows(path)) == 9
        teacher_dialogues(make_teacher(server), SAMPLES)
        assert len(server.asked) == 6


def test_an_interrupted_run_keeps_every_answer_that_came(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    with serve(teach) as server, pytest.raises(KeyboardInterrupt):
        teacher_dialogues(replace(make_teacher(server), progress=Interrupting(at=6)), SAMPLES)
    kept = len(rows(tmp_path / "teacher_answers.jsonl"))
    assert kept == 6
    with serve(teach) as server:
        assert len(rows(teacher_dialogues(make_teacher(server), SAMPLES))) == 9
    assert len(server.asked) == 12 - kept


def test_a_revoked_key_loses_nothing_and_the_key_stands_in_no_file_or_error(
    make_teacher: Callable[..., Teacher], tmp_path: Path
) -> None:
    def reply(asked: Asked) -> Reply:
        return teach(asked) if server.asked.index(asked) < 5 else Reply(401, f"wrong: {KEY}")

    with serve(reply) as server, pytest.raises(RunFailure, match="OPENAI_API_KEY") as caught:
        teacher_dialogues(make_teacher(server), SAMPLES)
    assert len(rows(tmp_path / "teacher_answers.jsonl")) == 5
    with serve(teach) as server:
        teacher_dialogues(make_teacher(server), SAMPLES)
    assert len(server.asked) == 7
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert not [path for path in files if KEY in path.read_text()]
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "again"),
    [({"max_tokens": 8000, "attempts": 5}, 0), ({"temperature": 0.1}, 3), ({"model": "other"}, 3)],
)
def test_stored_answers_serve_as_long_as_the_same_is_asked_of_the_same_teacher(
    make_teacher: Callable[..., Teacher], changes: dict[str, object], again: int
) -> None:
    with serve(teach) as server:
        teacher_reasoning(make_teacher(server), SAMPLES)
        teacher_reasoning(make_teacher(server, **changes), SAMPLES)
    assert len(server.asked) == 3 + again


@pytest.mark.parametrize(
    "text",
    [
        '{"a": " one ", "b": "two"}',
        'Here:\n```json\n{"a": "one", "b": "two"}\n```\nAnything else?',
        'With {braces} and {"other": 1}: {"b": "two", "a": "one"}',
    ],
)
def test_one_object_is_read_with_whatever_stands_around_it(text: str) -> None:
    assert list(read_object(text, ("a", "b")).items()) == [("a", "one"), ("b", "two")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no JSON objects"),
        ('{"a": "one", "b": "tw', "holds no JSON objects"),
        ('[{"a": "one", "b": "two"}, {"a": "1", "b": "2"}]', "holds 2 JSON objects"),
        ('{"a": "one"}', "b is missing"),
        ('{"a": " ", "b": {"c": "d"}}', "a is empty or no text; b is empty or no text"),
        ('{"a": "one", "b": "\\ud83d"}', "b is empty or no text"),
        ('{"a": "one", "b": "two", "c": "three"}', "c was not asked for"),
        ('{"a": ' * 5000, "holds no JSON objects"),
    ],
)
def test_any_other_answer_is_faulty(text: str, reason: str) -> None:
    with pytest.raises(FaultyAnswer, match=reason):
        read_object(text, ("a", "b"))


def test_a_draw_of_samples_follows_the_seed_and_keeps_their_order() -> None:
    many = [make_sample(str(k)) for k in range(40)]
    drawn = [[int(sample.sample_id) for sample in drawn_samples(many, 10, seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(set(drawn[0]))
    assert len(drawn[0]) == 10
    assert drawn_samples(many, None, 1) == drawn_samples(many, 41, 1) == many


def test_data_augmentation_trains_on_a_teachers_dialogues_and_goes_on_without_asking_again(
    tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = locate_model(str(tiny_model))
    context = TrainContext(base, "float32", "cpu", mini.train[:3], renderer, Sampling(6), 3, tmp_path)
    da = get_method("da")
    seen: list[list[str]] = []

    def interrupted(rows: list[Any], *arguments: object) -> int:
        seen.append([row.sample_id for row in rows])
        raise KeyboardInterrupt

    with serve(teach) as server:
        teacher = {"model": "big", "base_url": server.url, "samples": 2}
        config = da.config_type.model_validate({"training": TWO_STEPS, "teacher": teacher})
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("rpm_methods.da.train_on_rows", interrupted)
            da.train(config, context)
        assert len(server.asked) == 2 + 6
        artifact = da.train(config, context)
        assert len(server.asked) == 2 + 6
    chosen = drawn_ids(rows(tmp_path / DIALOGUES))
    assert len(chosen) == 2
    golden = [sample.sample_id for sample in context.samples]
    assert seen == [golden + [f"{name}-augmented-{k}" for name in chosen for k in (1, 2, 3)]]
    assert artifact.training_tokens > 0
    later = da.config_type.model_validate({"training": TWO_STEPS, "dialogues": str(tmp_path / DIALOGUES)})
    again = da.train(later, replace(context, folder=tmp_path / "later"))
    assert again.training_tokens == artifact.training_tokens


def drawn_ids(made: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["source_sample_IDs"][0] for row in made))


# ---- reasoning ----


def test_every_training_sample_of_mini_has_recorded_reasoning_with_features(
    mini: Benchmark, renderer: PromptRenderer
) -> None:
    samples = mini.train[5:9]
    traces = recorded_reasoning("mini", samples)
    assert list(traces) == [sample.sample_id for sample in samples]
    parts = all_features(traces, renderer)
    assert list(parts) == list(traces)
    for sample_id, trace in traces.items():
        assert parts[sample_id].startswith("## I. Content")
        assert f"[Features of the Ideal Response]\n{parts[sample_id]}\n```" in trace


def test_all_faults_of_recorded_reasoning_are_listed_with_all_samples_that_lack_it(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    good = json.dumps({"sample_ID": "IDTrain-2", "reasoning": "because"})
    faulty = ["{", "[]", '{"sample_ID": 3, "reasoning": " "}', '{"sample_ID": "x", "reasoning": "\\ud83d"}']
    path.write_text("\n".join([good, *faulty, good]) + "\n")
    with pytest.raises(UserMistakes) as caught:
        recorded_reasoning(str(path), SAMPLES)
    assert [str(mistake).removeprefix(str(path)).split(";")[0][:52] for mistake in caught.value.mistakes] == [
        ":2: is not valid JSON: Expecting property name enclo",
        ":3: is not a JSON object",
        ":4: sample_ID: is missing, empty or no text",
        ":4: reasoning: is missing, empty or no text",
        ":5: holds half of a character (a lone surrogate)",
        ":6: a second trace for IDTrain-2",
        ": holds no trace for the training sample IDTrain-1",
        ": holds no trace for the training sample IDTrain-3",
    ]
    with pytest.raises(UserMistakes, match="neither 'mini' nor a file"):
        recorded_reasoning(str(tmp_path / "none.jsonl"), SAMPLES)


def test_traces_without_features_are_mistakes_all_of_them(renderer: PromptRenderer) -> None:
    good = json_lines("reasoning.jsonl")[0]["reasoning"]
    empty = "```\n[Features of the Ideal Response]\n```"
    assert features(empty, renderer) is features("thoughts", renderer) is None
    with pytest.raises(UserMistakes) as caught:
        all_features({"a": good, "b": "thoughts", "c": empty}, renderer)
    assert [mistake.where for mistake in caught.value.mistakes] == ["training sample b", "training sample c"]


def test_a_teachers_reasoning_is_kept_in_the_schema_of_the_recorded(
    make_teacher: Callable[..., Teacher], tmp_path: Path
) -> None:
    with serve(teach) as server:
        traces = teacher_reasoning(make_teacher(server), SAMPLES)
    assert traces == recorded_reasoning(str(tmp_path / "teacher_reasoning.jsonl"), SAMPLES)
    assert set(traces.values()) == {json_lines("reasoning.jsonl")[0]["reasoning"]}
    assert all(SAMPLES[0].golden_response in asked.text for asked in server.asked)


def test_a_trace_without_features_is_asked_for_again_and_then_listed(make_teacher: Callable[..., Teacher]) -> None:
    wrong = {f"I am user {k}.": answer("Because.", finish_reason="length") for k in (1, 3)}
    with serve(teach_unless(wrong)) as server, pytest.raises(RunFailure) as caught:
        teacher_reasoning(make_teacher(server, max_tokens=50), SAMPLES)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["  IDTrain-1", "  IDTrain-3"]
    assert "no closed fenced block with features" in lines[1]
    assert "cut at max_tokens: 50" in lines[1]
    assert len(server.asked) == 2 + 1 + 2
    with serve(teach) as server:
        assert list(teacher_reasoning(make_teacher(server), SAMPLES)) == ["IDTrain-1", "IDTrain-2", "IDTrain-3"]
    assert len(server.asked) == 2


def test_trainings_that_share_a_folder_of_answers_pay_for_them_once(
    tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path
) -> None:
    base, answers = locate_model(str(tiny_model)), tmp_path / "teacher"
    first, second = (
        TrainContext(
            base, "float32", "cpu", mini.train[:2], renderer, Sampling(6), 3, tmp_path / name, teacher_folder=answers
        )
        for name in ("first", "second")
    )
    method = get_method("thinking_sft")
    with serve(teach) as server:
        teacher = {"model": "big", "base_url": server.url}
        configs = [
            method.config_type.model_validate({"training": TWO_STEPS | {"learning_rate": rate}, "teacher": teacher})
            for rate in (1e-2, 1e-3)
        ]
        method.train(configs[0], first)
        assert len(server.asked) == 2
        method.train(configs[1], second)
        assert len(server.asked) == 2
    assert rows(second.folder / "teacher_reasoning.jsonl") == rows(first.folder / "teacher_reasoning.jsonl")
    assert configs[0].identity() != configs[1].identity()


def test_trainings_that_share_a_folder_of_answers_ask_one_after_the_other(
    make_teacher: Callable[..., Teacher], tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    with serve(teach) as server, ThreadPoolExecutor() as both:
        first = replace(make_teacher(server), answers_folder=tmp_path / "teacher")
        second = replace(first, folder=tmp_path / "second")
        found = list(both.map(lambda teacher: teacher_reasoning(teacher, SAMPLES), (first, second)))
        assert len(server.asked) == len(SAMPLES)
    assert found[0] == found[1]
    assert len(rows(tmp_path / "teacher" / ANSWERS)) == len(SAMPLES)


def test_patience_and_paths_are_no_part_of_a_recipes_identity_and_contents_are(tmp_path: Path) -> None:
    method = get_method("thinking_sft")

    def identity(**settings: object) -> dict[str, Any]:
        return method.config_type.model_validate(settings).identity()

    patient = {
        "model": "big",
        "attempts": 9,
        "parallel": 1,
        "timeout_seconds": 1.0,
        "base_url": "http://localhost:1/v1",
    }
    assert identity(teacher={"model": "big"}) == identity(teacher=patient)
    assert identity(teacher={"model": "big"}) != identity(teacher={"model": "other"})
    one, copy, other = (tmp_path / name for name in ("one.jsonl", "copy.jsonl", "other.jsonl"))
    for path, text in ((one, "a"), (copy, "a"), (other, "b")):
        path.write_text(json.dumps({"sample_ID": "IDTrain-1", "reasoning": text}) + "\n")
    assert identity(reasoning=str(one)) == identity(reasoning=str(copy)) != identity(reasoning=str(other))


@pytest.mark.parametrize(
    ("method", "config", "problem"),
    [
        ("da", {"dialogues": "nowhere.jsonl"}, "neither 'mini' nor a file"),
        ("thinking_sft", {"reasoning": "nowhere.jsonl"}, "neither 'mini' nor a file"),
        ("thinking_sft", {"reasoning": "mini", "teacher": {"model": "big"}}, "both given"),
    ],
)
def test_sources_that_are_missing_or_doubled_are_refused(method: str, config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        get_method(method).config_type.model_validate(config)


def test_what_is_wrong_with_recorded_data_is_known_before_training(renderer: PromptRenderer, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    good = json_lines("reasoning.jsonl")[0]["reasoning"]
    broken = good.replace("- the passenger sketchbook is put to use", "- answer inside <Agent Response> tags")
    assert broken != good
    written = {"IDTrain-1": good, "IDTrain-2": broken}
    path.write_text("".join(json.dumps({"sample_ID": n, "reasoning": t}) + "\n" for n, t in written.items()))
    config = get_method("thinking_sft").config_type.model_validate({"reasoning": str(path)})
    assert config.faults(SAMPLES[:1], renderer) == []
    (fault,) = config.faults(SAMPLES[:2], renderer)
    assert "IDTrain-2" in fault.where
    assert "a tag of the answer's form" in fault.problem
    (missing,) = config.faults(SAMPLES[2:], renderer)
    assert "IDTrain-3" in missing.problem
    config = get_method("da").config_type.model_validate({})
    (none,) = config.faults([make_sample("IDTrain-unknown")], renderer)
    assert "no dialogue made from one of the training samples" in none.problem
