"""Supervised fine-tuning trains what it says, repeatably, and goes on where it was cut off."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import Benchmark, PromptRenderer, RunFailure, UserMistakes
from benchmark.progress import SilentProgress
from rpm_methods.answer_loss import sft_trainer_class
from rpm_methods.method import TrainContext
from rpm_methods.preflight import check_rows
from rpm_methods.sft import SFTSettings, SupervisedFineTuning
from rpm_methods.training_rows import IGNORED, TrainingRow, training_rows
from scoring.models.causal_lm import CausalLM, load_causal_lm, load_weights
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model

TRAINING = {"max_steps": 4, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "save_steps": 2}
Make = Callable[..., TrainContext]


@pytest.fixture
def make_context(tiny_model: Path, mini: Benchmark, renderer: PromptRenderer, tmp_path: Path) -> Make:
    def make(name: str = "run", seed: int = 1) -> TrainContext:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        base = locate_model(str(tiny_model))
        return TrainContext(base, "float32", "cpu", mini.train[:4], renderer, Sampling(8), seed, folder)

    return make


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "training_log.json").read_text()) if "loss" in entry]


def train(context: TrainContext, **training: object) -> list[float]:
    SupervisedFineTuning().train(SFTSettings(training={**TRAINING, **training}), context)
    return losses(context.folder)


def test_rows_hold_the_prompt_that_generation_gives_and_supervise_the_answer_alone(
    tiny_lm: CausalLM, mini: Benchmark, renderer: PromptRenderer
) -> None:
    (row,) = training_rows(mini.train[:1], renderer, "response", tiny_lm.chat)
    prompt = tiny_lm.chat.encode_prompt(renderer.render("response", mini.train[0]))
    assert row.input_ids[: len(prompt)] == prompt
    assert set(row.labels[: len(prompt)]) == {IGNORED}
    supervised = row.labels[len(prompt) :]
    assert supervised == row.input_ids[len(prompt) :]
    assert tiny_lm.chat.decode(supervised) == mini.train[0].golden_response + "\n</Agent Response>"
    assert supervised[-1] == tiny_lm.chat.end_of_turn_id


def test_rows_that_do_not_fit_are_all_listed_and_none_is_cut(tiny_lm: CausalLM) -> None:
    end = tiny_lm.chat.end_of_turn_id
    rows = [TrainingRow(name, [1] * size, [end] * size) for name, size in (("a", 9), ("b", 5), ("c", 8))]
    with pytest.raises(UserMistakes) as caught:
        check_rows(rows, tiny_lm.chat, 6)
    assert [mistake.where for mistake in caught.value.mistakes] == ["a", "c"]
    with pytest.raises(UserMistakes, match="no training samples"):
        check_rows([], tiny_lm.chat, 6)


def test_the_loss_of_answers_alone_has_trls_value_and_gradient(tiny_model: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = {"input_ids": [[5, 6, 7, 8, 9], [9, 8, 7, 4]], "labels": [[-100, -100, 7, 8, 9], [-100, 8, 7, 4]]}
    found: list[tuple[float, torch.Tensor]] = []
    for kind in (SFTTrainer, sft_trainer_class("cpu")):
        torch.manual_seed(0)
        config = SFTConfig(
            str(tmp_path), use_cpu=True, bf16=False, report_to=[], max_length=None, gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        )  # fmt: skip
        trainer = kind(
            model=load_weights(locate_model(str(tiny_model)), "float32"),
            args=config,
            train_dataset=Dataset.from_dict(rows),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False),
        )
        trainer.model.eval()
        batch = trainer.data_collator([{k: v[i] for k, v in rows.items()} for i in range(2)])
        loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(6))
        loss.backward()
        gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
        found.append((float(loss.detach()), torch.cat(gradients)))
    (trl_loss, trl_gradient), (own_loss, own_gradient) = found
    assert own_loss == pytest.approx(trl_loss, rel=1e-5)
    assert torch.allclose(own_gradient, trl_gradient, rtol=1e-4, atol=1e-6)
    assert own_gradient.abs().max() > 0


def test_training_moves_the_adapter_and_lowers_the_loss(make_context: Make) -> None:
    context = make_context()
    before, *_, after = train(context, max_steps=12, learning_rate=3e-2)
    assert after < before
    base = load_causal_lm(context.base, dtype="float32", device="cpu")
    tuned = load_causal_lm(context.base, dtype="float32", device="cpu", adapters=[context.folder / "adapter"])
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert not torch.allclose(base.model(ids).logits, tuned.model(ids).logits, atol=1e-3)


def test_the_adapter_is_kept_as_safetensors_and_checkpoints_go(make_context: Make) -> None:
    context = make_context()
    train(context)
    assert (context.folder / "adapter" / "adapter_model.safetensors").is_file()
    assert not list(context.folder.rglob("*.bin"))
    assert not (context.folder / "checkpoints").exists()


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(make_context: Make) -> None:
    first = train(make_context("one"))
    assert train(make_context("two")) == first
    assert train(make_context("three", seed=2)) != first


def test_a_run_cut_off_goes_on_from_its_checkpoint_to_the_same_losses(
    make_context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(make_context("straight"))
    context = make_context("cut")

    class Cut(SilentProgress):
        def task(self, title: str, total: int, *, alike: bool = True) -> Any:  # noqa: ANN401
            return _Interrupting(3)

    with pytest.raises(KeyboardInterrupt):
        train(TrainContext(**{**vars(context), "progress": Cut()}))
    assert (context.folder / "checkpoints" / "checkpoint-2").is_dir()
    assert not (context.folder / "adapter").exists()
    assert train(context) == straight


class _Interrupting:
    """A task that raises KeyboardInterrupt when its n-th unit is done."""

    def __init__(self, units: int) -> None:
        self.left = units

    def __enter__(self) -> "_Interrupting":
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __call__(self, units: int = 1) -> None:
        self.left -= units
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_half_written_checkpoint_is_passed_over(make_context: Make) -> None:
    context = make_context()
    torn = context.folder / "checkpoints" / "checkpoint-99"
    torn.mkdir(parents=True)
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    assert len(train(context)) == 4


def test_a_loss_that_is_no_number_ends_the_run_and_says_so(make_context: Make) -> None:
    with pytest.raises(RunFailure, match=r"training diverged: the (loss|grad_norm) is nan at step"):
        train(make_context(), learning_rate=1e30, max_steps=6, max_grad_norm=0.0, warmup_steps=0, optim="sgd")


def test_training_that_moves_nothing_is_a_failure(make_context: Make) -> None:
    with pytest.raises(RunFailure, match="moved no parameter"):
        train(make_context(), learning_rate=0.0)


def test_a_full_disk_ends_the_run_and_says_so(make_context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    context = make_context()
    for error in (OSError(28, "No space left on device"), SafetensorError("No space left on device (os error 28)")):

        def full(*args: object, error: Exception = error, **kwargs: object) -> None:
            raise error

        monkeypatch.setattr("peft.PeftModel.save_pretrained", full)
        with pytest.raises(RunFailure, match="no disk space left"):
            train(context)
    monkeypatch.undo()
    shutil.rmtree(context.folder / "checkpoints", ignore_errors=True)
    assert all(math.isfinite(loss) for loss in train(context))
