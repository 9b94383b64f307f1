"""What a GPU makes of scoring, decoding and a GRPO step: measured with a random model, nothing downloaded.

`python -m rpm_methods.bench_gpu` (`make bench-gpu`) measures on the CUDA device, on an H100 or H200 within ten minutes,
and prints JSON with a table behind it. `--part` measures a part of it. `--shape tiny --device cpu` runs the same code
in seconds, to try it. What the figures mean: docs/performance.md.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from rpm_methods.bench import Shape, own_trainer
from rpm_methods.bench_gpu_table import table
from rpm_methods.rollout_source import RolloutSource
from scoring.bench import compare_ways, growth_row, timed
from scoring.bench_shapes import SHAPES, BenchShape, random_lm, random_prompts, random_workload
from scoring.bench_sweep import sweep
from scoring.likelihood import LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.models.memory import device_peak_bytes, release_memory, reset_peak_memory
from scoring.models.precision import choose_dtype, device_name, matrix_rate, synchronize
from scoring.sampling import sample_rollouts

PARTS = ("scoring", "sweep", "training")
SWEEP_SECONDS = 300.0
NO_DEVICE = "there is no CUDA device here to measure; `--shape tiny --device cpu` tries the same code on the processor"


def bench_scoring(lm: CausalLM, shape: BenchShape) -> dict[str, Any]:
    """Score all pairs behind shared prefixes and some by a padded row a pair: rates, ratio, operations, memory."""
    scorer = LikelihoodScorer(lm, batch_tokens=shape.batch_tokens)
    work = random_workload(shape, shape.samples)
    found = compare_ways(scorer, work, shape.padded_pairs)
    return {"samples": shape.samples, "batch_tokens": shape.batch_tokens, **found, "parts": growth_row(scorer, work)}


def bench_decoding(lm: CausalLM, shape: BenchShape) -> dict[str, Any]:
    """Draw the rollouts of a step by the bare model; tokens a second with and without the reading of the prompts."""
    prompts = [ids for ids in random_prompts(shape) for _ in range(shape.rollouts)]

    def draw(new_tokens: int) -> int:
        made = sample_rollouts(lm, prompts, stop="", max_new_tokens=new_tokens, temperature=1.0, seed=1)
        return sum(len(rollout.ids) for rollout in made)

    draw(2)
    reset_peak_memory()
    first, reading = timed(lambda: draw(1))
    tokens, seconds = timed(lambda: draw(shape.new_tokens))
    return {
        "rows": len(prompts),
        "tokens": tokens,
        "seconds": seconds,
        "prompt_seconds": reading,
        "tokens_per_second": tokens / seconds,
        "tokens_per_second_behind_prompts": (tokens - first) / (seconds - reading) if seconds > reading else None,
        "peak_memory": device_peak_bytes(lm.device.type),
    }


@dataclass
class TimedSource(RolloutSource):
    """Notes how long the rollouts of each step take."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:  # noqa: ANN401 - as above it
        """Answer the prompts."""
        device = self._device(trainer)
        synchronize(device)
        start = time.perf_counter()
        drawn = super().__call__(prompts, trainer)
        synchronize(device)
        self.seconds.append(time.perf_counter() - start)
        return drawn

    @staticmethod
    def _device(trainer: Any) -> str:  # noqa: ANN401 - as above
        return str(trainer.accelerator.device.type)


def bench_step(lm: CausalLM, shape: BenchShape) -> dict[str, Any]:
    """Run GRPO steps by this project's trainer; seconds of rollouts and of the rest, the mean of all but the first.

    Rewards are the answers' lengths, which take no time. The model is in training afterwards, with an adapter.
    """
    step = Shape(shape.prompts, shape.rollouts, shape.prompt_tokens, shape.new_tokens)
    with tempfile.TemporaryDirectory() as folder:
        trainer, source = own_trainer(
            lm, random_prompts(shape), step, Path(folder), steps=shape.steps, source_class=TimedSource
        )
        assert isinstance(source, TimedSource)
        steps: list[float] = []
        trainer.add_callback(_step_timer(steps, lm.device.type))
        release_memory()
        reset_peak_memory()
        trainer.train()
    seconds, rollouts = fmean(steps[1:]), fmean(source.seconds[1:])
    return {
        "prompts": shape.prompts,
        "rollouts": shape.rollouts,
        "prompt_tokens": shape.prompt_tokens,
        "new_tokens": shape.new_tokens,
        "seconds": seconds,
        "rollout_seconds": rollouts,
        "update_seconds": seconds - rollouts,
        "first_step_seconds": steps[0],
        "steps": len(steps),
        "peak_memory": device_peak_bytes(lm.device.type),
    }


def _step_timer(seconds: list[float], device: str) -> Any:  # noqa: ANN401 - a transformers callback
    """Return a callback that adds the seconds of each step."""
    from transformers import TrainerCallback

    class StepTimer(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        start = 0.0

        def on_step_begin(self, *given: object, **named: object) -> None:
            synchronize(device)
            self.start = time.perf_counter()

        def on_step_end(self, *given: object, **named: object) -> None:
            synchronize(device)
            seconds.append(time.perf_counter() - self.start)

    return StepTimer()


def measure(shape: BenchShape, device: str, parts: Sequence[str], sweep_seconds: float) -> dict[str, Any]:
    """Return all measurements: seconds of wall time, bytes, operations a second, nats a token."""
    dtype = choose_dtype("auto", device)
    lm = random_lm(shape, dtype=dtype, device=device)
    found: dict[str, Any] = {
        "device": device_name(device),
        "dtype": dtype,
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        "model": dict(shape.model),
        "parameters": sum(parameter.numel() for parameter in lm.model.parameters()),
        "matrix_rate": matrix_rate(lm.model.dtype, device),
    }
    if "scoring" in parts:
        found["scoring"] = bench_scoring(lm, shape)
    if "sweep" in parts:
        found["sweep"] = sweep(lm, shape, found["matrix_rate"], seconds=sweep_seconds)
    if "training" in parts:
        found["decoding"] = bench_decoding(lm, shape)
        lm.model.set_attn_implementation("sdpa")  # that of the model in a run's training
        found["grpo_step"] = bench_step(lm, shape)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print JSON and the table, and return the exit status: 2 where there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-4b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--part", choices=PARTS, action="append", help="may be repeated; all by default")
    parser.add_argument("--sweep-seconds", type=float, default=SWEEP_SECONDS, help="no setting is begun behind them")
    parser.add_argument("--out", type=Path, help="file that the JSON is written to as well")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 2
    found = measure(SHAPES[given.shape], given.device, given.part or PARTS, given.sweep_seconds)
    written = json.dumps({"shape": given.shape, **found}, indent=1)
    if given.out is not None:
        given.out.write_text(written + "\n", encoding="utf-8")
    print(written, table(found), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
