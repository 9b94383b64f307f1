"""Too little memory ends a run with one sentence that names the setting to lower; what is finished stays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from estimator_helpers import REASONING, silent

from benchmark import Benchmark, PromptRenderer, RunFailure
from benchmark.run_store import read_appended_jsonl
from rpm_methods import answer_loss, rollout_source
from rpm_methods.arguments import AdapterSettings
from rpm_methods.checkpoints import CHECKPOINTS
from rpm_methods.full_marks import full_marks_reward
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import RolloutSettings, RolloutTask, train_on_rollouts
from rpm_methods.sampled_answers import load_parent, sample_answers
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import prompt_rows, training_rows
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models import generation
from scoring.models.causal_lm import CausalLM, load_chat
from scoring.models.generation import Sampling
from scoring.models.out_of_memory import out_of_memory_names
from scoring.models.output_head import OutputHead
from scoring.models.resolver import locate_model
from scoring.reasoning import ReasoningCache, write_reasonings
from scoring.sampling import Rollout

STEPS = {"max_steps": 3, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "save_steps": 1}
RL = RolloutSettings(training=STEPS | {"num_generations": 2})
KEPT = "what is finished is kept, and the same command goes on from it"


def too_much_on_a_cpu(*given: object, **named: object) -> Any:  # noqa: ANN401
    """Ask torch's allocator for more than there is anywhere: the error is the real one."""
    return torch.empty(2**60, dtype=torch.uint8)


def too_much_on_a_gpu(*given: object, **named: object) -> Any:  # noqa: ANN401
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 3.00 GiB free.")


def too_much_for_python(*given: object, **named: object) -> Any:  # noqa: ANN401
    return bytearray(2**62)


def at_call(
    number: int, plain: Callable[..., Any], fails: Callable[..., Any] = too_much_on_a_cpu
) -> Callable[..., Any]:
    """Return a function that fails when it is called for the nth time, and else does what `plain` does."""
    calls: list[int] = []

    def called(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        calls.append(1)
        return (fails if len(calls) == number else plain)(*given, **named)

    return called


@pytest.fixture
def context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> TrainContext:
    base = locate_model(str(tiny_model))
    return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(6), 3, tmp_path)


@pytest.mark.parametrize("fails", [too_much_on_a_cpu, too_much_on_a_gpu, too_much_for_python])
def test_every_kind_of_error_for_want_of_memory_names_the_setting(fails: Callable[..., Any]) -> None:
    said = "out of memory while scoring .*; lower scoring.batch_tokens; "
    with (
        pytest.raises(RunFailure, match=said) as caught,
        out_of_memory_names("scoring.batch_tokens", doing="scoring"),
    ):
        fails()
    assert str(caught.value).endswith(KEPT)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_the_setting_nearest_to_the_error_is_named() -> None:
    with (
        pytest.raises(RunFailure, match="lower the inner one; ") as caught,
        out_of_memory_names("the outer one"),
        out_of_memory_names("the inner one"),
    ):
        too_much_on_a_gpu()
    assert "outer" not in str(caught.value)


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ValueError, match=r"^no numbers$"), out_of_memory_names("anything"):
        raise ValueError("no numbers")


def test_scoring_names_its_batches_and_rewards_theirs(
    tiny_lm: CausalLM, mini: Benchmark, context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, reward = LikelihoodScorer(tiny_lm, batch_tokens=64), full_marks_reward(context, 64)
    monkeypatch.setattr(OutputHead, "log_probs", too_much_on_a_cpu)
    with pytest.raises(RunFailure, match=r"while scoring .*; lower scoring.batch_tokens; "):
        scorer.token_log_probs([1, 2, 3], [[Continuation((4, 5))]])
    with pytest.raises(RunFailure, match=r"; lower config.reward_batch_tokens; "):
        reward.score(mini.train[0], [Rollout((5,), "Rye.", "stop")])


def rows(context: TrainContext) -> list[Any]:
    return training_rows(context.samples, context.renderer, "response", load_chat(context.base))


def test_the_longest_batch_is_tried_first_and_named(context: TrainContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_loss, "cross_entropy", at_call(1, answer_loss.cross_entropy))
    with pytest.raises(RunFailure, match=r"trying the longest batch, 2 rows of up to \d+ tokens \(.*per_device_train_"):
        train_on_rows(rows(context), AdapterSettings(training=STEPS), context)


def test_training_names_batch_and_checkpointing_and_goes_on_from_its_checkpoint(
    context: TrainContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(answer_loss, "cross_entropy", at_call(3, answer_loss.cross_entropy, too_much_on_a_gpu))
        with pytest.raises(RunFailure, match=r"while training .*per_device_train_batch_size .*gradient_checkpointing"):
            train_on_rows(rows(context), AdapterSettings(training=STEPS), context)
    assert (context.folder / CHECKPOINTS / "checkpoint-1").is_dir()
    calls: list[int] = []
    plain = answer_loss.cross_entropy
    monkeypatch.setattr(answer_loss, "cross_entropy", lambda *given, **named: calls.append(1) or plain(*given, **named))
    train_on_rows(rows(context), AdapterSettings(training=STEPS), context)
    assert len(calls) == 1 + 2, "the longest batch, then the two steps that were left"


def test_rollouts_name_theirs(context: TrainContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_source, "sample_rollouts", too_much_on_a_gpu)
    drawn = prompt_rows(context.samples, context.renderer, "response", load_chat(context.base))
    part = RewardPart("none", lambda sample, rollouts: [0.0] * len(rollouts))
    with pytest.raises(RunFailure, match=r"while drawing rollouts .*; lower config.rollout_batch_tokens; "):
        train_on_rollouts(RolloutTask(drawn, context.samples, "", [part]), RL, context)


def test_answers_in_training_name_the_generations_and_keep_finished_batches(
    context: TrainContext, mini: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = SupervisedFineTuning()
    parent = method.train(SFTSettings(training=STEPS | {"max_steps": 1}), context)
    policy = load_parent(replace(context, parent=parent), method.spec)
    prompts, path = policy.prompts(mini.train[:3]), context.folder / "answers.jsonl"
    sampling = Sampling(max_new_tokens=4, batch_tokens=1)
    with monkeypatch.context() as patch:
        patch.setattr(generation, "decode", at_call(2, generation.decode))
        with pytest.raises(RunFailure, match=r"while answering .*; lower generation.batch_tokens; "):
            sample_answers(policy, prompts, sampling, path, context, "answers")
    kept = read_appended_jsonl(path)
    assert len(kept) == 1
    assert len(sample_answers(policy, prompts, sampling, path, context, "answers")) == 3
    assert read_appended_jsonl(path)[:1] == kept


def test_reasoning_names_the_estimators_and_keeps_finished_batches(
    tiny_lm: CausalLM, mini: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ReasoningCache(tmp_path / "reasoning.jsonl")
    monkeypatch.setattr(generation, "decode", at_call(2, generation.decode, too_much_for_python))
    with pytest.raises(RunFailure, match=r"while writing reasoning .*; lower config.reasoning_batch_tokens of the est"):
        chosen = replace(REASONING, batch_tokens=1)
        write_reasonings(tiny_lm, mini.test["id"][:3], PromptRenderer(), chosen, cache, silent)
    assert len(cache.written()) == 1
