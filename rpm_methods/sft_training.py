"""Run TRL's SFTTrainer over prepared rows: settings, checkpoints to go on from, and checks that it trained."""

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure, nearest
from benchmark.progress import Advance
from benchmark.run_store import disk_errors, write_json
from benchmark.seeds import derive_seed
from rpm_methods.answer_loss import sft_trainer_class
from rpm_methods.method import TrainContext
from rpm_methods.training_rows import TrainingRow, check_rows
from scoring.models.causal_lm import load_chat, load_weights

SET_BY_PROJECT = ("output_dir", "seed", "data_seed", "use_cpu", "bf16", "fp16", "max_length", "dataset_kwargs")
"""Arguments of SFTConfig that a recipe may not give: they follow from the rest of the recipe."""
LORA_DEFAULTS = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": "all-linear"}
CHECKPOINTS = "checkpoints"


def check_trl_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments if SFTConfig knows them all; ValueError names each that it does not."""
    from trl import SFTConfig

    return _check_arguments(arguments, SFTConfig, SET_BY_PROJECT, output_dir="unused", use_cpu=True, bf16=False)


def check_lora_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments if LoraConfig knows them all; ValueError names each that it does not."""
    from peft import LoraConfig

    return _check_arguments(arguments, LoraConfig, ("task_type",))


def _check_arguments(
    arguments: dict[str, Any],
    config: Any,  # noqa: ANN401 - a dataclass of TRL's or PEFT's
    reserved: Iterable[str],
    **needed: object,
) -> dict[str, Any]:
    known = [field.name for field in dataclasses.fields(config) if field.init]
    problems = [f"unknown argument '{key}', {nearest(key, known)}" for key in arguments if key not in known]
    problems += [f"'{key}' is set by the recipe's other keys" for key in arguments if key in reserved]
    if problems:
        raise ValueError("; ".join(problems))
    try:
        config(**arguments, **needed)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"refused by {config.__name__}: {error}") from error
    return arguments


def train_adapter(
    rows: list[TrainingRow], training: dict[str, Any], lora: dict[str, Any], context: TrainContext, target: Path
) -> int:
    """Train a LoRA adapter, write it to `target`, and return the tokens it was trained on, padding left out.

    Raises:
        UserMistakes: rows that do not fit.
        RunFailure: the loss is NaN, nothing moved, or the disk is full.
    """
    from transformers import set_seed

    chat = load_chat(context.base)
    model = load_weights(context.base, context.dtype)
    check_rows(rows, chat, int(model.config.max_position_embeddings))
    chat.tokenizer.pad_token_id = chat.pad_id
    set_seed(derive_seed(context.seed, "adapter"))
    checkpoints = context.folder / CHECKPOINTS
    with disk_errors(context.folder):
        trainer = _trainer(model, chat.tokenizer, rows, _arguments(training, context), {**LORA_DEFAULTS, **lora})
        before = _trainable(trainer.model)
        with context.progress.task("training steps", _total_steps(trainer)) as advance:
            trainer.add_callback(_watcher(advance))
            trainer.train(resume_from_checkpoint=_last_checkpoint(checkpoints))
        _check_moved(before, _trainable(trainer.model))
        _save(trainer.model, target)
        write_json(context.folder / "training_log.json", trainer.state.log_history)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return int(trainer.state.num_input_tokens_seen)


def _arguments(training: dict[str, Any], context: TrainContext) -> dict[str, Any]:
    """Return SFTConfig's arguments: ours, below the recipe's, below those that the rest of the recipe decides."""
    return {
        "report_to": [],
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 10,
        "save_total_limit": 2,
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "gradient_checkpointing": context.device != "cpu",
        "dataloader_pin_memory": context.device != "cpu",
        **training,
        "output_dir": str(context.folder / CHECKPOINTS),
        "seed": derive_seed(context.seed, "training"),
        "use_cpu": context.device == "cpu",
        "bf16": False,
        "fp16": False,
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }


def _trainer(
    model: Any,  # noqa: ANN401 - a transformers model
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    rows: list[TrainingRow],
    arguments: dict[str, Any],
    lora: dict[str, Any],
) -> Any:  # noqa: ANN401 - a TRL trainer
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig

    columns = {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    trainer = sft_trainer_class("cpu" if arguments["use_cpu"] else "cuda")(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **lora),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _watcher(advance: Advance) -> Any:  # noqa: ANN401 - a transformers callback
    """Return a callback that shows progress and stops a diverged run."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        shown = 0

        def on_step_end(self, args: object, state: Any, control: object, **kwargs: object) -> None:  # noqa: ANN401
            advance(state.global_step - self.shown)
            self.shown = state.global_step

        def on_log(self, args: object, state: Any, control: object, logs: dict[str, float], **kwargs: object) -> None:  # noqa: ANN401
            for name in ("loss", "grad_norm"):
                if not math.isfinite(logs.get(name, 0.0)):
                    raise RunFailure(f"training diverged: the {name} is {logs[name]} at step {state.global_step}")

    return Watcher()


def _total_steps(trainer: Any) -> int:  # noqa: ANN401 - a TRL trainer
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    batches = len(trainer.get_train_dataloader())
    steps = max(1, math.ceil(batches / int(trainer.args.gradient_accumulation_steps)))
    return math.ceil(steps * float(trainer.args.num_train_epochs))


def _trainable(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a PEFT model
    """Return copies of the trainable parameters; RunFailure when there are none."""
    found = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise RunFailure("the adapter has no trainable parameters, so training would do nothing")
    return found


def _check_moved(before: dict[str, Any], after: dict[str, Any]) -> None:
    if all(before[name].equal(after[name]) for name in before):
        raise RunFailure("training moved no parameter; is the learning rate zero?")


def _last_checkpoint(folder: Path) -> str | None:
    """Return the latest checkpoint that was written to its end."""
    complete: Callable[[Path], bool] = lambda p: (p / "trainer_state.json").is_file()  # noqa: E731
    steps = sorted((int(p.name.split("-")[1]), p) for p in folder.glob("checkpoint-*") if complete(p))
    return str(steps[-1][1]) if steps else None


def _save(model: Any, target: Path) -> None:  # noqa: ANN401 - a PEFT model
    """Save the adapter as safetensors; the folder appears only when it is whole."""
    making = target.with_name(f".{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    model.save_pretrained(making, safe_serialization=True)
    (making / "README.md").unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)
