"""Training and rollouts against the plain ways of transformers and TRL: ratios measured in one run, as JSON.

`python -m rpm_methods.bench` takes about twenty minutes on two cores and 13 GB, nearly all of both for the plain ways.
They serve as checks too: gradients are compared with those of TRL's forward pass, and in bfloat16 both with the
gradient in float32. Times are wall times of a shared machine, so only the ratios say something.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmark.loading import load_benchmark
from benchmark.seeds import derive_seed
from rpm_methods.adapter_precision import compute_in_model_format
from rpm_methods.bench_supervised import bench_supervised_step
from rpm_methods.group_trainer import group_trainer_class
from rpm_methods.rollout_source import RewardPart, RolloutSource
from rpm_methods.shared_prompts import share_prompts
from rpm_methods.training_rows import IGNORED, PromptRow
from scoring.bench import timed
from scoring.models.causal_lm import CausalLM, context_length, load_causal_lm, load_chat, load_weights
from scoring.models.precision import choose_dtype, device_name
from scoring.models.resolver import ModelLocation, locate_model
from scoring.sampling import sample_rollouts

SEED = 0
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


@dataclass(frozen=True)
class Shape:
    """How much is drawn and trained on in a step."""

    prompts: int
    rollouts: int
    prompt_tokens: int
    new_tokens: int


def cut_prompts(location: ModelLocation, shape: Shape) -> list[list[int]]:
    """Return prompts of running text, cut from the mini benchmark's responses: it goes on, so rollouts do not end."""
    chat = load_chat(location)
    texts = [turn.agent_response for sample in load_benchmark("mini") for turn in sample.turns]
    ids = [token for text in texts for token in chat.encode_text(text)]
    size = shape.prompt_tokens
    return [ids[number * size : (number + 1) * size] for number in range(shape.prompts)]


def bench_sampling(location: ModelLocation, dtype: str, shape: Shape) -> dict[str, Any]:
    """Draw the same number of rollouts by `sample_rollouts` and by transformers' generate; tokens a second of each."""
    from transformers import GenerationConfig

    prompts = [ids for ids in cut_prompts(location, shape) for _ in range(shape.rollouts)]
    own = load_causal_lm(location, dtype=dtype, device="cpu")
    plain = load_weights(location, dtype).eval()
    config = GenerationConfig(
        max_new_tokens=shape.new_tokens, do_sample=True, top_k=0, pad_token_id=own.chat.pad_id, eos_token_id=None
    )

    def draw(rows: Sequence[Sequence[int]], seed: int) -> int:
        made = sample_rollouts(own, rows, stop="", max_new_tokens=shape.new_tokens, temperature=1.0, seed=seed)
        return sum(len(rollout.ids) for rollout in made)

    def generate(rows: Sequence[Sequence[int]]) -> int:
        ids_B_L = torch.tensor(rows)
        with torch.inference_mode():
            made = plain.generate(ids_B_L, attention_mask=torch.ones_like(ids_B_L), generation_config=config)
        return int(made.shape[0] * (made.shape[1] - ids_B_L.shape[1]))

    draw(prompts[:2], 1)
    generate(prompts[:2])
    tokens, seconds = timed(lambda: draw(prompts, 2))
    plain_tokens, plain_seconds = timed(lambda: generate(prompts))
    rates = tokens / seconds, plain_tokens / plain_seconds
    counts = {"tokens": tokens, "plain_tokens": plain_tokens}
    return counts | {"tokens_per_second": rates[0], "plain_tokens_per_second": rates[1], "speedup": rates[0] / rates[1]}


def bench_step(location: ModelLocation, dtype: str, shape: Shape) -> dict[str, Any]:
    """Run one GRPO step, rollouts and update, by this project's trainer and by TRL's; seconds of each."""
    own = timed(_step(location, dtype, shape, plain=False))[1]
    plain = timed(_step(location, dtype, shape, plain=True))[1]
    return {"seconds": own, "plain_seconds": plain, "share_of_plain": own / plain}


def _step(location: ModelLocation, dtype: str, shape: Shape, *, plain: bool) -> Callable[[], object]:
    """Return a step ready to run, its trainer made; the reward is the length, which takes no time."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    chat, prompts = load_chat(location), cut_prompts(location, shape)
    lm = CausalLM(load_weights(location, dtype), chat, context_length(location), torch.device("cpu"))
    folder = Path(tempfile.mkdtemp())
    if not plain:
        return own_trainer(lm, prompts, shape, folder, steps=1)[0].train  # type: ignore[no-any-return]
    dataset = Dataset.from_dict({"prompt": [chat.decode(ids) for ids in prompts]})
    arguments = _trainer_arguments(lm, shape, folder, 1)
    trainer = GRPOTrainer(train_dataset=dataset, reward_funcs=[_length_reward], **arguments)
    trainer.remove_callback(PrinterCallback)
    return trainer.train  # type: ignore[no-any-return]


def own_trainer(
    lm: CausalLM,
    prompts: Sequence[list[int]],
    shape: Shape,
    folder: Path,
    *,
    steps: int,
    source_class: type[RolloutSource] = RolloutSource,
) -> tuple[Any, RolloutSource]:
    """Return this project's GRPO trainer of a new adapter, set up as in a run, and the source of its rollouts.

    A step answers all prompts.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    rows = [PromptRow(str(number), ids) for number, ids in enumerate(prompts)]
    source = source_class(
        rows=rows,
        samples=load_benchmark("mini").train[: len(rows)],
        stop="",
        chat=lm.chat,
        context_length=lm.context_length,
        batch_tokens=10**6,
        seed=SEED,
        folder=folder,
        keep_every=10**6,
        parts=[RewardPart("length", lambda sample, rollouts: [float(len(r.text)) for r in rollouts])],
    )
    dataset = Dataset.from_dict({"prompt": [str(number) for number in range(len(rows))]})
    trainer = group_trainer_class(10**6)(
        train_dataset=dataset,
        reward_funcs=[source.total],
        rollout_func=source,
        **_trainer_arguments(lm, shape, folder, steps),
    )
    if lm.device.type == "cpu":
        share_prompts(trainer.model)
        compute_in_model_format(trainer.model)
    trainer.remove_callback(PrinterCallback)
    return trainer, source


def _trainer_arguments(lm: CausalLM, shape: Shape, folder: Path, steps: int) -> dict[str, Any]:
    """Return what both trainers take; on a GPU with gradient checkpointing, as runs have it there."""
    from peft import LoraConfig
    from trl import GRPOConfig

    lm.chat.tokenizer.pad_token_id = lm.chat.pad_id
    on_cpu = lm.device.type == "cpu"
    args = GRPOConfig(
        output_dir=str(folder), use_cpu=on_cpu, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True,
        max_steps=steps, learning_rate=1e-5, num_generations=shape.rollouts, per_device_train_batch_size=shape.rollouts,
        gradient_accumulation_steps=shape.prompts, max_completion_length=shape.new_tokens,
        gradient_checkpointing=not on_cpu, dataloader_pin_memory=not on_cpu, shuffle_dataset=False, seed=SEED,
    )  # fmt: skip
    args._n_gpu = min(args.n_gpu, 1)  # as in a run
    return {
        "args": args,
        "model": lm.model,
        "processing_class": lm.chat.tokenizer,
        "peft_config": LoraConfig(**LORA),
    }


def _length_reward(completions: Sequence[str], **others: object) -> list[float]:
    return [float(len(text)) for text in completions]


def bench_gradients(location: ModelLocation, dtype: str, shape: Shape, batches: int) -> dict[str, Any]:
    """Compare gradients with TRL's: their cosine in float32, and both ways' distance to float32 in the run's format.

    A distance is the norm of the difference by the norm of the float32 gradient of TRL's forward pass. Where the run's
    format is float32 TRL's own is 0, and there is no ratio.
    """
    exact, rounded = (_adapted(location, format_, own=False) for format_ in ("float32", dtype))
    own_exact, own_rounded = (_adapted(location, format_, own=True) for format_ in ("float32", dtype))
    cosines: list[float] = []
    own_distances: list[float] = []
    plain_distances: list[float] = []
    for number in range(batches):
        inputs = _random_batch(location, shape, number)
        reference = _gradient(exact, *inputs)
        if number == 0:
            cosines.append(float(torch.cosine_similarity(_gradient(own_exact, *inputs), reference, dim=0)))
        for model, distances in ((own_rounded, own_distances), (rounded, plain_distances)):
            difference = _gradient(model, *inputs) - reference
            distances.append(float(difference.norm() / reference.norm()))
    return {
        "float32_cosine": cosines[0],
        "batches": batches,
        "distance": fmean(own_distances),
        "plain_distance": fmean(plain_distances),
        "distance_ratio": fmean(own_distances) / fmean(plain_distances) if any(plain_distances) else None,
    }


def _adapted(location: ModelLocation, dtype: str, *, own: bool) -> Any:  # noqa: ANN401 - a PEFT model
    """Return the model in the given format with the same small adapter, under TRL's output layer."""
    from peft import LoraConfig, get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    model = get_peft_model(load_weights(location, dtype), LoraConfig(**LORA))
    generator = torch.Generator().manual_seed(SEED)
    for parameter in model.parameters():
        if parameter.requires_grad:
            drawn = 0.01 * torch.randn(parameter.shape, generator=generator)
            parameter.data = drawn.to(parameter.dtype)
    add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy"))
    if own:
        share_prompts(model)
        compute_in_model_format(model)
    return model.train()


def _random_batch(location: ModelLocation, shape: Shape, number: int) -> tuple[torch.Tensor, int]:
    """Return ids and completion width of one group: a prompt of text, completions of random words."""
    generator = torch.Generator().manual_seed(derive_seed(SEED, "batch", str(number)))
    prompts = cut_prompts(location, shape)
    prompt = torch.tensor(prompts[number % len(prompts)])
    words = len(load_chat(location).tokenizer)
    answers_G_T = torch.randint(words, (shape.rollouts, shape.new_tokens), generator=generator)
    return torch.cat((prompt.expand(shape.rollouts, -1), answers_G_T), dim=1), shape.new_tokens


def _gradient(model: Any, ids_G_L: torch.Tensor, width: int) -> torch.Tensor:  # noqa: ANN401
    """Return the gradient of the policy's loss at the start of a step, advantages evenly spread, in one dimension."""
    model.zero_grad(set_to_none=True)
    labels_G_L = ids_G_L.clone()
    labels_G_L[:, :-width] = IGNORED
    mask_G_L = torch.ones_like(ids_G_L)
    output = model(input_ids=ids_G_L, attention_mask=mask_G_L, labels=labels_G_L, fused_lm_head=True)
    advantages_G_1 = torch.linspace(-1, 1, len(ids_G_L))[:, None]
    loss = -(advantages_G_1 * output.log_probs[:, -width:]).sum() / labels_G_L[:, -width:].numel()
    torch.autograd.backward(loss)
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.requires_grad])


def main() -> None:
    """Run the measurements and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="packaged name, folder or hub id")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=400)
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--batches", type=int, default=10, help="over which gradients are compared")
    parser.add_argument("--rows", type=int, default=8, help="of a supervised step")
    given = parser.parse_args()
    shape = Shape(given.prompts, given.rollouts, given.prompt_tokens, given.new_tokens)
    location, dtype = locate_model(given.model), choose_dtype("auto", "cpu")
    found = {
        "model": given.model,
        "device": device_name("cpu"),
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "supervised_step": bench_supervised_step(location, dtype, given.rows),
        "sampling": bench_sampling(location, dtype, shape),
        "grpo_step": bench_step(location, dtype, shape),
        "gradients": bench_gradients(location, dtype, shape, given.batches),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
