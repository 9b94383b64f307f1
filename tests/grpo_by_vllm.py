"""Two steps of GRPO on rollouts of TRL's colocated vLLM, in a process of their own: `grpo_by_vllm.py MODEL OUT`.

On a CPU vLLM packs its weights and takes no new ones, so handing them over does all but that.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import PromptRenderer, Sample, load_benchmark
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from rpm_methods.rollout_training import PolicyRolloutSettings, RolloutTask, train_on_rollouts
from rpm_methods.training_rows import prompt_rows
from scoring.models.causal_lm import load_chat
from scoring.models.generation import Sampling
from scoring.models.resolver import locate_model
from scoring.sampling import Rollout

TRAINING = {
    "max_steps": 2,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "use_vllm": True,
    "vllm_gpu_memory_utilization": 0.2,
}


def length(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
    return [len(rollout.text) / 100 for rollout in rollouts]


def merge_and_take_away(self: Any) -> None:  # noqa: ANN401 - TRL's VLLMGeneration
    """Do to the model in training what handing its weights over does."""
    self.model.merge_adapter()
    self.model.unmerge_adapter()


def main() -> None:
    """Train."""
    from trl.generation.vllm_generation import VLLMGeneration

    VLLMGeneration.sync_weights = merge_and_take_away
    base, out = locate_model(sys.argv[1]), Path(sys.argv[2])
    renderer, samples = PromptRenderer(), load_benchmark("mini").train[:4]
    context = TrainContext(base, "float32", "cpu", samples, renderer, Sampling(12), 3, out)
    rows = prompt_rows(samples, renderer, "response", load_chat(base))
    task = RolloutTask(rows, samples, "</Agent Response>", [RewardPart("length", length)])
    settings = PolicyRolloutSettings.model_validate({"training": TRAINING, "keep_rollouts_every": 1})
    train_on_rollouts(task, settings, context)


if __name__ == "__main__":
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    main()
