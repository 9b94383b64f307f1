"""Which stage starts when, what becomes of workers that die or fail, and what is told of it: without any cluster."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmark import RunFailure
from benchmark.run_store import DONE, RunStore, read_json
from recipes.display import StageLines
from recipes.scheduler import MOST_LOST, SHARDS, Began, Event, Failed, Finished, Lost, Scheduler, Unit
from recipes.stage import Shard, Stage, StageReport, run_stages

Fate = Callable[[Unit], Event | None]
"""What becomes of a unit instead of its being done; None does it."""


class OneByOne:
    """Does the units one at a time in this process, the one that was started last first."""

    def __init__(self, fate: Fate = lambda unit: None) -> None:
        """Let nothing become of units but what `fate` says."""
        self.fate = fate
        self.started: list[str] = []
        self.ended: list[str] = []
        self.at_once: list[set[str]] = []
        """What was under way whenever a unit was done."""
        self.stopped = False
        self._open: list[Unit] = []

    def start(self, unit: Unit) -> None:
        """Keep the unit for later."""
        assert unit.label not in {other.label for other in self._open}
        self.started.append(unit.label)
        self._open.append(unit)

    def happened(self) -> list[Event]:
        """Do a unit."""
        self.at_once.append({unit.label for unit in self._open})
        unit = self._open.pop()
        self.ended.append(unit.label)
        event = self.fate(unit)
        if event is not None:
            return [event]
        begun = [] if unit.shard is not None else [Began(unit.label)]  # it may lack
        return [*begun, Finished(unit.label, unit.do())]

    def stop(self) -> None:
        """Forget what is left."""
        self.stopped = True


class Work:
    """Work that leaves a file and counts how often it was done."""

    def __init__(self) -> None:
        """Start with nothing done."""
        self.done: list[str] = []

    def stage(self, name: str, *needs: str, shards: Iterable[str] = ()) -> Stage:
        """Return a stage of 10 tokens, or with shards of one each and none left."""
        places = list(shards)
        parts: Mapping[str, Shard] = {place: partial(self._shard, f"{name} {place}") for place in places}

        def do(folder: Path) -> StageReport:
            self.done.append(name)
            (folder / "made.txt").write_text(name)
            return StageReport(tokens=0 if places else 10)

        return Stage(name, name.ljust(64, "k"), do, needs, shards=(lambda: parts) if places else None)

    def _shard(self, label: str) -> int:
        self.done.append(label)
        return 1


def scheduled(stages: list[Stage], out: Path, workers: OneByOne) -> tuple[dict[str, Path], list[str]]:
    """Run the stages and return their folders and what was told."""
    told: list[str] = []
    folders, records = Scheduler(stages, RunStore(out), StageLines(told.append), workers).run()
    assert [record.name for record in records] == [stage.name for stage in stages]
    return folders, [" ".join(line.split()) for line in told]


def test_a_stage_starts_when_what_it_needs_is_done_and_no_later(tmp_path: Path) -> None:
    work, workers = Work(), OneByOne()
    stages = [work.stage("a"), work.stage("b", "a"), work.stage("c"), work.stage("d", "b", "c"), work.stage("e", "a")]
    scheduled(stages, tmp_path, workers)
    assert workers.at_once == [{"a", "c"}, {"a"}, {"b", "e"}, {"b"}, {"d"}]
    assert work.done == ["c", "a", "e", "b", "d"]


def test_folders_and_records_are_those_of_the_local_executor(tmp_path: Path) -> None:
    work = Work()
    stages = [work.stage("a"), work.stage("b/x", "a"), work.stage("c", "a", shards=["one", "two"])]
    folders, _ = scheduled(stages, tmp_path / "spread", OneByOne())
    here, records = run_stages(stages, RunStore(tmp_path / "here"), StageLines(lambda text: None))
    spread = [path.relative_to(tmp_path / "spread") for path in folders.values()]
    assert spread == [path.relative_to(tmp_path / "here") for path in here.values()]
    for path, record in zip(folders.values(), records, strict=True):
        kept = read_json(path / DONE)
        assert {**kept, "seconds": 0, "peak_memory": 0, "tokens": 0, "parts": []} == {
            **vars(replace(record, seconds=0, peak_memory=0, tokens=0, parts=[])),
        }


def test_shards_come_before_the_rest_of_their_stage_and_add_up_in_its_record(tmp_path: Path) -> None:
    work, workers = Work(), OneByOne()
    stages = [work.stage("likelihoods", shards=["german", "film", "id"]), work.stage("scores", "likelihoods")]
    folders, told = scheduled(stages, tmp_path, workers)
    assert workers.started == [
        *(f"likelihoods ({place})" for place in ("german", "film", "id")),
        "likelihoods",
        "scores",
    ]
    assert work.done[3:] == ["likelihoods", "scores"]
    record = read_json(folders["likelihoods"] / DONE)
    assert record["tokens"] == 3
    assert [(part["place"], part["tokens"]) for part in record["parts"]] == [("german", 1), ("film", 1), ("id", 1)]
    assert record["seconds"] >= sum(part["seconds"] for part in record["parts"])
    assert read_json(folders["likelihoods"] / SHARDS) == ["german", "film", "id"]
    assert [line.rsplit(" in ")[0] for line in told] == [
        "started likelihoods",
        "finished likelihoods",
        "started scores",
        "finished scores",
    ]


def test_a_stage_of_one_shard_is_done_whole(tmp_path: Path) -> None:
    work, workers = Work(), OneByOne()
    scheduled([work.stage("likelihoods", shards=["id"])], tmp_path, workers)
    assert workers.started == ["likelihoods"]
    assert work.done == ["likelihoods"]


def test_what_is_done_is_reused_and_what_was_begun_goes_on(tmp_path: Path) -> None:
    work = Work()
    stages = [work.stage("a"), work.stage("b", "a", shards=["one", "two"]), work.stage("c", "a")]

    def killed(unit: Unit) -> Event | None:
        return Failed(unit.label, KeyboardInterrupt()) if unit.label == "b" else None  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        scheduled(stages, tmp_path, OneByOne(killed))
    _, told = scheduled(stages, tmp_path, OneByOne())
    assert [line.rsplit(" in ")[0] for line in told if not line.startswith("finished")] == [
        "reused a",
        "reused c",
        "resumed b",
    ]
    assert work.done.count("a") == work.done.count("c") == 1


def test_a_worker_that_dies_costs_its_shard_alone_and_is_counted(tmp_path: Path) -> None:
    work, deaths = Work(), iter([2])
    label = "likelihoods (film)"

    def dying(unit: Unit) -> Event | None:
        return Lost(unit.label, "its host is gone") if unit.label == label and next(deaths, 0) else None

    stages = [work.stage("likelihoods", shards=["german", "film", "id"])]
    folders, told = scheduled(stages, tmp_path, OneByOne(dying))
    assert sorted(work.done) == ["likelihoods", *(f"likelihoods {place}" for place in ("film", "german", "id"))]
    assert read_json(folders["likelihoods"] / DONE)["lost_workers"] == 1
    assert (
        "note: a worker died at likelihoods (film), because its host is gone; another goes on with it (1 of at most 3)"
        in told
    )
    assert told[-1] == "note: workers that died and were replaced: 1; manifest.json says at which stages"


def test_a_worker_that_had_no_room_beside_others_is_replaced_when_one_of_them_has_ended(tmp_path: Path) -> None:
    work, deaths = Work(), iter([True])

    def crowded(unit: Unit) -> Event | None:
        return (
            Lost(unit.label, "no memory was left", crowded=True) if unit.label == "c" and next(deaths, False) else None
        )

    workers = OneByOne(crowded)
    _, told = scheduled([work.stage("a"), work.stage("b"), work.stage("c")], tmp_path, workers)
    assert workers.at_once == [{"a", "b", "c"}, {"a", "b"}, {"a", "c"}, {"a"}]
    assert any("another goes on with it when one at other work has ended (1 of at most 3)" in line for line in told)


def test_the_last_worker_that_has_no_room_is_replaced_at_once_and_held_ones_come_after_it(tmp_path: Path) -> None:
    work, deaths = Work(), {"a": 1, "b": 1}

    def crowded(unit: Unit) -> Event | None:
        deaths[unit.label] -= 1
        return Lost(unit.label, "no memory was left", crowded=True) if deaths[unit.label] >= 0 else None

    workers = OneByOne(crowded)
    scheduled([work.stage("a"), work.stage("b")], tmp_path, workers)
    assert workers.at_once == [{"a", "b"}, {"a"}, {"a"}, {"b"}]


def test_a_stage_at_which_workers_keep_dying_ends_the_run_and_what_is_done_stays(tmp_path: Path) -> None:
    work = Work()
    workers = OneByOne(lambda unit: Lost(unit.label, "it was killed") if unit.label == "b" else None)
    stages = [work.stage("a"), work.stage("b", "a")]
    with pytest.raises(
        RunFailure, match=rf"{MOST_LOST + 1} workers died at b, the last because it was killed; what is"
    ):
        scheduled(stages, tmp_path, workers)
    assert workers.ended.count("b") == MOST_LOST + 1
    assert workers.stopped
    assert RunStore(tmp_path).is_done("a", stages[0].key)


def test_a_stage_that_fails_ends_the_run_with_its_error_and_stops_the_others(tmp_path: Path) -> None:
    work, error = Work(), RunFailure("the disk is full")
    workers = OneByOne(lambda unit: Failed(unit.label, error) if unit.label == "b" else None)
    with pytest.raises(RunFailure) as caught:
        scheduled([work.stage("a"), work.stage("b"), work.stage("c")], tmp_path, workers)
    assert caught.value is error
    assert workers.stopped
    assert work.done == ["c"]


def test_shards_that_cannot_be_named_stop_the_run(tmp_path: Path) -> None:
    def damaged() -> Mapping[str, Shard]:
        raise RunFailure("the estimator cannot be read")

    work, workers = Work(), OneByOne()
    stages = [work.stage("a"), replace(work.stage("b", "a"), shards=damaged), work.stage("c")]
    with pytest.raises(RunFailure, match="the estimator cannot be read"):
        scheduled(stages, tmp_path, workers)
    assert workers.stopped


@pytest.mark.parametrize("needs", [("later",), ("nothing",), ("a",)])
def test_a_need_that_does_not_stand_before_its_stage_is_a_fault_of_the_plan(tmp_path: Path, needs: tuple[str]) -> None:
    work = Work()
    with pytest.raises(ValueError, match="which do not stand before it"):
        scheduled([work.stage("a", *needs), work.stage("later")], tmp_path, OneByOne())


def test_a_plan_without_stages_comes_to_its_end(tmp_path: Path) -> None:
    assert scheduled([], tmp_path, OneByOne()) == ({}, [])
