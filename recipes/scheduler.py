"""The stages of a plan shared out among workers: each starts when the stages that it needs are done.

It knows workers by what they tell alone, so that it can be tried without any. A worker that dies is replaced, a few
times; one that fails ends the run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmark.errors import RunFailure
from benchmark.run_store import RunStore, write_json
from recipes.stage import (
    Outlook,
    Prospect,
    RunObserver,
    Shard,
    ShardRecord,
    Stage,
    StageRecord,
    do_shard,
    do_stage,
    look_ahead,
    read_record,
    recorded_times,
    tell_start,
)

MOST_LOST = 3
"""Workers that may die at one and the same unit before the run gives up."""
SHARDS = "shards.json"
"""Names of a stage's shards; written before them, so that a stage that was interrupted is told as resumed."""


@dataclass(frozen=True)
class Unit:
    """What one worker does: a shard of a stage, or the stage or what its shards leave of it."""

    stage: Stage
    folder: Path
    lock: Path
    """The stage's lock file."""
    place: str | None = None
    """Name of the shard; None for the stage."""
    shard: Shard | None = None
    shard_lock: Path | None = None
    done: tuple[ShardRecord, ...] = ()
    """The stage's shards."""
    lost: int = 0
    """Workers that died at the stage."""

    @property
    def label(self) -> str:
        """Such as "likelihoods" or "likelihoods (german)"."""
        return self.stage.name if self.place is None else f"{self.stage.name} ({self.place})"

    def do(self) -> StageRecord | ShardRecord:
        """Do it in this process."""
        if self.shard is None or self.place is None or self.shard_lock is None:
            return do_stage(self.stage, self.folder, self.lock, self.done, self.lost)
        return do_shard(self.stage.name, self.place, self.shard, self.lock, self.shard_lock)


@dataclass(frozen=True)
class Began:
    """A worker has begun with a unit."""

    label: str


@dataclass(frozen=True)
class Finished:
    """A unit is done."""

    label: str
    record: StageRecord | ShardRecord


@dataclass(frozen=True)
class Lost:
    """The worker of a unit is gone."""

    label: str
    reason: str
    crowded: bool = False
    """Whether it had too little room beside others: then another waits until one of them has ended."""


@dataclass(frozen=True)
class Failed:
    """A unit cannot be done."""

    label: str
    error: Exception


Event = Began | Finished | Lost | Failed


class Workers(Protocol):
    """Processes somewhere that do units."""

    def start(self, unit: Unit) -> None:
        """Let the unit be done as soon as there is room; its label is not under way."""

    def happened(self) -> Sequence[Event]:
        """Wait a while for something to happen and return what did, in order; of each unit its beginning may lack."""

    def stop(self) -> None:
        """End all that is under way."""


class Scheduler:
    """Brings one plan to its end."""

    def __init__(self, stages: Sequence[Stage], store: RunStore, observer: RunObserver, workers: Workers) -> None:
        """Take the plan.

        Raises:
            ValueError: a stage needs one that does not stand before it.
        """
        _check_order(stages)
        self.stages, self.store, self.observer, self.workers = stages, store, observer, workers
        self._outlooks: dict[str, Outlook] = {}
        self._waiting: list[Stage] = []
        self._done: set[str] = set()
        self._units: dict[str, Unit] = {}
        """Under way, by label."""
        self._held: list[Unit] = []
        """Wait until one that is under way has ended."""
        self._told: set[str] = set()
        """Stages whose start was told."""
        self._shards: dict[str, dict[str, ShardRecord | None]] = {}
        """By stage and place; None for one under way."""
        self._lost: Counter[str] = Counter()
        """By label."""
        self._lost_at: Counter[str] = Counter()
        """By stage."""

    def run(self) -> tuple[dict[str, Path], list[StageRecord]]:
        """Do all stages that are not done and return (folders by stage name, records), as `run_stages` does.

        Raises:
            RunFailure: a stage failed, or its workers kept dying; what is done stays.
            UserMistakes: a stage found some.
        """
        self._plan()
        try:
            self._start_ready()
            while self._units:
                for event in self.workers.happened():
                    self._take(event)
                self._start_ready()
        except BaseException:
            self.workers.stop()
            raise
        if lost := self._lost.total():
            self.observer.note(f"workers that died and were replaced: {lost}; manifest.json says at which stages")
        folders = {stage.name: self._folder(stage) for stage in self.stages}
        reused = {name for name, outlook in self._outlooks.items() if outlook.prospect is Prospect.REUSED}
        return folders, [read_record(folders[stage.name], reused=stage.name in reused) for stage in self.stages]

    def _plan(self) -> None:
        outlooks = look_ahead(self.stages, self.store)
        self.observer.planned(outlooks, recorded_times(self.store))
        self._outlooks = {outlook.name: outlook for outlook in outlooks}
        for stage in self.stages:
            if self._outlooks[stage.name].prospect is Prospect.REUSED:
                self._done.add(stage.name)
                self.observer.reused(stage.name)
            else:
                self._waiting.append(stage)

    def _folder(self, stage: Stage) -> Path:
        return self.store.make_stage_folder(stage.name, stage.key)

    def _start_ready(self) -> None:
        for stage in [stage for stage in self._waiting if self._done.issuperset(stage.needs)]:
            self._waiting.remove(stage)
            shards = {} if stage.shards is None else stage.shards()
            if len(shards) > 1:
                self._start_shards(stage, shards)
            else:
                self._start_whole(stage)

    def _start_shards(self, stage: Stage, shards: Mapping[str, Shard]) -> None:
        write_json(self._folder(stage) / SHARDS, list(shards))
        self._shards[stage.name] = dict.fromkeys(shards)
        for place, shard in shards.items():
            lock = self.store.lock_file(f"{stage.name} {place}")
            self._start(Unit(stage, self._folder(stage), self._lock(stage), place, shard, lock))

    def _start_whole(self, stage: Stage) -> None:
        done = tuple(record for record in self._shards.get(stage.name, {}).values() if record is not None)
        lost = self._lost_at[stage.name]
        self._start(Unit(stage, self._folder(stage), self._lock(stage), done=done, lost=lost))

    def _lock(self, stage: Stage) -> Path:
        return self.store.lock_file(stage.name)

    def _start(self, unit: Unit) -> None:
        self._units[unit.label] = unit
        self.workers.start(unit)

    def _take(self, event: Event) -> None:
        if isinstance(event, Began):
            self._tell(self._units[event.label].stage)
            return
        unit = self._units.pop(event.label)
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Lost):
            self._replace(unit, event)
        else:
            self._keep(unit.stage, event.record)
            held, self._held = self._held, []
            for waiting in held:
                self._start(waiting)

    def _tell(self, stage: Stage) -> None:
        """Tell the start of a stage, once."""
        if stage.name not in self._told:
            self._told.add(stage.name)
            tell_start(self.observer, self._outlooks[stage.name])

    def _keep(self, stage: Stage, record: StageRecord | ShardRecord) -> None:
        self._tell(stage)
        if isinstance(record, StageRecord):
            self._done.add(stage.name)
            self.observer.finished(stage.name, record.seconds)
            return
        made = self._shards[stage.name]
        made[record.place] = record
        if None not in made.values():
            self._start_whole(stage)

    def _replace(self, unit: Unit, event: Lost) -> None:
        """Let another worker go on with a unit, unless too many have died at it."""
        self._lost[unit.label] += 1
        self._lost_at[unit.stage.name] += 1
        times = self._lost[unit.label]
        if times > MOST_LOST:
            raise RunFailure(
                f"{times} workers died at {unit.label}, the last because {event.reason}; what is done stays, and the "
                "same command goes on from it"
            )
        when = " when one at other work has ended" if event.crowded and self._units else ""
        self.observer.note(
            f"a worker died at {unit.label}, because {event.reason}; another goes on with it{when} ({times} of at most "
            f"{MOST_LOST})"
        )
        again = replace(unit, lost=self._lost_at[unit.stage.name])
        if when:
            self._held.append(again)
        else:
            self._start(again)


def _check_order(stages: Sequence[Stage]) -> None:
    before: set[str] = set()
    for stage in stages:
        if absent := set(stage.needs) - before:
            raise ValueError(f"{stage.name} needs {sorted(absent)}, which do not stand before it")
        before.add(stage.name)
