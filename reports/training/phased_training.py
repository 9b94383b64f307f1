"""A training by co-evolution: many phases, each with a log of its own, and for an estimator a set of phases a fold.

Folders: `NAME[/fold-I]/(cold-start|iteration-KK)/PLACE-ROLE-(sft|rl)/`. The steps of the phases are counted on from one
to the next, in the order in which they were trained.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.training.log import Row, read_training
from reports.training.markdown import title_on_base

_PLACE = re.compile(r"(.+?)(?:/fold-(\d+))?/(?:cold-start|iteration-(\d+))/(\d+)-(.+)-(sft|rl)")


@dataclass(frozen=True)
class PhasePlace:
    """Where a phase stands in a training; phases are in the order of their places."""

    fold: int | None
    """None where there are no folds."""
    iteration: int
    """From 1; 0 is the cold start."""
    number: int
    """Within the iteration, from 1."""
    role: str
    """What is trained: "generator", "policy", "thinking"."""
    kind: str
    """"sft" or "rl"."""

    @property
    def code(self) -> str:
        """A short name within a fold: iteration and number."""
        return f"{self.iteration}.{self.number}"

    @property
    def title(self) -> str:
        """A name within a fold."""
        return f"{self.code} {self.role} {self.kind.upper()}"

    @property
    def full_title(self) -> str:
        """A name within the training."""
        return self.title if self.fold is None else f"fold {self.fold}, {self.title}"

    @property
    def order(self) -> tuple[int, int, int, str]:
        """What phases are sorted by."""
        return (-1 if self.fold is None else self.fold, self.iteration, self.number, self.role)


@dataclass(frozen=True)
class Phase:
    """One phase, as it left its folder."""

    place: PhasePlace
    log: Sequence[Row]
    preflight: Row
    rollouts: Sequence[Row]

    @property
    def steps(self) -> int:
        """The last step of the log, 0 where nothing was logged."""
        return max((row["step"] for row in self.log), default=0)

    def values(self, key: str) -> list[float]:
        """Return all values of a key, in the order of the steps; steps without one are passed over."""
        return [row[key] for row in self.log if row.get(key) is not None]


@dataclass(frozen=True)
class PhasedTraining:
    """All phases of one training, in order."""

    name: str
    """Its folder below `training/`; the base model stands before a slash where a run has several."""
    label: str
    phases: tuple[Phase, ...]

    @property
    def title(self) -> str:
        """The label, with the base model where the name has one."""
        return title_on_base(self.name, self.label)

    def figures(self) -> Iterator[tuple[str, str, list[Phase]]]:
        """Yield the name below `figures/training/`, the title and the phases of each figure: one a fold."""
        for fold in dict.fromkeys(phase.place.fold for phase in self.phases):
            phases = [phase for phase in self.phases if phase.place.fold == fold]
            if fold is None:
                yield self.name, self.title, phases
            else:
                yield f"{self.name}/fold-{fold}", f"{self.title}, fold {fold}", phases


def phase_place(folder: str) -> tuple[str, PhasePlace] | None:
    """Return the training's name and the place of the phase that a folder below `training/` is; None if it is none."""
    found = _PLACE.fullmatch(folder)
    if found is None:
        return None
    name, fold, iteration, number, role, kind = found.groups()
    return name, PhasePlace(None if fold is None else int(fold), int(iteration or 0), int(number), role, kind)


def read_phase(log: Path, place: PhasePlace) -> Phase:
    """Read a phase's log and what lies beside it; RunFailure when a file is damaged."""
    return Phase(place, *read_training(log))


@dataclass(frozen=True)
class PlacedPhase:
    """A phase on the common x axis."""

    phase: Phase
    begin: int
    """Steps before it."""


def counted_on(phases: Sequence[Phase]) -> list[PlacedPhase]:
    """Return phases one behind the other; step 1 of a phase follows the last step of the one before."""
    placed: list[PlacedPhase] = []
    for phase in phases:
        placed.append(PlacedPhase(phase, placed[-1].begin + placed[-1].phase.steps if placed else 0))
    return placed


def joined_rows(placed: Sequence[PlacedPhase], keys: Collection[str]) -> list[Row]:
    """Return the rows that have one of these keys as if of one log, with a gap in each of them between phases."""
    rows: list[Row] = []
    for one in placed:
        own = [{**row, "step": row["step"] + one.begin} for row in one.phase.log if not row.keys().isdisjoint(keys)]
        gap = [{**dict.fromkeys(keys), "step": rows[-1]["step"]}] if own and rows else []
        rows += [*gap, *own]
    return rows
