"""The report's answer in words: which method generalises best, where the risk is, and how sure that is.

Every sentence is made from the run's numbers by a rule that `answer` states. Nothing is called better without a test.
"""

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmark.subsets import SUBSET_KEYS
from reports.figures.words import counted, subset_words
from reports.run_data import TOKEN, MethodKey, Row, RunData
from reports.standings import Comparisons, on_base, standings, valued
from scoring.statistics import RELIABLE_CLUSTERS

BOUND_DIGITS = 4
"""Decimals of calibrated bounds, which are about 0.1 on the scale of the paper's Table 12."""
MOST_PARAGRAPHS_A_TOPIC = 2
"""With more base models their sentences stand in one paragraph."""


def answer(run: RunData) -> tuple[str, ...]:
    """Return three to six short paragraphs; a run without scores has one, which says so.

    - First the run's own caution, where it has one.
    - Best method, for each base model: the highest average R-EMI over the subsets, with its interval. A difference of
      averages counts as significant where its p-value after Holm's correction is below 0.05 and its interval is
      reliable. A method is said to generalise best only where its lead over the next one is significant. Where no
      difference is, the run is said to rank no method above another. Equal averages stand in the order of the specs.
    - Risk, for each base model: the subset with the largest calibrated bound and that with the largest R-EMID, with
      whether intervals of other subsets reach the bound and whether the R-EMID's interval holds zero.
    - How sure: how wide the intervals of R-EMI are, how many are unreliable or missing, and how many samples there are.

    What the run has no numbers for is said to be unknown. Values are in nats a token, intervals of 95 %.
    """
    caution = run.manifest.get("caution")
    first = [f"Caution: {caution}"] if caution else []
    if not run.methods:
        return (*first, "This run has no scores, so it answers neither question.")
    best = [_best(run, base) for base in run.base_models]
    risk = [_risk(run, base) for base in run.base_models]
    return (*first, *_joined(best), *_joined(risk), _certainty(run))


def subset_name(key: str) -> str:
    """Return a subset's name within a sentence."""
    return f"the {subset_words(key)} subset"


def bound_sentences(run: RunData, rows: Sequence[Row]) -> Iterator[str]:
    """Say where the largest of some calibrated bounds is, whose it is, and which other subsets come near it.

    Args:
        run: for the methods' labels.
        rows: of `bounds.json`, all with a bound, at least one.
    """
    top = max(sorted(rows, key=_place), key=lambda row: row["bound"])
    value = valued(top["bound"], top["bound_ci_low"], top["bound_ci_high"], BOUND_DIGITS)
    unreliable = "" if top["bound_ci_low"] is None or top["interval_reliable"] else ", an unreliable interval"
    where = f"{subset_name(top['subset'])} for {_whose(run, rows, top)}"
    yield f"The largest of the calibrated bounds is {value}{unreliable}, on {where}."
    others = {row["subset"] for row in rows} - {top["subset"]}
    reached = {r["subset"] for r in rows if r["bound_ci_high"] is not None and r["bound_ci_high"] >= top["bound"]}
    if others and top["bound_ci_high"] is not None:
        count = len(reached & others)
        found = f"{count} have" if count > 1 else f"{count or 'none'} has"
        yield f"Of {counted(len(others), 'other subset')} {found} an interval that reaches it."


def remid_sentence(run: RunData, rows: Sequence[Row]) -> str:
    """Say where the largest of some R-EMIDs is, whose it is, and whether it may be none.

    Args:
        run: for the methods' labels.
        rows: of `remid.json`, all with an R-EMID, at least one.
    """
    top = max(sorted(rows, key=_place), key=lambda row: row["remid"])
    label = run.label(MethodKey(top["base_model"], top["method"]))
    value = valued(top["remid"], top["ci_low"], top["ci_high"])
    where = f"{value} ({label} on {subset_name(top['subset'])}){_zero_words(top)}."
    if top["remid"] <= 0:
        return f"R-EMI falls nowhere from the in-distribution test; the largest of {len(rows)} R-EMIDs is {where}"
    return f"The largest of {len(rows)} R-EMIDs, falls of R-EMI from the in-distribution test, is {where}"


def _joined(paragraphs: Sequence[str]) -> Sequence[str]:
    return paragraphs if len(paragraphs) <= MOST_PARAGRAPHS_A_TOPIC else [" ".join(paragraphs)]


def _best(run: RunData, base: str | None) -> str:
    found = standings(run, base)
    on = on_base(run, base)
    if not found:
        return f"No method{on} has an average R-EMI: none has an estimate on every subset of the run."
    first = found[0]
    average = f"{valued(first.average, first.low, first.high)} nats a token over {len(run.subsets)} subsets"
    known = {standing.key for standing in found}
    without = [run.label(key) for key in run.methods if key.base_model == base and key not in known]
    left_out = [f"Without an average: {', '.join(without)}."] if without else []
    if len(found) == 1:
        only = f"{first.label} is the only method{on} with an average R-EMI: {average}. There is nothing to rank."
        return " ".join([only, *left_out])
    comparisons = Comparisons(run, base)
    highest = f"The highest average R-EMI is that of {first.label}: {average}."
    said = [comparisons.verdict(found), highest, *comparisons.leads(found), *comparisons.groups(found)]
    return " ".join([*said, *left_out])


def _risk(run: RunData, base: str | None) -> str:
    bounds = [row for row in run.rows("bounds", base_model=base, form="calibrated") if row["bound"] is not None]
    remids = [row for row in run.rows("remid", base_model=base, unit=TOKEN) if row["remid"] is not None]
    said = list(_bound_words(run, base, bounds))
    said.append(remid_sentence(run, remids) if remids else f"There is no R-EMID{on_base(run, base)}.")
    return " ".join(said)


def _bound_words(run: RunData, base: str | None, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield f"The run has no calibrated bounds{on_base(run, base)}, so where the risk is largest is not known."
        return
    top = max(sorted(rows, key=_place), key=lambda row: row["bound"])
    yield f"The risk{on_base(run, base)} is largest under {top['shift']} shift."
    yield from bound_sentences(run, rows)
    shifts = dict.fromkeys(row["shift"] for row in sorted(rows, key=_place))
    means = {s: statistics.fmean(row["bound"] for row in rows if row["shift"] == s) for s in shifts}
    if len(means) > 1:
        yield f"Mean bounds by shift: {', '.join(f'{shift} {mean:.{BOUND_DIGITS}f}' for shift, mean in means.items())}."
    yield f"This bound is {top['label']}."


def _place(row: Row) -> int:
    return SUBSET_KEYS.index(row["subset"])


def _whose(run: RunData, rows: Sequence[Row], top: Row) -> str:
    """Return the methods whose bound this is; calibrated bounds are mostly those of the inputs alone."""
    same = [row for row in rows if row["subset"] == top["subset"]]
    if len(same) > 1 and all(math.isclose(row["bound"], top["bound"], rel_tol=1e-9) for row in same):
        return "every method"
    return run.label(MethodKey(top["base_model"], top["method"]))


def _zero_words(row: Row) -> str:
    if row["ci_low"] is None:
        return ""
    holds = "holds zero" if row["ci_low"] <= 0 <= row["ci_high"] else "excludes zero"
    return f", whose {'' if row['interval_reliable'] else 'unreliable '}interval {holds}"


def _certainty(run: RunData) -> str:
    rows = [row for row in run.rows("remi", unit=TOKEN) if row["remi"] is not None]
    halves = [(row["ci_high"] - row["ci_low"]) / 2 for row in rows if row["ci_low"] is not None]
    if not halves:
        return f"How sure: not known. None of the {len(rows)} estimates of R-EMI has an interval."
    unreliable = sum(row["ci_low"] is not None and not row["interval_reliable"] for row in rows)
    return " ".join(
        [
            f"How sure: the intervals of R-EMI on single subsets are ±{statistics.median(halves):.3f} at the median "
            f"(±{min(halves):.3f} to ±{max(halves):.3f}).",
            f"Unreliable, on fewer than {RELIABLE_CLUSTERS} personas or characters: {unreliable} of {len(rows)}; "
            f"without an interval: {len(rows) - len(halves)}.",
            *_average_certainty(run),
            *_sizes(rows),
        ]
    )


def _average_certainty(run: RunData) -> Iterator[str]:
    rows = [row for row in run.rows("averages", unit=TOKEN) if row["ci_low"] is not None]
    if rows:
        half = statistics.median((row["ci_high"] - row["ci_low"]) / 2 for row in rows)
        unreliable = sum(not row["interval_reliable"] for row in rows)
        yield f"Those of averages are ±{half:.3f} at the median; unreliable: {unreliable} of {len(rows)}."


def _sizes(rows: Sequence[Row]) -> Iterator[str]:
    sizes = sorted(row["n_samples"] for row in rows)
    span = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
    unscored = sum(row["n_unscored"] for row in rows)
    yield f"Each rests on {span} samples" + (f"; {unscored} responses could not be scored." if unscored else ".")
