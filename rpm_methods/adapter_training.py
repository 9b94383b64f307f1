"""Train a LoRA adapter with a trainer of TRL's: arguments, checkpoints to go on from, checks that it trained."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.progress import Advance
from benchmark.run_store import disk_errors, write_json
from benchmark.seeds import derive_seed
from rpm_methods.arguments import AdapterSettings
from rpm_methods.lineage import ADAPTER, start_model
from rpm_methods.method import TrainContext
from scoring.models.chat import ChatTokenizer

LORA_DEFAULTS = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": "all-linear"}
CHECKPOINTS = "checkpoints"
MakeTrainer = Callable[..., Any]
"""Called with model, args (TRL's config), processing_class, peft_config: what all of TRL's trainers take."""


def train_adapter(
    make_trainer: MakeTrainer, chat: ChatTokenizer, settings: AdapterSettings, context: TrainContext
) -> int:
    """Train an adapter on the model that the method starts from, and return the tokens that it was trained on.

    Padding is left out of the count. The adapter lies in `context.folder / ADAPTER`, its log beside it.

    Raises:
        RunFailure: the loss is NaN, nothing moved, or the disk is full.
    """
    import trl
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed

    chat.tokenizer.pad_token_id = chat.pad_id
    set_seed(derive_seed(context.seed, "adapter"))
    with disk_errors(context.folder):
        trainer = make_trainer(
            model=start_model(context),
            args=getattr(trl, settings.trl_config)(**_arguments(settings, context)),
            processing_class=chat.tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM", **{**LORA_DEFAULTS, **settings.lora}),
        )
        trainer.remove_callback(PrinterCallback)
        before = _trainable(trainer.model)
        with context.progress.task("training steps", _total_steps(trainer)) as advance:
            trainer.add_callback(_watcher(advance))
            trainer.train(resume_from_checkpoint=_last_checkpoint(context.folder / CHECKPOINTS))
        _check_moved(before, _trainable(trainer.model))
        _save(trainer.model, context.folder / ADAPTER)
        write_json(context.folder / "training_log.json", trainer.state.log_history)
        shutil.rmtree(context.folder / CHECKPOINTS, ignore_errors=True)
    return int(trainer.state.num_input_tokens_seen)


def _arguments(settings: AdapterSettings, context: TrainContext) -> dict[str, Any]:
    """Return the config's arguments: ours, below the recipe's, below those that the rest of the recipe decides."""
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
        **settings.training,
        "output_dir": str(context.folder / CHECKPOINTS),
        "seed": derive_seed(context.seed, "training"),
        "use_cpu": context.device == "cpu",
        "bf16": False,
        "fp16": False,
    }


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
        raise RunFailure("training moved no parameter; is the learning rate zero, or every step one of warm-up?")


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
