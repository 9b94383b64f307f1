"""Train a LoRA adapter with a trainer of TRL's: its arguments, a preflight, going on from checkpoints, its log."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.run_store import disk_errors, write_json
from benchmark.seeds import derive_seed
from rpm_methods.adapter_dropout import drop_in_bulk
from rpm_methods.adapter_precision import compute_in_model_format, keep_in_float32
from rpm_methods.arguments import AdapterSettings
from rpm_methods.checkpoints import CHECKPOINTS, last_checkpoint
from rpm_methods.lineage import ADAPTER, start_adapters, start_model
from rpm_methods.method import TrainContext
from rpm_methods.preflight import (
    FILE,
    MEMORY_SETTINGS,
    LongestInputs,
    Preflight,
    ReferenceCheck,
    note_processes,
    run_longest_batch,
)
from rpm_methods.processes import by_first, count, weights_in_parts
from rpm_methods.shared_prompts import share_prompts, why_not_shared
from rpm_methods.trackers import tracked_in
from rpm_methods.training_watch import trainable, watcher
from scoring.models.chat import ChatTokenizer
from scoring.models.out_of_memory import out_of_memory_names

LORA_DEFAULTS = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": "all-linear"}
TRAINING_LOG = "training_log.json"
TRAINED = "default"
"""PEFT's name of the adapter in training."""
MakeTrainer = Callable[..., Any]
"""Called with model, args (TRL's config), processing_class, peft_config: what all of TRL's trainers take."""


@dataclass(frozen=True)
class TrainedAdapter:
    """What a training run says of itself."""

    tokens: int
    """Tokens that it was trained on, padding left out."""
    log: list[dict[str, Any]]
    """What was logged, step by step."""
    moved: bool
    """Whether the adapter differs from the one that training began with."""


def train_adapter(
    make_trainer: MakeTrainer,
    chat: ChatTokenizer,
    settings: AdapterSettings,
    context: TrainContext,
    preflight: Preflight,
    longest: LongestInputs,
) -> TrainedAdapter:
    """Train an adapter on the model that the method starts from; it and its log are left in the context's folder.

    Several processes that accelerate started train it together; what is left is written by the first.

    Raises:
        RunFailure: the loss is NaN, the longest batch or the disk is too much, or a step moved nothing.
    """
    import trl
    from transformers import PrinterCallback, set_seed

    chat.tokenizer.pad_token_id = chat.pad_id
    set_seed(derive_seed(context.seed, "adapter"))
    with disk_errors(context.folder), tracked_in(context.folder):
        model = _placed_start_model(context)
        reference = ReferenceCheck(model)
        trainer = make_trainer(
            args=_one_device(getattr(trl, settings.trl_config)(**_arguments(settings, context))),
            processing_class=chat.tokenizer,
            **_model_with_adapter(model, settings, context),
        )
        trainer.remove_callback(PrinterCallback)
        keep_in_float32(trainer.model)
        before = trainable(trainer.model)
        if context.device == "cpu":
            compute_in_model_format(trainer.model)
            drop_in_bulk(trainer.model)
        reference.confirm(trainer.model)  # before its attention is switched, which rounds otherwise
        _share_prompts(trainer, settings, context, preflight)
        _finish_preflight(preflight, trainer, longest, before, context)
        with context.progress.task("training steps", _total_steps(trainer)) as advance:
            trainer.add_callback(watcher(advance, before))
            checkpoint = by_first(lambda: last_checkpoint(context.folder / CHECKPOINTS, count()))
            with out_of_memory_names(MEMORY_SETTINGS, doing="training"):
                trainer.train(resume_from_checkpoint=checkpoint)
        after = trainable(trainer.model)
        by_first(lambda: _leave(trainer, after, context))
    if trainer.state.global_step == 0:
        raise RunFailure("training ended without a step: there are fewer training samples than a step takes")
    moved = any(not before[name].equal(after[name]) for name in before)
    return TrainedAdapter(int(trainer.state.num_input_tokens_seen), trainer.state.log_history, moved)


def _placed_start_model(context: TrainContext) -> Any:  # noqa: ANN401 - a transformers model
    """Return the model that training starts from on its device; one that is to be taken apart whole in main memory."""
    if not weights_in_parts():
        return start_model(context).to(context.device)
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # left by arguments that were checked, it takes weights apart while they are read
    return start_model(context)


def _model_with_adapter(model: Any, settings: AdapterSettings, context: TrainContext) -> dict[str, Any]:  # noqa: ANN401
    """Return what a trainer takes: the model and a new adapter's configuration, or the model with its adapters on."""
    from peft import LoraConfig, PeftModel

    lora = {**LORA_DEFAULTS, **settings.lora_defaults, **settings.lora}
    if context.adapter is None:
        if context.beside:
            raise ValueError("adapters can lie beside one that is trained further, not beside a new one")
        return {"model": model, "peft_config": LoraConfig(task_type="CAUSAL_LM", **lora)}
    config = LoraConfig.from_pretrained(context.adapter)
    config.lora_dropout = lora["lora_dropout"]
    wrapped = PeftModel.from_pretrained(model, context.adapter, is_trainable=True, config=config)
    for name, path in context.beside.items():
        wrapped.load_adapter(path, adapter_name=name, is_trainable=False)
    # with others in a checkpoint, transformers resumes them alone and leaves the one in training as it was
    wrapped.save_pretrained = partial(wrapped.save_pretrained, selected_adapters=[TRAINED])
    return {"model": wrapped, "peft_config": None}


def check_moved(trained: TrainedAdapter) -> None:
    """Refuse a run that moved nothing: for objectives that always have a gradient."""
    if not trained.moved:
        raise RunFailure("training moved no parameter; is the learning rate zero, or every step one of warm-up?")


def _share_prompts(trainer: Any, settings: AdapterSettings, context: TrainContext, preflight: Preflight) -> None:  # noqa: ANN401
    """Compute prompts once where several rows of a batch begin with the same one and the model allows it."""
    if not settings.rows_share_prompts:
        return
    reason = why_not_shared(context.device, trainer.model.config, checkpointing=trainer.args.gradient_checkpointing)
    if reason:
        preflight.notes.append(f"prompts are not shared in training: {reason}")
    else:
        share_prompts(trainer.model)


def _finish_preflight(
    preflight: Preflight,
    trainer: Any,  # noqa: ANN401 - a TRL trainer
    longest: LongestInputs,
    before: dict[str, Any],
    context: TrainContext,
) -> None:
    """Run the longest batch, and write all that is known before the first step."""
    preflight.reference = "the start model: switching the new adapter off gives it back"
    further = () if context.adapter is None else (context.adapter,)
    preflight.start_adapters = [f"{path.parent.name}/{path.name}" for path in (*start_adapters(context), *further)]
    preflight.trainable_parameters = sum(parameter.numel() for parameter in before.values())
    note_processes(preflight, trainer)
    if weights_in_parts():
        preflight.notes.append("the longest batch is not tried before training, which takes the weights apart")
    else:
        preflight.longest_batch = run_longest_batch(trainer, *longest(trainer))
    by_first(lambda: write_json(context.folder / FILE, preflight.plain()))


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
        **settings.training_defaults,
        **settings.training,
        "output_dir": str(context.folder / CHECKPOINTS),
        "seed": derive_seed(context.seed, "training"),
        "use_cpu": context.device == "cpu",
        "bf16": False,
        "fp16": False,
    }


def _one_device(args: Any) -> Any:  # noqa: ANN401 - TRL's config
    """Keep transformers from spreading batches over all GPUs in one process, which TRL's output layer cannot take."""
    args._n_gpu = min(args.n_gpu, 1)
    return args


def _total_steps(trainer: Any) -> int:  # noqa: ANN401 - a TRL trainer
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    batches = len(trainer.get_train_dataloader())
    steps = max(1, math.ceil(batches / int(trainer.args.gradient_accumulation_steps)))
    return math.ceil(steps * float(trainer.args.num_train_epochs))


def _leave(trainer: Any, trained: dict[str, Any], context: TrainContext) -> None:  # noqa: ANN401 - a TRL trainer
    """Write the adapter and the log of a training; `trained` are its parameters, whole."""
    _save(trainer.model, context.folder / ADAPTER, trained if weights_in_parts() else None)
    write_json(context.folder / TRAINING_LOG, trainer.state.log_history)


def _save(model: Any, target: Path, parameters: dict[str, Any] | None = None) -> None:  # noqa: ANN401 - a PEFT model
    """Save the adapter as safetensors, from `parameters` where the model has none that are whole.

    The folder appears only when it is whole.
    """
    making = target.with_name(f".{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    model.save_pretrained(making, safe_serialization=True, state_dict=parameters)
    (making / "README.md").unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)
