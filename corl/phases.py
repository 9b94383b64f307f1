"""One phase of co-evolution: a training of one adapter in a folder of its own, done once and resumed if broken off.

All phases of a model train one and the same LoRA adapter further; none stacks a new one on top.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.progress import Progress, SilentProgress
from benchmark.prompts import PromptRenderer
from benchmark.run_store import read_json, write_json
from benchmark.seeds import derive_seed
from rpm_methods.adapter_training import TRAINING_LOG
from rpm_methods.arguments import AdapterSettings
from rpm_methods.artifact import PolicyArtifact
from rpm_methods.checkpoints import CHECKPOINTS, remove_checkpoints
from rpm_methods.lineage import ADAPTER
from rpm_methods.method import TrainContext
from rpm_methods.processes import by_first
from rpm_methods.rollout_training import RolloutSettings, RolloutTask, train_on_rollouts, training_counts
from rpm_methods.sft_training import train_on_rows
from rpm_methods.training_rows import TrainingRow
from rpm_methods.training_watch import TrainingDiverged
from scoring.models.generation import Sampling
from scoring.models.memory import release_memory
from scoring.models.resolver import ModelLocation

FINISHED = "phase.json"
DIVERGED = "diverged.json"
TIMES = ("step_time", "train_runtime", "train_tokens_per_second", "train_samples_per_second", "train_steps_per_second")
"""What a log says of how long training took."""


@dataclass(frozen=True)
class PhaseRunner:
    """Runs the phases of one training below one folder."""

    base: ModelLocation
    dtype: str
    device: str
    renderer: PromptRenderer
    lora: Mapping[str, Any]
    """Arguments of the adapter; dropout is left out of reinforcement learning."""
    seed: int
    folder: Path
    parent: PolicyArtifact | None = None
    """A policy whose adapters are merged into the base first."""
    progress: Progress = field(default_factory=SilentProgress)

    def imitate(
        self,
        name: str,
        rows: Callable[[], list[TrainingRow]],
        settings: AdapterSettings,
        *,
        adapter: Path | None,
    ) -> Path:
        """Train on given answers and return the adapter; `rows` are asked for if the phase is not finished."""
        settings = settings.model_copy(update={"lora": dict(self.lora)})
        return self._run(name, adapter, {}, 1, lambda context: {"tokens": train_on_rows(rows(), settings, context)})

    def reinforce(
        self,
        name: str,
        task: Callable[[], RolloutTask],
        settings: RolloutSettings,
        *,
        new_tokens: int,
        adapter: Path | None,
        beside: Mapping[str, Path] | None = None,
    ) -> Path:
        """Train on rollouts and return the adapter; the task is made if the phase is not finished.

        Raises:
            TrainingDiverged: a loss was no number, or the rewards' spread collapsed.
        """
        settings = settings.model_copy(update={"lora": {**self.lora, "lora_dropout": 0.0}})

        def train(context: TrainContext) -> dict[str, int]:
            trained = train_on_rollouts(task(), settings, context)
            return {"tokens": trained.tokens, **training_counts(trained)}

        return self._run(name, adapter, beside or {}, new_tokens, train)

    def _run(
        self,
        name: str,
        adapter: Path | None,
        beside: Mapping[str, Path],
        new_tokens: int,
        train: Callable[[TrainContext], dict[str, int]],
    ) -> Path:
        folder = self.folder / name
        if not by_first((folder / FINISHED).is_file):
            start = time.perf_counter()
            counts = train(self._context(name, adapter, beside, new_tokens))
            release_memory()  # trainers refer to themselves, so that each would stay in memory beside the next
            record = {"seconds": round(time.perf_counter() - start, 3), **counts}
            by_first(lambda: write_json(folder / FINISHED, record))
        by_first(lambda: remove_checkpoints(folder / CHECKPOINTS))
        return folder / ADAPTER

    def _context(self, name: str, adapter: Path | None, beside: Mapping[str, Path], new_tokens: int) -> TrainContext:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return TrainContext(
            base=self.base,
            dtype=self.dtype,
            device=self.device,
            samples=(),
            renderer=self.renderer,
            sampling=Sampling(max_new_tokens=new_tokens),
            seed=derive_seed(self.seed, name),
            folder=folder,
            parent=self.parent,
            adapter=adapter,
            beside=beside,
            progress=self.progress,
        )


def below(runner: PhaseRunner, name: str) -> PhaseRunner:
    """Return a runner for the phases below a folder of the runner's, with a seed of its own."""
    return replace(runner, folder=runner.folder / name, seed=derive_seed(runner.seed, name))


@contextmanager
def remembering_divergence(folder: Path) -> Iterator[None]:
    """Let what is done inside diverge once: the same in a resumed run raises at once.

    Raises:
        TrainingDiverged: it did, now or before.
    """
    marker = folder / DIVERGED
    if by_first(marker.is_file):
        raise TrainingDiverged(read_json(marker)["message"])
    try:
        yield
    except TrainingDiverged as error:
        message = str(error)
        by_first(lambda: write_json(marker, {"message": message}))
        raise


def phase_records(folder: Path) -> list[dict[str, Any]]:
    """Return what each finished phase below a folder cost, in the order of their places."""
    return [
        {"place": str(path.parent.relative_to(folder)), **read_json(path)} for path in sorted(folder.rglob(FINISHED))
    ]


def total_counts(phases: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the steps of reinforcement learning of all phases, and those in which no group's rewards differed."""
    names = ("steps", "steps_without_spread")
    return {name: sum(phase.get(name, 0) for phase in phases) for name in names}


def phase_curves(folder: Path) -> list[dict[str, Any]]:
    """Return the logged steps of all phases below a folder, in the order of their places, without their times.

    So they are the same whether a training was interrupted or not.
    """
    return [
        {"place": str(path.parent.relative_to(folder)), **{key: row[key] for key in sorted(row) if key not in TIMES}}
        for path in sorted(folder.rglob(TRAINING_LOG))
        for row in read_json(path)
        if "loss" in row
    ]
