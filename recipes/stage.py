"""A stage: a name, a key that hashes what it depends on, and work that is done once while the key holds."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from benchmark.run_lock import only_worker_at
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
    peaks: list[int] = field(default_factory=list)
    """Peak memory of each other process that did the work, in bytes."""


Shard = Callable[[], int]
"""Does a part of a stage's work, or what is left of it, and returns the tokens that went through a model."""


@dataclass(frozen=True)
class Stage:
    """One unit of the plan."""

    name: str
    key: str
    work: Callable[[Path], StageReport]
    """Does the work in the stage's folder; goes on from what an interrupted run left there."""
    needs: tuple[str, ...] = ()
    """Names of the stages whose folders it reads; they stand before it in the plan."""
    uses_model: bool = True
    """False for work on files and arrays alone, for which one core will do."""
    gpus: int = 1
    """Where models are on GPUs: over how many one is spread."""
    trains: bool = False
    """Whether it trains a model, which several devices can do together."""
    shards: Callable[[], Mapping[str, Shard]] | None = None
    """Called when what the stage needs is there, returns by name the parts of its work that several processes can do at
    once; where they have been done, `work` finds them and does what is left."""


@dataclass(frozen=True)
class ShardRecord:
    """What a shard took."""

    place: str
    """Its name."""
    seconds: float
    tokens: int
    peak_memory: int


@dataclass(frozen=True)
class StageRecord:
    """What the manifest says of a stage.

    Seconds of wall time, bytes of peak memory and tokens are those of the run that finished it: the work of
    interrupted runs before it is not in them. Of a stage in shards the seconds and tokens of all are added up, however
    many ran at once, and the peak is that of the largest.
    """

    name: str
    key: str
    reused: bool
    seconds: float
    peak_memory: int
    tokens: int
    counts: dict[str, int]
    parts: list[dict[str, Any]] = field(default_factory=list)
    lost_workers: int = 0
    """Processes that died at it and were replaced."""


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
            tell_start(observer, outlook)
            do_stage(stage, folder, store.lock_file(stage.name))
        record = read_record(folder, reused=reused)
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


def tell_start(observer: RunObserver, outlook: Outlook) -> None:
    """Tell that a stage starts or goes on."""
    tell = observer.resumed if outlook.prospect is Prospect.GOES_ON else observer.started
    tell(outlook.name)


def read_record(folder: Path, *, reused: bool) -> StageRecord:
    """Return the record of a finished stage."""
    return StageRecord(**{**read_json(folder / DONE), "reused": reused})


def do_stage(
    stage: Stage, folder: Path, lock: Path, shards: Sequence[ShardRecord] = (), lost_workers: int = 0
) -> StageRecord:
    """Do a stage's work in its folder and leave its record there.

    Args:
        stage: what is done.
        folder: is there already.
        lock: the stage's lock file: no other process does the stage or a shard of it at the same time.
        shards: what has been done of it.
        lost_workers: processes that died at it.
    """
    with only_worker_at(lock, stage.name):
        with _measured() as spent:
            report = stage.work(folder)
        record = StageRecord(
            name=stage.name,
            key=stage.key,
            reused=False,
            seconds=round(spent.seconds + sum(shard.seconds for shard in shards), 3),
            peak_memory=max([spent.peak_memory, *report.peaks, *(shard.peak_memory for shard in shards)]),
            tokens=report.tokens + sum(shard.tokens for shard in shards),
            counts=report.counts,
            parts=[*({"place": s.place, "seconds": s.seconds, "tokens": s.tokens} for s in shards), *report.parts],
            lost_workers=lost_workers,
        )
        write_json(folder / DONE, asdict(record))
    return record


def do_shard(stage: str, place: str, work: Shard, stage_lock: Path, lock: Path) -> ShardRecord:
    """Do the shard `place` of a stage by name; others may be done beside it, but neither the stage nor it once more."""
    what = f"{place} of {stage}"
    with only_worker_at(stage_lock, what, shared=True), only_worker_at(lock, what), _measured() as spent:
        tokens = work()
    return ShardRecord(place, round(spent.seconds, 3), tokens, spent.peak_memory)


@dataclass
class _Spent:
    seconds: float = 0.0
    peak_memory: int = 0


@contextmanager
def _measured() -> Iterator[_Spent]:
    """Measure what the block takes in this process, from when it has the memory for itself."""
    release_memory()
    reset_peak_memory()
    spent, start = _Spent(), time.perf_counter()
    yield spent
    spent.seconds = time.perf_counter() - start
    spent.peak_memory = peak_memory_bytes()
