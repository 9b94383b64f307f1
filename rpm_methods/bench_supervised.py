"""A step of supervised training against the plain way of TRL and PEFT: the same rows, adapter and dropout."""

import tempfile
from typing import Any

from benchmark.loading import load_benchmark
from benchmark.prompts import PromptRenderer
from rpm_methods.adapter_dropout import drop_in_bulk
from rpm_methods.adapter_precision import compute_in_model_format
from rpm_methods.adapter_training import LORA_DEFAULTS
from rpm_methods.answer_loss import sft_trainer_class
from rpm_methods.sft import TEMPLATE
from rpm_methods.training_rows import training_rows
from scoring.bench import timed
from scoring.models.causal_lm import load_chat, load_weights
from scoring.models.resolver import ModelLocation


def bench_supervised_step(location: ModelLocation, dtype: str, rows: int) -> dict[str, Any]:
    """Train on the first samples of the mini benchmark, one by one into one step; seconds here and by TRL's trainer."""
    own = timed(supervised_trainer(location, dtype, rows, plain=False).train)[1]
    plain = timed(supervised_trainer(location, dtype, rows, plain=True).train)[1]
    return {"rows": rows, "seconds": own, "plain_seconds": plain, "share_of_plain": own / plain}


def supervised_trainer(location: ModelLocation, dtype: str, rows: int, *, plain: bool) -> Any:  # noqa: ANN401 - TRL's
    """Return a trainer of one step, as TRL and PEFT make it or as a run has it on a processor."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    chat = load_chat(location)
    chat.tokenizer.pad_token_id = chat.pad_id
    made = training_rows(load_benchmark("mini").train[:rows], PromptRenderer(), TEMPLATE, chat)
    args = SFTConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True,
        max_steps=1, per_device_train_batch_size=1, gradient_accumulation_steps=rows, gradient_checkpointing=False,
        dataloader_pin_memory=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, learning_rate=2e-4,
    )  # fmt: skip
    trainer = (SFTTrainer if plain else sft_trainer_class("cpu"))(
        model=load_weights(location, dtype),
        args=args,
        train_dataset=Dataset.from_dict(
            {"input_ids": [row.input_ids for row in made], "labels": [row.labels for row in made]}
        ),
        processing_class=chat.tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA_DEFAULTS),
    )
    trainer.remove_callback(PrinterCallback)
    if not plain:
        compute_in_model_format(trainer.model)
        drop_in_bulk(trainer.model)
    return trainer
