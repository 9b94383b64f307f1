"""A stage: a name, a key that hashes what it depends on, and work that is done once while the key holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from benchmark.run_store import DONE, RunStore, read_json, write_json
from recipes.time_left import KindTimes
from scoring.models.memory import peak_memory_bytes, release_memory, reset_peak_memory


@dataclass(frozen=True)
class StageReport:
    """What a stage says of its own work."""

    tokens: int = 0
    """Tokens that went through a model, prompts and answers together."""
    counts: dict[str, int] = field(default_factory=dict)
    """Anything worth counting: samples answered, cut by the length limit, unscored, …"""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """For each part of a long stage its `place`, `seconds` and `tokens`."""


@dataclass(frozen=True)
class Stage:
    """One unit of the plan."""

    name: str
    key: str
    work: Callable[[Path], StageReport]
    """Does the work in the stage's folder; goes on from what an interrupted run left there."""


@dataclass(frozen=True)
class StageRecord:
    """What the manifest says of a stage.

    Seconds of wall time, bytes of peak memory and tokens are those of the run that finished it: the work of
    interrupted runs before it is not in them.
    """

    name: str
    key: str
    reused: bool
    seconds: float
    peak_memory: int
    tokens: int
    counts: dict[str, int]
    parts: list[dict[str, Any]] = field(default_factory=list)


class Prospect(StrEnum):
    """What a run would do with a stage."""

    REUSED = "reused"
    GOES_ON = "goes on"
    TO_RUN = "to run"


@dataclass(frozen=True)
class Outlook:
    """A stage as the run directory knows it before anything runs."""

    name: str
    key: str
    prospect: Prospect
    seconds: float | None
    """Recorded wall time of a stage that would be reused; None for the others."""


class RunObserver(Protocol):
    """Something that is told how a run gets on."""

    def planned(self, outlooks: Sequence[Outlook], times: KindTimes) -> None:
        """Take the stages in order, and the times of all that have finished in this run directory."""

    def reused(self, name: str) -> None:
        """Pass over a stage that is done."""

    def started(self, name: str) -> None:
        """See a stage start from nothing."""

    def resumed(self, name: str) -> None:
        """See a stage go on from what an interrupted run left."""

    def finished(self, name: str, seconds: float) -> None:
        """See a started or resumed stage finish."""

    def note(self, text: str) -> None:
        """Take a remark for the user."""


def look_ahead(stages: Sequence[Stage], store: RunStore) -> list[Outlook]:
    """Return what a run would do with each stage; makes and changes nothing."""
    return [_outlook(stage, store) for stage in stages]


def recorded_times(store: RunStore) -> KindTimes:
    """Return the times of all finished stages of the run directory, those of other settings too.

    A stage that was interrupted counts with the seconds of the run that finished it.
    """
    return KindTimes((record["name"], record["seconds"]) for record in store.records())


def run_stages(
    stages: Sequence[Stage], store: RunStore, observer: RunObserver
) -> tuple[dict[str, Path], list[StageRecord]]:
    """Run the stages in order and return (folders by stage name, records).

    Raises:
        RunFailure: a stage failed; those before it stay finished.
    """
    folders: dict[str, Path] = {}
    records: list[StageRecord] = []
    outlooks = look_ahead(stages, store)
    observer.planned(outlooks, recorded_times(store))
    for stage, outlook in zip(stages, outlooks, strict=True):
        folder = folders[stage.name] = store.make_stage_folder(stage.name, stage.key)
        reused = outlook.prospect is Prospect.REUSED
        if reused:
            observer.reused(stage.name)
        else:
            tell = observer.resumed if outlook.prospect is Prospect.GOES_ON else observer.started
            tell(stage.name)
            _run(stage, folder)
        record = StageRecord(**{**read_json(folder / DONE), "reused": reused})
        records.append(record)
        if not reused:
            observer.finished(stage.name, record.seconds)
    return folders, records


def _outlook(stage: Stage, store: RunStore) -> Outlook:
    if store.is_done(stage.name, stage.key):
        seconds = read_json(store.stage_folder(stage.name, stage.key) / DONE)["seconds"]
        return Outlook(stage.name, stage.key, Prospect.REUSED, seconds)
    begun = store.is_begun(stage.name, stage.key)
    return Outlook(stage.name, stage.key, Prospect.GOES_ON if begun else Prospect.TO_RUN, None)


def _run(stage: Stage, folder: Path) -> None:
    release_memory()
    reset_peak_memory()
    start = time.perf_counter()
    report = stage.work(folder)
    record = StageRecord(
        name=stage.name,
        key=stage.key,
        reused=False,
        seconds=round(time.perf_counter() - start, 3),
        peak_memory=peak_memory_bytes(),
        tokens=report.tokens,
        counts=report.counts,
        parts=report.parts,
    )
    write_json(folder / DONE, asdict(record))
