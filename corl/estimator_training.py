"""Training of an estimator: its folds, what each may see, the loop on each, and the directory that comes of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.progress import Advance, Progress, SilentProgress
from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from benchmark.seeds import derive_seed, draw_in_order
from corl.cold_start import ColdStart, cold_start
from corl.estimator_loop import FoldData, FoldLoop, FoldOutcome, reasoning_settings
from corl.folds import Folds, make_folds
from corl.held_out import held_out_samples
from corl.phases import PhaseRunner, phase_curves, phase_records, total_counts
from corl.settings import EstimatorSettings
from rpm_methods.method import TrainContext
from rpm_methods.processes import by_first
from rpm_methods.reasoning_source import collect_traces
from scoring.estimator import Estimator, FoldSource, write_corl_estimator
from scoring.models.causal_lm import context_length, load_chat
from scoring.models.generation import Sampling
from scoring.models.precision import QUANTIZED
from scoring.models.resolver import ModelLocation
from scoring.reasoning_text import reasoning_reader

ESTIMATOR = "estimator"
"""Folder of the finished estimator."""
TRAINING = "training"
"""Folder of the phases; those of fold 0 stand in `fold-0`."""


@dataclass(frozen=True)
class FitData:
    """The samples that an estimator may see."""

    train: tuple[Sample, ...]
    """Training samples, whose reasoning a teacher wrote: the cold start."""
    subsets: Mapping[str, Sequence[Sample]]
    """Test samples that the models co-evolve on, by subset; these are what folds are made of."""
    co_evolve_on_train: bool
    """Whether they co-evolve on the training samples too."""


@dataclass(frozen=True)
class TrainedEstimator:
    """An estimator with what its training says of itself."""

    estimator: Estimator
    phases: list[dict[str, Any]]
    """For each phase its place, wall time in seconds and tokens."""
    counts: dict[str, int]
    outcomes: tuple[FoldOutcome, ...]
    """Of each fold."""


@dataclass(frozen=True)
class EstimatorTraining:
    """Everything that a training needs."""

    settings: EstimatorSettings
    base: ModelLocation
    dtype: str
    device: str
    renderer: PromptRenderer
    data: FitData
    n_folds: int | None
    """None fits one pair of models on everything, as the paper does."""
    seed: int
    folder: Path
    described: Mapping[str, object]
    """The recipe as resolved, for the estimator's description."""
    teacher_folder: Path | None = None
    """Where a teacher's answers are kept for other trainings too."""
    progress: Progress = field(default_factory=SilentProgress)

    def run(self) -> TrainedEstimator:
        """Train all folds, going on from what an interrupted run left, and write the estimator.

        Raises:
            UserMistakes: samples without a trace, folds that cannot be made, prompts that do not fit.
            RunFailure: the cold start diverged, or the disk is full.
        """
        folds = range(self.n_folds or 1)
        with self.progress.task("traces and folds", 1 + len(folds), alike=False) as passed:
            cold = self.cold_start
            passed()
            outcomes = tuple(self._outcomes(folds, passed))
        notes = _echo_notes(cold)
        notes += [_of_fold(number, note, self.n_folds) for number, o in enumerate(outcomes) for note in o.notes]
        estimator = by_first(lambda: self._write(outcomes, notes))
        counts = {
            "folds": len(outcomes),
            "cold_start_samples": len(cold.samples),
            "echoing_traces_left_out": len(cold.echoes),
            "folds_that_diverged": sum(outcome.iterations < self.settings.iterations for outcome in outcomes),
        }
        phases = phase_records(self.folder / TRAINING)
        return TrainedEstimator(estimator, phases, counts | total_counts(phases), outcomes)

    def _outcomes(self, folds: Sequence[int], passed: Advance) -> Iterator[FoldOutcome]:
        for number in folds:
            yield self.loop(number).run()
            passed()

    def _write(self, outcomes: Sequence[FoldOutcome], notes: Sequence[str]) -> Estimator:
        return write_corl_estimator(
            self.folder / ESTIMATOR,
            base=self.base,
            folds=[FoldSource((outcome.pair.generator,), (outcome.pair.policy,)) for outcome in outcomes],
            assignments={} if self.folds is None else self.folds.assignments,
            renderer=self.renderer,
            reasoning=reasoning_settings(self.settings),
            settings=self.described,
            curves=phase_curves(self.folder / TRAINING),
            notes=notes,
            quantization=self.dtype if self.dtype in QUANTIZED else None,
        )

    @cached_property
    def folds(self) -> Folds | None:
        """Which fold scores which sample; None without cross-fitting."""
        if self.n_folds is None:
            return None
        return make_folds(self.data.subsets, self.n_folds, derive_seed(self.seed, "folds"))

    @cached_property
    def cold_start(self) -> ColdStart:
        """What all folds begin with, but for samples that would give away a fold's held-out responses."""
        samples = draw_in_order(self.data.train, self.settings.cold_start_samples, derive_seed(self.seed, "cold-start"))
        traces = collect_traces(self.settings, samples, self._context)
        reader = reasoning_reader(self.renderer, self.settings.template)
        return cold_start(samples, traces, reader, self.settings.copying_limit)

    def loop(self, number: int) -> FoldLoop:
        """Return the loop of a fold."""
        runner = PhaseRunner(
            base=self.base,
            dtype=self.dtype,
            device=self.device,
            renderer=self.renderer,
            lora=self.settings.lora,
            seed=derive_seed(self.seed, "fold", str(number)),
            folder=self.folder / TRAINING / f"fold-{number}",
            progress=self.progress,
        )
        return FoldLoop(runner, self.settings, self.fold_data(number), load_chat(self.base), context_length(self.base))

    def fold_data(self, number: int) -> FoldData:
        """Return what a fold's models may see, and what they may not."""
        held = set() if self.folds is None else self.folds.held_out(number)
        samples = [sample for samples in self.data.subsets.values() for sample in samples]
        held_out = [sample for sample in samples if sample.sample_id in held]
        goldens = {sample.golden_response for sample in held_out}
        evolve = [*samples, *(self.data.train if self.data.co_evolve_on_train else ())]
        allowed = [s for s in evolve if s.sample_id not in held and s.golden_response not in goldens]
        seed = derive_seed(self.seed, "co-evolution", str(number))
        return FoldData(
            cold_start=self.cold_start.without(goldens),
            evolve=draw_in_order(allowed, self.settings.samples, seed),
            held_out=tuple(held_out_samples(held_out, self.settings.held_out)),
        )

    @property
    def _context(self) -> TrainContext:
        """Return what a teacher is asked with."""
        return TrainContext(
            base=self.base,
            dtype=self.dtype,
            device=self.device,
            samples=self.data.train,
            renderer=self.renderer,
            sampling=Sampling(),
            seed=self.seed,
            folder=self.folder,
            teacher_folder=self.teacher_folder,
            progress=self.progress,
        )


def _echo_notes(cold: ColdStart) -> list[str]:
    if not cold.echoes:
        return []
    total = len(cold.echoes) + len(cold.samples)
    named = ", ".join(f"{name} ({share:.0%})" for name, share in cold.echoes.items())
    return [f"{len(cold.echoes)} of {total} traces repeat the golden response and were left out: {named}"]


def _of_fold(number: int, note: str, n_folds: int | None) -> str:
    return note if n_folds is None else f"fold {number}: {note}"
