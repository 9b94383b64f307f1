"""What the run took: time, tokens and memory of its stages as measured, and money and energy where rates are given."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.run_data import MethodKey, Row, RunData
from reports.table import MISSING, Cell, Column, Table, label, number, words
from reports.tables.columns import method_cells, method_columns

SOURCES = ("manifest.json",)
BY_METHOD = {"policy": "Training", "responses": "Responses"}
"""Kinds of stages that have a row a method, and how they are shown."""
ALONE = {"estimator": "Estimator", "reasoning": "Reasoning", "likelihoods": "Likelihoods"}
"""Kinds that have one row."""
REST, TOTAL = "rest", "total"
GIGABYTE = 1e9


@dataclass(frozen=True)
class Price:
    """What the machine costs; None for what is not known."""

    per_hour: float | None
    """In `currency`."""
    currency: str
    """As shown, such as "USD"."""
    watts: float | None
    """Mean power of the machine while it works."""

    def __post_init__(self) -> None:
        """Check the rates; ValueError for a negative or infinite one."""
        for name, value in (("per_hour", self.per_hour), ("watts", self.watts)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; give a number from 0 up")

    def cost(self, seconds: float | None) -> float | None:
        """Return the price of that time, in `currency`."""
        return None if seconds is None or self.per_hour is None else seconds / 3600 * self.per_hour

    def energy(self, seconds: float | None) -> float | None:
        """Return the energy of that time, in kWh."""
        return None if seconds is None or self.watts is None else seconds / 3600 * self.watts / 1000


UNKNOWN = Price(None, "", None)


@dataclass(frozen=True)
class _Line:
    """A row of the table before it is shown."""

    kind: str
    shown: str
    method: MethodKey | None
    stages: Sequence[Row]


def table14(run: RunData, price: Price | None = None) -> Table:
    """Return time, tokens and peak memory by stage and method (paper, Table 14, which gives evaluation alone).

    Args:
        run: a finished run.
        price: rates of the machine; with them the table has columns of cost and energy.
    """
    rates = price or UNKNOWN
    columns = (
        Column("stage", "Stage", "left"),
        *method_columns(run),
        Column("seconds", "Time"),
        Column("tokens", "Tokens"),
        Column("peak_memory_gb", "Peak memory, GB"),
        Column("reused", "Reused"),
        Column("cost", None if rates.per_hour is None else ", ".join(filter(None, ["Cost", rates.currency]))),
        Column("currency", None),
        Column("energy_kwh", None if rates.watts is None else "Energy, kWh"),
    )
    lines = list(_lines(run))
    body = tuple(_cells(run, line, rates) for line in lines)
    return Table("table14", "What the run took", columns, body, tuple(_notes(run, lines, rates)), SOURCES)


def duration(seconds: float) -> str:
    """Return a time as read, such as "1 h 2 min 3 s"; below ten seconds with a decimal."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] if hours else []
    return " ".join([*parts, *([f"{minutes} min"] if minutes or hours else []), f"{rest} s"])


def _lines(run: RunData) -> Iterator[_Line]:
    stages: Sequence[Row] = run.manifest["stages"]
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for stage in stages:
        by_kind[_kind(stage)].append(stage)
    for kind, shown in BY_METHOD.items():
        for stage in by_kind[kind]:
            yield _Line(kind, shown, _method(run, stage["name"].partition("/")[2]), [stage])
    yield from (_Line(kind, shown, None, by_kind[kind]) for kind, shown in ALONE.items() if by_kind[kind])
    if rest := _rest(stages):
        yield _Line(REST, "Rest", None, rest)
    if stages:
        yield _Line(TOTAL, "Total", None, stages)


def _kind(stage: Row) -> str:
    return str(stage["name"]).partition("/")[0]


def _rest(stages: Sequence[Row]) -> list[Row]:
    return [stage for stage in stages if _kind(stage) not in (*BY_METHOD, *ALONE)]


def _method(run: RunData, name: str) -> MethodKey:
    """Return the method of a stage; with several base models its name begins with the base's."""
    below, slash, method = name.rpartition("/")
    recipes = [*run.manifest.get("recipes", []), *run.manifest.get("parents", [])]
    bases = {recipe["base_model"].replace("/", "_"): recipe["base_model"] for recipe in recipes}
    if slash:
        return MethodKey(bases.get(below, below), method)
    return MethodKey(next(iter(bases.values())) if len(bases) == 1 else None, method)


def _cells(run: RunData, line: _Line, rates: Price) -> tuple[Cell, ...]:
    seconds = _sum(line.stages, "seconds")
    peaks = [stage.get("peak_memory") for stage in line.stages]
    known = [peak for peak in peaks if peak is not None]
    bold = line.kind == TOTAL
    empty = (Cell(None, ""), Cell(None, ""))
    return (
        words(line.shown, value=line.kind, bold=bold),
        *(empty if line.method is None else method_cells(run, line.method)),
        Cell(seconds, MISSING if seconds is None else duration(seconds), bold),
        number(_sum(line.stages, "tokens"), bold=bold),
        number(max(known) / GIGABYTE if known else None, 2, bold=bold),
        words(_reused(line.stages)),
        number(rates.cost(seconds), 2, bold=bold),
        label(None if rates.per_hour is None else rates.currency),
        number(rates.energy(seconds), 3, bold=bold),
    )


def _sum(stages: Sequence[Mapping[str, float | None]], field: str) -> float | int | None:
    """Return the sum of a field; None where a stage does not have it."""
    values = [stage.get(field) for stage in stages]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _reused(stages: Sequence[Row]) -> str:
    reused = [bool(stage.get("reused")) for stage in stages]
    return "yes" if all(reused) else "some" if any(reused) else "no"


def _notes(run: RunData, lines: Sequence[_Line], rates: Price) -> Iterator[str]:
    machine = str(run.manifest.get("device") or "a machine that the run does not name")
    yield (
        f"Wall time on {machine}, of the command that finished a stage: what an interrupted one had done before is not "
        "in it. Tokens are prompts and answers together that went through a language model. Memory is the most that "
        "the process held in main memory, without that of an accelerator."
    )
    if any(stage.get("reused") for line in lines for stage in line.stages):
        yield "Reused stages were not run again; their numbers are those of the run that made them."
    if rest := list(dict.fromkeys(_kind(stage) for line in lines if line.kind == REST for stage in line.stages)):
        yield f"The rest: {', '.join(rest)}."
    if rates.per_hour is not None:
        rate = " ".join(filter(None, [f"{rates.per_hour:g}", rates.currency]))
        yield f"Cost is time at {rate} an hour, as given."
    if rates.watts is not None:
        yield f"Energy is time at {rates.watts:g} W, as given, not measured."
    if not lines:
        yield "The run has recorded no stage."
