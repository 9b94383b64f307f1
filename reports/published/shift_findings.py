"""The paper's first finding, that user shift carries the greatest risk, by the bound and by R-EMID itself.

The paper reads it off the bound (Figure 7). R-EMID, which the bound is to bound, is tested beside it. R-EMID under one
shift less that under another is R-EMI with its sign turned, as the in-distribution term is in both; so R-EMI is
compared, whose intervals are narrower. Methods are not counted for the calibrated bound: it depends on the inputs alone
and is the same for all.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

import scipy.stats

from benchmark.published import published_bound_terms
from benchmark.subsets import SUBSET_KEYS, subset
from reports.published.compared import published_scores
from reports.published.finding import (
    OPEN,
    Finding,
    Verdict,
    joint_verdict,
    signs_text,
    verdict_of_interval,
    verdict_of_p,
    verdict_of_signs,
)
from reports.published.shift_gaps import OTHERS, SHIFTS, Estimates, Gap, ShiftEstimate, estimates_of, gaps, under
from reports.run_data import TOKEN, Row, RunData
from reports.table import cut, interval_detail, p_text

BOUND = "user_shift_bound"
LOSS = "user_shift_remid"
STATEMENTS = {
    BOUND: "User shift carries the greatest risk: its mean upper bound is above those of character and dialogue shift.",
    LOSS: "User shift costs most: its mean R-EMID is above those of character and dialogue shift.",
}
PUBLISHED_BOUNDS_OF = "Qwen3-4B"
"""The base model of which the paper prints bounds, for SFT alone (Table 12)."""
WORD_LEVEL = "word_level"
_BY_INTERVAL = "Intervals of both differences of means, between opposite ends."
_BY_RANKS = "Exact rank-sum test of the user subsets against the others, indicative."
_BY_METHODS = "Two-sided sign tests over methods, indicative."


def bound_finding(run: RunData, base_model: str | None) -> Finding:
    """Test the calibrated bounds on a base model, those on the scale of the paper's."""
    rows = run.rows("bounds", form="calibrated", base_model=base_model)
    found = estimates_of(rows, "bound", "bound_ci")
    evidence = [_means("Mean calibrated bound", found, 4), _gaps_text("Bound", gaps(found), 4), *_lacking(rows, found)]
    return _finding(BOUND, base_model, _verdict_of_gaps(gaps(found)), evidence, _BY_INTERVAL)


def loss_finding(run: RunData, base_model: str | None) -> Finding:
    """Test R-EMID a token on a base model, over the methods that have an estimate on each shifted subset."""
    rows = run.rows("remi", unit=TOKEN, base_model=base_model)
    found = estimates_of(rows, "remi", "ci", sign=-1)
    counts = [f"that under {gap.other} shift for {gap.n_above} of {gap.n_methods} methods" for gap in gaps(found)]
    evidence = [
        _means("Mean R-EMI", found, 3, sign=-1),
        _gaps_text("R-EMID", gaps(found), 3),
        _counts_text(counts),
        *_lacking(rows, found),
    ]
    return _finding(LOSS, base_model, _verdict_of_gaps(gaps(found)), evidence, _BY_INTERVAL)


def published_bound_finding(base: str) -> Finding:
    """Test the bounds of the paper's Table 12, subsets against subsets, as it prints no intervals."""
    only = f"The paper prints bounds for SFT on {PUBLISHED_BOUNDS_OF} alone (Table 12)."
    if base != PUBLISHED_BOUNDS_OF:
        return _finding(BOUND, base, OPEN, [only], _BY_RANKS)
    rows = published_bound_terms()
    user, others = ([row.bound for row in rows if (row.shift == "user") == is_user] for is_user in (True, False))
    pairs, p = (float(value) for value in scipy.stats.mannwhitneyu(user, others, method="exact"))
    means = _means("Mean bound", {"SFT": {row.subset: ShiftEstimate(row.bound) for row in rows}}, 4)
    above = f"User above others in {pairs:.0f} of {len(user) * len(others)} pairs of subsets (p {p_text(p)})."
    verdict = verdict_of_p(fmean(user) - fmean(others), p, reliable=True)
    return _finding(BOUND, base, verdict, [means, above, only], _BY_RANKS)


def published_loss_finding(base: str) -> Finding:
    """Test R-EMI of the paper's Table 20, method by method, as it prints no intervals."""
    scores = published_scores(base)
    shifted = [key for key in SUBSET_KEYS if subset(key).shift in SHIFTS]
    found = {method: {key: ShiftEstimate(-of[key]) for key in shifted} for method, of in scores.items()}
    signs = {gap.other: (gap.n_above, gap.n_methods) for gap in gaps(found)}
    counts = [f"that under {other} shift for {signs_text(*pair, 'methods')}" for other, pair in signs.items()]
    positive = sum(of[WORD_LEVEL] > 0 for of in scores.values())
    word_level = f"On word-level composition R-EMI is above zero for {positive} of {len(scores)} methods."
    evidence = [_means("Mean R-EMI", found, 3, sign=-1), _counts_text(counts), word_level]
    verdict = joint_verdict([verdict_of_signs(*pair) for pair in signs.values()])
    return _finding(LOSS, base, verdict, evidence, _BY_METHODS)


def _finding(key: str, base: str | None, verdict: Verdict, evidence: Iterable[str], test: str) -> Finding:
    return Finding(key, base, STATEMENTS[key], verdict, " ".join(filter(None, evidence)), test)


def _verdict_of_gaps(found: Sequence[Gap]) -> Verdict:
    """Return the verdict of the gaps to both other shifts."""
    verdicts = [verdict_of_interval(gap.low, gap.high, reliable=gap.reliable) for gap in found]
    return joint_verdict(verdicts if len(found) == len(OTHERS) else [*verdicts, OPEN])


def _means(what: str, found: Estimates, digits: int, *, sign: int = 1) -> str:
    means = {shift: [sign * one.value for one in under(found, shift)] for shift in SHIFTS}
    shown = ", ".join(f"{shift} {fmean(values):z.{digits}f}" for shift, values in means.items() if values)
    return f"{what}: {shown}." if shown else ""


def _gaps_text(what: str, found: Sequence[Gap], digits: int) -> str:
    shown = (
        f"user less {gap.other} shift {gap.difference:z.{digits}f} "
        + interval_detail(gap.low, gap.high, gap.reliable, digits)
        for gap in found
    )
    text = "; ".join(one.rstrip() for one in shown)
    return f"{what}, {text}." if text else ""


def _counts_text(counts: Sequence[str]) -> str:
    return f"R-EMID under user shift is above {' and '.join(counts)}." if counts else ""


def _lacking(rows: Iterable[Row], found: Estimates) -> Iterator[str]:
    """Say which shifts and methods the numbers lack."""
    if lacking := [shift for shift in SHIFTS if not under(found, shift)]:
        yield f"No such numbers under {', '.join(lacking)} shift."
    shifted = dict.fromkeys(row["method"] for row in rows if row["shift"] in SHIFTS)
    if left_out := [cut(method) for method in shifted if method not in found]:
        yield f"Left out, as estimates are missing: {', '.join(left_out)}."
