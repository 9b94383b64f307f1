"""Methods by their average R-EMI, and which of their differences are more than chance, in words."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.run_data import TOKEN, MethodKey, Row, RunData
from reports.table import interval_text, p_words
from scoring.statistics import RELIABLE_CLUSTERS

REFERENCE = "sft"
"""The method that the paper compares the others with."""
SIGNIFICANT = 0.05
AVERAGE = "average"
"""In place of a subset, in rows about the mean over subsets."""


@dataclass(frozen=True)
class Standing:
    """A method's average R-EMI over the run's subsets, in nats a token."""

    key: MethodKey
    label: str
    average: float
    low: float | None
    high: float | None


def standings(run: RunData, base: str | None) -> list[Standing]:
    """Return the methods on a base model that have an average, the highest first, equals in the order of the specs.

    A run that stores no averages has means without intervals, of the methods with an estimate on every subset.
    """
    stored = {(row["base_model"], row["method"]): row for row in run.rows("averages", unit=TOKEN)}
    found = []
    for key in run.methods:
        row = stored.get(key, {})
        average = row.get("average") if stored else _plain_average(run, key)
        if key.base_model == base and average is not None:
            found.append(Standing(key, run.label(key), average, row.get("ci_low"), row.get("ci_high")))
    return sorted(found, key=lambda standing: -standing.average)


def valued(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """Return a value with its interval, or with the words that it has none."""
    return f"{value:z.{digits}f} {interval_text(low, high, digits) or '(no interval)'}"


def on_base(run: RunData, base: str | None) -> str:
    """Return " on BASE" where the run has several base models."""
    return f" on {base or 'no base model'}" if len(run.base_models) > 1 else ""


class Comparisons:
    """The tested differences between the averages of the methods on one base model.

    A difference is significant where its p-value after Holm's correction is below 0.05 and its interval is reliable.
    """

    def __init__(self, run: RunData, base: str | None) -> None:
        """Take the differences from the run."""
        self._on = on_base(run, base)
        self._rows = run.rows("differences", base_model=base, unit=TOKEN, subset=AVERAGE)

    def verdict(self, found: Sequence[Standing]) -> str:
        """Say whether there is a best method, of two or more."""
        tested = [row for row in self._rows if row["adjusted_p"] is not None]
        first, second = found[:2]
        if not tested:
            return f"The run has no tested differences between averages{self._on}, so it ranks no method above another."
        if not any(_significant(row) for row in tested):
            return (
                f"No difference between two methods' averages{self._on} is significant after Holm's correction "
                f"({len(tested)} compared), so this run ranks no method above another."
            )
        if self._beats(first, second):
            return f"{first.label} generalises best{self._on}."
        return f"No single method is shown to generalise best{self._on}."

    def leads(self, found: Sequence[Standing]) -> Iterator[str]:
        """Say how far the first of two or more lies above the next, and above the reference."""
        first, second = found[:2]
        yield f"Its lead over {second.label}, the next, is {self._lead(first, second)}."
        reference = next((standing for standing in found if standing.key.method == REFERENCE), None)
        if reference is None:
            yield f"There is no average of {REFERENCE.upper()}{self._on} to compare it with."
        elif reference not in (first, second):
            yield f"Its lead over {reference.label} is {self._lead(first, reference)}."

    def groups(self, found: Sequence[Standing]) -> Iterator[str]:
        """Say which of the others the first is told apart from, where it is from some."""
        first, *others = found
        below = [standing.label for standing in others if self._beats(first, standing)]
        if below and len(below) == len(others) > 1:
            yield f"It is significantly above all {len(others)} others."
        elif below and len(below) < len(others):
            yield f"It is significantly above {', '.join(below)}."
            yield f"Not told apart from it: {', '.join(s.label for s in others if s.label not in below)}."

    def _beats(self, first: Standing, second: Standing) -> bool:
        row, sign = self._between(first, second)
        return row is not None and _significant(row) and sign * row["difference"] > 0

    def _lead(self, first: Standing, second: Standing) -> str:
        row, sign = self._between(first, second)
        if row is None or row["difference"] is None:
            return "not tested"
        low, high = ((row["ci_low"], row["ci_high"]), (row["ci_high"], row["ci_low"]))[sign < 0]
        limits = (None if low is None else sign * low, None if high is None else sign * high)
        return f"{valued(sign * row['difference'], *limits)}, {_test_words(row)}"

    def _between(self, first: Standing, second: Standing) -> tuple[Row | None, int]:
        """Return the row that compares two methods, and -1 where it has them the other way round."""
        pair = (first.key.method, second.key.method)
        for row in self._rows:
            if (row["first"], row["second"]) == pair:
                return row, 1
            if (row["second"], row["first"]) == pair:
                return row, -1
        return None, 1


def _plain_average(run: RunData, key: MethodKey) -> float | None:
    rows = run.rows("remi", base_model=key.base_model, method=key.method, unit=TOKEN)
    values = [row["remi"] for row in rows if row["remi"] is not None]
    return statistics.fmean(values) if len(values) == len(run.subsets) else None


def _significant(row: Row) -> bool:
    return row["adjusted_p"] is not None and row["adjusted_p"] < SIGNIFICANT and bool(row["interval_reliable"])


def _test_words(row: Row) -> str:
    p = row["adjusted_p"]
    if p is None:
        return "which could not be tested"
    adjusted = f"adjusted {p_words(p)}"
    if _significant(row):
        return f"significant ({adjusted})"
    if p < SIGNIFICANT:
        few = f"fewer than {RELIABLE_CLUSTERS} personas or characters"
        return f"not counted as significant although {adjusted}: it rests on {few}"
    return f"not significant ({adjusted})"
