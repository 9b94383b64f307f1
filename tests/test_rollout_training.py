"""Reinforcement learning logs what it does, keeps its rollouts, equals TRL's own, and stops when nothing is learned."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark import Benchmark, PromptRenderer, RunFailure, Sample, UserMistakes
from benchmark.run_store import read_json, read_jsonl
from benchmark.thinking import thinking_format
from rpm_methods import adapter_training, preflight
from rpm_methods.arguments import AdapterSettings
from rpm_methods.full_marks import full_marks_reward
from rpm_methods.group_trainer import NO_SPREAD, check_collapse
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import RolloutSettings, RolloutTask, train_on_rollouts, training_counts
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from rpm_methods.training_rows import prompt_rows
from scoring.models.causal_lm import load_chat
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model
from scoring.sampling import Rollout

STEPS = {"max_steps": 3, "num_generations": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
SETTINGS: dict[str, Any] = {"training": STEPS | {"learning_rate": 1e-2, "save_steps": 1}, "keep_rollouts_every": 2}


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    base = locate_model(str(tiny_model))
    return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path)


def length_part(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
    return [len(rollout.text) / 100 for rollout in rollouts]


def task(context: TrainContext, *parts: RewardPart) -> RolloutTask:
    rows = prompt_rows(context.samples, context.renderer, "response", load_chat(context.base))
    return RolloutTask(rows, context.samples, "</Agent Response>", parts or [RewardPart("length", length_part)])


def settings(**changes: Any) -> RolloutSettings:  # noqa: ANN401
    return RolloutSettings.model_validate(SETTINGS | changes)


def logged(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_json(folder / "training_log.json") if "loss" in row]


def test_reward_parts_spread_length_entropy_and_shares_are_logged_at_each_step(context: TrainContext) -> None:
    half = RewardPart("half", lambda sample, rollouts: [0.5] * len(rollouts))
    trained = train_on_rollouts(task(context, RewardPart("length", length_part), half), settings(), context)
    rows = logged(context.folder)
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["rewards/half/mean"] == 0.5
        assert row["rewards/half/std"] == 0
        assert row["reward"] == pytest.approx(row["rewards/length/mean"] + 0.5, abs=1e-6)
        assert row["reward_std"] == pytest.approx(row["rewards/length/std"], abs=1e-6)
        assert row["reward_std"] > 0
        assert row["completions/mean_length"] <= 6
        assert 0 <= row["completions/clipped_share"] <= 1
        assert row["entropy"] > 0
        assert not any(name in row for name in ("completions/clipped_ratio", "rewards/total/mean", "kl"))
    assert trained.moved
    assert trained.tokens == rows[-1]["num_tokens"] > 0
    assert training_counts(trained) == {"steps": 3, "steps_without_spread": 0}


def test_kl_to_the_start_is_logged_where_it_is_part_of_the_loss(context: TrainContext) -> None:
    train_on_rollouts(task(context), settings(training=SETTINGS["training"] | {"beta": 0.1}), context)
    first, *later = (row["kl"] for row in logged(context.folder))
    assert first == pytest.approx(0, abs=1e-6)
    assert all(kl > 1e-6 for kl in later)


def test_rollouts_of_the_first_and_every_second_step_are_kept_with_their_rewards(context: TrainContext) -> None:
    train_on_rollouts(task(context), settings(), context)
    rows = read_jsonl(context.folder / "rollouts.jsonl")
    assert [row["step"] for row in rows] == [1] * 8 + [2] * 8
    assert all(row["reward"] == row["parts"]["length"] == len(row["text"]) / 100 for row in rows)
    assert all(row["finish_reason"] in ("stop", "length") and row["malformed"] is False for row in rows)
    first = [row["sample_id"] for row in rows[:8]]
    assert first[:4] == [first[0]] * 4
    assert first[4:] == [first[4]] * 4 != first[:4]


def test_training_equals_that_with_trls_own_forward_pass(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_on_rollouts(task(context), settings(), context)
    plain = replace(context, folder=context.folder / "plain")
    plain.folder.mkdir()
    monkeypatch.setattr(adapter_training, "why_not_shared", lambda *arguments, **others: "as asked by this test")
    train_on_rollouts(task(plain), settings(), plain)
    assert "as asked by this test" in str(read_json(plain.folder / "preflight.json")["notes"])
    for mine, theirs in zip(logged(context.folder), logged(plain.folder), strict=True):
        assert mine["reward"] == theirs["reward"]
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        assert mine["entropy"] == pytest.approx(theirs["entropy"], rel=1e-4)


def test_a_reward_that_is_missing_is_counted_and_moves_nothing(context: TrainContext) -> None:
    def first_missing(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        return [None, *(0.25 for _ in rollouts[1:])]

    trained = train_on_rollouts(task(context, RewardPart("part", first_missing)), settings(), context)
    assert [row["rewards/unscorable_share"] for row in logged(context.folder)] == [0.25] * 3
    assert not trained.moved
    assert training_counts(trained) == {"steps": 3, "steps_without_spread": 3}


def test_training_stops_when_no_group_has_had_any_spread(context: TrainContext) -> None:
    flat = RewardPart("flat", lambda sample, rollouts: [0.125] * len(rollouts))
    with pytest.raises(RunFailure, match=r"collapsed: in 2 steps in a row, up to step 2, .* \(mean 0.125\)"):
        train_on_rollouts(task(context, flat), settings(collapse_steps=2), context)
    assert (context.folder / "rollouts" / "step-000002.jsonl").is_file()


@pytest.mark.parametrize(
    ("before", "share", "stops"),
    [
        ([], 1.0, False),
        ([1.0], 1.0, False),
        ([1.0, 1.0], 1.0, True),
        ([1.0, 1.0], 0.9, False),
        ([1.0, 0.5, 1.0], 1, False),
    ],
)
def test_collapse_is_so_many_flat_steps_in_a_row(before: list[float], share: float, stops: bool) -> None:
    history = [{NO_SPREAD: value} for value in before] + [{"eval_loss": 1.0}]
    state = SimpleNamespace(log_history=history, global_step=len(before))
    if stops:
        with pytest.raises(RunFailure, match="collapsed"):
            check_collapse(share, 0.1, state, 3)
    else:
        check_collapse(share, 0.1, state, 3)


def test_a_malformed_answer_gets_reward_0_and_the_others_that_of_their_response(context: TrainContext) -> None:
    form = thinking_format(context.renderer, "response_thinking")

    def response(text: str) -> str | None:
        answer = form.read(text)
        return None if answer is None else answer.response

    texts = ["no form at all", "think</Thinking>\n<Agent Response>\nRye.", "", "Rye."]
    group = [Rollout((1,), text, "stop") for text in texts]
    bare = full_marks_reward(context, 1024).score(context.samples[0], group)
    formed = full_marks_reward(context, 1024, response).score(context.samples[0], group)
    assert formed == [0.0, pytest.approx(bare[3], rel=1e-5), 0.0, 0.0]
    assert bare[3]


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        ({"per_device_train_batch_size": 6, "num_generations": 4}, "divisible by num_generations"),
        ({"top_p": 0.9}, "'top_p' is set by"),
        ({"num_iterations": 2}, "'num_iterations' is set by"),
        ({"logging_steps": 5}, "'logging_steps' is set by"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"max_completion_length": None}, "whole number of tokens"),
        ({"use_vllm": True}, "'use_vllm' is set by"),
    ],
)
def test_settings_that_would_spoil_groups_or_bend_rollouts_are_refused(training: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RolloutSettings.model_validate({"training": training})


def test_prompts_without_room_for_an_answer_are_all_listed_before_training(context: TrainContext) -> None:
    wide = settings(training=STEPS | {"max_completion_length": 4000})
    with pytest.raises(UserMistakes, match="4000 tokens of answer") as caught:
        train_on_rollouts(task(context), wide, context)
    assert [mistake.where for mistake in caught.value.mistakes] == [sample.sample_id for sample in context.samples]


def test_an_interruption_in_a_later_epoch_goes_on_with_that_epochs_order(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four samples, two a step: the fourth step is the second of the second epoch."""
    five = settings(training=SETTINGS["training"] | {"max_steps": 5, "save_total_limit": 5}, keep_rollouts_every=1)
    straight = replace(context, folder=context.folder / "straight")
    straight.folder.mkdir()
    train_on_rollouts(task(straight), five, straight)
    with monkeypatch.context() as patch:
        patch.setattr("rpm_methods.adapter_training._save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_on_rollouts(task(context), five, context)
    for number in (4, 5):
        shutil.rmtree(context.folder / "checkpoints" / f"checkpoint-{number}", ignore_errors=True)
    assert len(list((context.folder / "checkpoints").glob("checkpoint-*"))) == 3
    train_on_rollouts(task(context), five, context)
    one, other = (read_jsonl(made.folder / "rollouts.jsonl") for made in (straight, context))
    assert one == other
    orders = [
        list(dict.fromkeys(row["sample_id"] for row in one if row["step"] in steps)) for steps in ((1, 2), (3, 4))
    ]
    assert set(orders[0]) == set(orders[1])
    assert [row["grad_norm"] for row in logged(straight.folder)] == [row["grad_norm"] for row in logged(context.folder)]


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_step_that_wants_more_prompts_than_there_are_samples_is_a_mistake(context: TrainContext) -> None:
    few = replace(context, samples=context.samples[:1])
    with pytest.raises(UserMistakes, match="a step answers 2 prompts, and there are 1 training samples"):
        train_on_rollouts(task(few), settings(), few)


def test_training_stops_when_no_answer_can_be_rewarded(context: TrainContext) -> None:
    nothing = RewardPart("nothing", lambda sample, rollouts: [None] * len(rollouts))
    with pytest.raises(RunFailure, match="no answer of step 1 could be rewarded"):
        train_on_rollouts(task(context, nothing), settings(), context)


def test_what_changes_no_policy_is_no_part_of_its_identity() -> None:
    plain = settings()
    patient = settings(
        collapse_steps=50,
        keep_rollouts_every=1,
        training=SETTINGS["training"] | {"save_steps": 7, "report_to": ["tensorboard"]},
    )
    slower = settings(training=SETTINGS["training"] | {"learning_rate": 1e-3})
    assert plain.identity() == patient.identity() != slower.identity()


def test_batches_smaller_than_a_group_train_the_same_and_are_noted(context: TrainContext) -> None:
    train_on_rollouts(task(context), settings(), context)
    torn = replace(context, folder=context.folder / "torn")
    torn.folder.mkdir()
    halves = STEPS | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    train_on_rollouts(task(torn), settings(training=halves | {"learning_rate": 1e-2}), torn)
    assert "tear groups apart" in str(read_json(torn.folder / "preflight.json")["notes"])
    for whole, half in zip(logged(context.folder), logged(torn.folder), strict=True):
        assert whole["reward"] == half["reward"]
        assert whole["grad_norm"] == pytest.approx(half["grad_norm"], rel=1e-3)


def test_the_preflight_says_what_training_is_about_to_see(context: TrainContext) -> None:
    train_on_rollouts(task(context), settings(), context)
    found = read_json(context.folder / "preflight.json")
    assert found["rows"] == 4
    assert found["longest_tokens"] > found["median_tokens"] > 6
    assert found["trainable_parameters"] > 0
    assert found["longest_batch"]["rows"] == 4
    assert found["longest_batch"]["tokens"] == found["longest_tokens"]
    assert found["example"]["prompt_end"].endswith("<Agent Response>\n")
    assert found["notes"] == ["a step answers 2 prompts 4 times each"]


def sft(context: TrainContext, **lora: object) -> None:
    values = {"max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 2}
    SupervisedFineTuning().train(SFTSettings(training=values, lora=lora), context)


def test_the_preflight_of_supervised_training_shows_the_supervised_text(context: TrainContext) -> None:
    sft(context)
    found = read_json(context.folder / "preflight.json")
    end = load_chat(context.base).spelled([load_chat(context.base).end_of_turn_id])[0]
    golden = context.samples[0].golden_response
    assert found["example"]["supervised"] == f"{golden}\n</Agent Response>{end}"
    assert (found["ends_supervised"], found["rows"], found["end_token"]) == (4, 4, end)
    assert found["pad_token"] != end


def test_running_the_longest_batch_first_changes_nothing_of_training(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    sft(context, lora_dropout=0.5)
    without = replace(context, folder=context.folder / "without")
    without.folder.mkdir()
    nothing = preflight.LongestBatch(0, 0, 0.0)
    monkeypatch.setattr("rpm_methods.adapter_training.run_longest_batch", lambda *arguments: nothing)
    sft(without, lora_dropout=0.5)
    assert [row["loss"] for row in logged(context.folder)] == [row["loss"] for row in logged(without.folder)]


def test_an_adapter_that_changes_the_model_below_it_is_refused(context: TrainContext) -> None:
    with pytest.raises(RunFailure, match="reference model would not be"):
        sft(context, init_lora_weights="pissa", r=4)


def test_the_method_defaults_give_way_to_the_recipe(context: TrainContext) -> None:
    assert RolloutSettings.training_defaults["num_generations"] == 8
    assert AdapterSettings.training_defaults == {}
    train_on_rollouts(task(context), settings(), context)
    made = json.loads((context.folder / "adapter" / "adapter_config.json").read_text())
    assert made["lora_dropout"] == 0.0
    assert torch.isfinite(torch.tensor(logged(context.folder)[0]["grad_norm"]))
