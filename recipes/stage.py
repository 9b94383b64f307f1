"""A stage: a name, a key that hashes what it depends on, and work that is done once while the key holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmark.run_store import DONE, RunStore, read_json, write_json
from scoring.models.memory import peak_memory_bytes, release_memory, reset_peak_memory


@dataclass(frozen=True)
class StageReport:
    """What a stage says of its own work."""

    tokens: int = 0
    """Tokens that went through a model, prompts and answers together."""
    counts: dict[str, int] = field(default_factory=dict)
    """Anything worth counting: samples answered, cut by the length limit, unscored, …"""


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


def run_stages(
    stages: Sequence[Stage], store: RunStore, tell: Callable[[str], None]
) -> tuple[dict[str, Path], list[StageRecord]]:
    """Run the stages in order and return (folders by stage name, records).

    Raises:
        RunFailure: a stage failed; those before it stay finished.
    """
    folders: dict[str, Path] = {}
    records: list[StageRecord] = []
    for stage in stages:
        folder = store.stage_folder(stage.name, stage.key)
        folders[stage.name] = folder
        reused = store.is_done(stage.name, stage.key)
        if reused:
            tell(f"reused   {stage.name}")
        else:
            tell(f"{'resumed' if any(folder.iterdir()) else 'started'}  {stage.name}")
            _run(stage, folder)
        record = StageRecord(**{**read_json(folder / DONE), "reused": reused})
        records.append(record)
        if not reused:
            tell(f"finished {stage.name} in {record.seconds:.0f} s")
    return folders, records


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
    )
    write_json(folder / DONE, asdict(record))
