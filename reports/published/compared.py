"""What a run and the paper's Table 20 have in common: methods, subsets, averages over them, differences from SFT.

The paper names its base models in short. They are the pretrained versions, so a chat model of the same family is none
of them, and a run's base model that is none of them is compared with each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.published import PublishedRemi, published_remi
from benchmark.subsets import SUBSET_KEYS
from reports.run_data import TOKEN, MethodKey, RunData
from reports.table import Cell
from reports.tables.columns import AVERAGE, REFERENCE
from reports.tables.table20 import table20

HUB_NAMES = {"Qwen3-4B": "Qwen3-4B-Base", "Meta-Llama-3-8B": "Meta-Llama-3-8B"}
"""The paper's name of a base model -> the model's own, without its owner."""
PUBLISHED_BASES = tuple(dict.fromkeys(row.base_model for row in published_remi()))
PUBLISHED_FOLDER = "benchmark/data/published"

Scores = Mapping[str, Mapping[str, float]]
"""Method -> subset key or AVERAGE -> a number in nats a token; what is missing is left out."""


@dataclass(frozen=True)
class SignedDifference:
    """R-EMI of a method less that of SFT on the same base model, in nats a token, from paired samples."""

    value: float
    low: float | None
    high: float | None
    reliable: bool
    adjusted_p: float | None
    """By Holm's correction over all pairs of methods, subsets and averages."""


@dataclass(frozen=True)
class Compared:
    """One of the run's base models beside one of the paper's: the methods that both have, over the run's subsets."""

    measured: Scores
    published: Scores
    """Of the same methods. The average is over the run's subsets; over all twelve it is the printed one."""
    measured_differences: Scores
    """From SFT; empty where the run has none."""
    published_differences: Scores


def compare(run: RunData) -> dict[tuple[str | None, str], Compared]:
    """Return what is compared, by the run's base model and the paper's."""
    cells = measured_cells(run)
    found = {}
    for own in run.base_models:
        values = {
            key.method: {name: float(cell.value) for name, cell in of.items() if isinstance(cell.value, int | float)}
            for key, of in cells.items()
            if key.base_model == own
        }
        differences = {
            method: {name: one.value for name, one in of.items() if name in (*run.subsets, AVERAGE)}
            for method, of in measured_differences(run, own).items()
        }
        for base in published_beside(own):
            published = published_scores(base, run.subsets)
            theirs = published_differences(published)
            found[own, base] = Compared(
                {method: of for method, of in values.items() if method in published},
                {method: of for method, of in published.items() if method in values},
                {method: of for method, of in differences.items() if method in theirs},
                theirs,
            )
    return found


def published_beside(base_model: str | None) -> tuple[str, ...]:
    """Return the paper's base models to compare with: the same one, or all where it is none of them."""
    name = (base_model or "").rstrip("/").rpartition("/")[2].lower()
    same = tuple(base for base in PUBLISHED_BASES if HUB_NAMES[base].lower() == name)
    return same or PUBLISHED_BASES


def published_scores(base: str, subsets: tuple[str, ...] = SUBSET_KEYS) -> dict[str, dict[str, float]]:
    """Return Table 20 of one of the paper's base models, over at least one subset."""
    rows = [row for row in published_remi() if row.base_model == base]
    return {row.method: {key: row.remi[key] for key in subsets} | {AVERAGE: _average(row, subsets)} for row in rows}


def published_differences(scores: Scores) -> dict[str, dict[str, float]]:
    """Return the other methods' differences from SFT, which is among them."""
    of_sft = scores[REFERENCE]
    return {m: {key: of[key] - of_sft[key] for key in of} for m, of in scores.items() if m != REFERENCE}


def measured_differences(run: RunData, base_model: str | None) -> dict[str, dict[str, SignedDifference]]:
    """Return each method's differences from SFT on one base model, by subset and average.

    Empty where the run has no SFT or compared no methods. Score files name the two methods in either order.
    """
    found: dict[str, dict[str, SignedDifference]] = {}
    for row in run.rows("differences", unit=TOKEN, base_model=base_model):
        names = {row["first"], row["second"]} - {REFERENCE}
        if len(names) == 1 and row["difference"] is not None:
            sign = -1 if row["first"] == REFERENCE else 1
            low, high = (None if row[end] is None else sign * row[end] for end in ("ci_low", "ci_high")[::sign])
            one = SignedDifference(
                sign * row["difference"], low, high, bool(row["interval_reliable"]), row["adjusted_p"]
            )
            found.setdefault(names.pop(), {})[row["subset"]] = one
    return found


def measured_cells(run: RunData) -> dict[MethodKey, dict[str, Cell]]:
    """Return the cells of the run's own Table 20, by method and by subset or average."""
    table = table20(run)
    heads = [column.key for column in table.columns]
    rows = (dict(zip(heads, row, strict=True)) for row in table.rows)
    return {
        key: {name: row[name] for name in (*run.subsets, AVERAGE)} for key, row in zip(run.methods, rows, strict=True)
    }


def _average(row: PublishedRemi, subsets: tuple[str, ...]) -> float:
    values = [row.remi[key] for key in subsets]
    return row.average if len(values) == len(SUBSET_KEYS) else sum(values) / len(values)
