"""How much larger a quantity is under user shift than under another, over methods and subsets, with an interval.

The interval of a difference of means runs between opposite ends: the mean of the one's lower ends less the mean of the
other's upper ends, and the reverse. However estimates depend on each other, the standard error of their mean is at most
the mean of their standard errors, so this is wide enough. Counting methods is not: they share their samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmark.subsets import Shift, subset
from reports.run_data import Row

OTHERS: tuple[Shift, Shift] = ("character", "dialogue")
SHIFTS: tuple[Shift, ...] = ("user", *OTHERS)


@dataclass(frozen=True)
class ShiftEstimate:
    """An estimate for a method on a shifted subset; without ends where it has no interval."""

    value: float
    low: float | None = None
    high: float | None = None
    reliable: bool = True


Estimates = Mapping[str, Mapping[str, ShiftEstimate]]
"""Method -> shifted subset -> estimate; each method has the same subsets."""


@dataclass(frozen=True)
class Gap:
    """The mean under user shift less that under another shift, over methods and subsets."""

    other: Shift
    difference: float
    low: float | None
    high: float | None
    reliable: bool
    """Whether all intervals are."""
    n_above: int
    """Methods for which it is above zero."""
    n_methods: int
    """Methods for which it is not zero."""


def estimates_of(rows: Iterable[Row], field: str, interval: str, *, sign: int = 1) -> Estimates:
    """Return the estimates under shift of the methods that have one on each subset that any has, times the sign."""
    found: dict[str, dict[str, ShiftEstimate]] = {}
    for row in rows:
        if row[field] is not None and row["shift"] in SHIFTS:
            low, high = (_times(sign, row[f"{interval}_{end}"]) for end in ("low", "high")[::sign])
            one = ShiftEstimate(sign * row[field], low, high, bool(row["interval_reliable"]))
            found.setdefault(row["method"], {})[row["subset"]] = one
    subsets = {key for of in found.values() for key in of}
    return {method: of for method, of in found.items() if of.keys() == subsets}


def gaps(found: Estimates) -> list[Gap]:
    """Return the gaps to the other shifts that have estimates, as user shift has."""
    return [_gap(found, other) for other in OTHERS if under(found, "user") and under(found, other)]


def under(found: Estimates, shift: Shift) -> list[ShiftEstimate]:
    """Return all estimates under a shift."""
    return [one for of in found.values() for key, one in of.items() if subset(key).shift == shift]


def _gap(found: Estimates, other: Shift) -> Gap:
    user, others = under(found, "user"), under(found, other)
    differences = [_difference({method: of}, other) for method, of in found.items()]
    return Gap(
        other=other,
        difference=_difference(found, other),
        low=_less([one.low for one in user], [one.high for one in others]),
        high=_less([one.high for one in user], [one.low for one in others]),
        reliable=all(one.reliable for one in (*user, *others)),
        n_above=sum(difference > 0 for difference in differences),
        n_methods=sum(difference != 0 for difference in differences),
    )


def _difference(found: Estimates, other: Shift) -> float:
    return fmean(one.value for one in under(found, "user")) - fmean(one.value for one in under(found, other))


def _less(ends: Sequence[float | None], other_ends: Sequence[float | None]) -> float | None:
    known, others = ([end for end in of if end is not None] for of in (ends, other_ends))
    whole = len(known) == len(ends) and len(others) == len(other_ends)
    return fmean(known) - fmean(others) if whole else None


def _times(sign: int, value: float | None) -> float | None:
    return None if value is None else sign * value
