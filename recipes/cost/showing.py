"""An estimate as tables to read and as plain data: its stages, totals by kind of stage, and what it rests on."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from recipes.cost.estimate import CostPlan
from recipes.cost.stage_cost import HOUR, StageCost

EVERYTHING = "everything"
KINDS = {
    "training": "trains",
    "scoring": "reads prompts and scores",
    "decoding": "decodes",
    "processor": "works on arrays",
    "ready": "loads models",
}


def stage_table(plan: CostPlan) -> Table:
    """Return a row a stage."""
    table = _table("stage")
    for stage in plan.stages:
        table.add_row(stage.name, *_cells([stage]))
    return table


def total_table(plan: CostPlan) -> Table:
    """Return a row a kind of stage, and one for all; memory is the most that any of them needs."""
    table = _table("in all")
    for kind, stages in _kinds(plan).items():
        if kind == EVERYTHING:
            table.add_section()
        table.add_row(kind, *_cells(stages))
    return table


def notes(plan: CostPlan) -> list[str]:
    """Return what does not fit, is not known or not priced, and what the estimate rests on; a sentence each."""
    machine = plan.hardware
    found = _misfits([stage for stage in plan.stages if stage.fits is False])
    found += [f"{s.name}: nothing is known of how it trains; in no total" for s in plan.stages if s.works is None]
    found += [_asked(stage) for stage in plan.stages if stage.asking is not None]
    found += [_shares(plan), *plan.assumptions]
    if machine.devices > 1:
        share = f"{machine.devices} devices are taken to reach {machine.spread:.0%} of their joint speed (assumed)"
        found.append(f"{share}; a run uses one of them unless its stages are spread over them")
    return [*found, *(f"{name}: {source}" for name, source in machine.sources.items())]


def plain(plan: CostPlan) -> dict[str, Any]:
    """Return the estimate as plain data; what is not known is null."""
    return {
        "hardware": {**plan.hardware.model_dump(), "usd_an_hour_in_all": plan.hardware.price},
        "stages": [_plain(stage) for stage in plan.stages],
        "totals": {kind: _sums(stages) for kind, stages in _kinds(plan).items()},
        "notes": notes(plan),
    }


def _kinds(plan: CostPlan) -> dict[str, list[StageCost]]:
    kinds: dict[str, list[StageCost]] = {}
    for stage in plan.stages:
        kinds.setdefault(stage.kind, []).append(stage)
    return {**kinds, EVERYTHING: list(plan.stages)}


def _table(head: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(head, overflow="fold")
    for name in ("tokens", "operations", "hours", "memory", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(stages: Sequence[StageCost]) -> list[str]:
    """Return the cells of some stages together: tokens, operations, hours, memory, price."""
    sums = _sums(stages)
    if all(stage.works is None for stage in stages):
        return ["", "", "not known", "", ""]
    memory = "" if sums["memory_gb"] is None else f"{sums['memory_gb']:,.1f} GB"
    marked = f"{memory} (!)" if any(stage.fits is False for stage in stages) else memory
    figures = _figures(sums["seconds"] / HOUR), marked, _figures(sums["usd"])
    return [_count(sums["tokens"]), _power(sums["operations"]), *figures]


def _sums(stages: Sequence[StageCost]) -> dict[str, Any]:
    """Return the sums over stages that are known, and the largest memory."""
    known = [stage.memory_gb for stage in stages if stage.memory_gb is not None]
    return {
        "tokens": sum(stage.tokens for stage in stages),
        "operations": sum(stage.operations for stage in stages),
        "seconds": sum(stage.seconds or 0.0 for stage in stages),
        "usd": sum(stage.usd or 0.0 for stage in stages),
        "memory_gb": max(known, default=None),
    }


def _plain(stage: StageCost) -> dict[str, Any]:
    known = stage.works is not None
    return {
        "name": stage.name,
        "tokens": stage.tokens if known else None,
        "operations": stage.operations if known else None,
        "seconds": stage.seconds,
        "memory_gb": stage.memory_gb,
        "fits": stage.fits,
        "usd": stage.usd,
        "teacher": None if stage.asking is None else asdict(stage.asking),
        "parts": [
            {"name": work.name, "kind": work.kind, "tokens": work.tokens, "seconds": stage.hardware.seconds(work)}
            for work in stage.works or ()
        ],
    }


def _misfits(stages: Sequence[StageCost]) -> list[str]:
    named = [f"{stage.name} ({stage.memory_gb:,.0f} GB of {stage.room_gb:,.0f})" for stage in stages]
    return [f"(!) what does not fit into memory: {', '.join(named)}"] if named else []


def _shares(plan: CostPlan) -> str:
    """Return what the time goes into, the largest part first."""
    seconds: dict[str, float] = {}
    for stage in plan.stages:
        for work in stage.works or ():
            ready, whole = stage.hardware.ready(work), stage.hardware.seconds(work)
            seconds[work.kind] = seconds.get(work.kind, 0.0) + whole - ready
            seconds["ready"] = seconds.get("ready", 0.0) + ready
    total = sum(seconds.values())
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    return "of the time " + ", ".join(f"{value / total:.0%} {KINDS[kind]}" for kind, value in parts)


def _asked(stage: StageCost) -> str:
    asking = stage.asking
    assert asking is not None
    tokens = f"{_count(asking.tokens_read)} tokens read and {_count(asking.tokens_written)} written"
    return f"{stage.name} asks a teacher's endpoint {asking.requests:,} times, about {tokens}: not in the price"


def _figures(value: float) -> str:
    """Return hours or dollars to two figures or more, three decimals at most."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{decimals}f}"


def _count(number: float) -> str:
    """Return a number of tokens: in thousands (k), millions (M) or thousands of millions (G)."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:.0f}" if number else ""


def _power(number: float) -> str:
    return f"{number:.1e}".replace("e+", "e") if number else ""
