"""A finding of the paper put to the test: what was found, and whether the numbers are enough to say so.

A finding holds, or does not hold, where its test reaches 0.05 in one direction or the other; else it is not decidable
at this size. Nothing is decided by unreliable intervals, nor by what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.table import p_text
from reports.tables.notes import LEVEL
from scoring.agreement import sign_test

Verdict = Literal["holds", "does not hold", "not decidable at this size"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
OPEN: Verdict = "not decidable at this size"


@dataclass(frozen=True)
class Finding:
    """A claim of the paper with what the numbers say of it."""

    key: str
    base_model: str | None
    """Whose numbers these are: a run's base model, or the paper's."""
    statement: str
    verdict: Verdict
    evidence: str
    """The numbers."""
    test: str
    """What the verdict rests on."""


def verdict_of_signs(n_for: int, n: int) -> Verdict:
    """Return the verdict of a two-sided sign test, `n_for` of n signs being as the finding says."""
    p = sign_test(n_for, n)
    if p is None or p > LEVEL:
        return OPEN
    return HOLDS if 2 * n_for > n else FAILS


def verdict_of_interval(low: float | None, high: float | None, *, reliable: bool) -> Verdict:
    """Return the verdict of a 95 % interval of what the finding says to be above zero."""
    if low is None or high is None or not reliable or low <= 0 <= high:
        return OPEN
    return HOLDS if low > 0 else FAILS


def verdict_of_p(value: float, p: float | None, *, reliable: bool) -> Verdict:
    """Return the verdict of a two-sided p-value of what the finding says to be above zero."""
    if p is None or not reliable or p > LEVEL:
        return OPEN
    return HOLDS if value > 0 else FAILS


def joint_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of a finding that needs all its parts: it holds with all, and fails with any."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else OPEN


def signs_text(n_for: int, n: int, what: str) -> str:
    """Return counts of something with the p-value of their sign test, as within a sentence."""
    p = sign_test(n_for, n)
    return f"{n_for} of {n} {what}" if p is None else f"{n_for} of {n} {what} (p {p_text(p)})"
