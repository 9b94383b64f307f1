"""One section for each shift that a run has: what it does to R-EMI, what it risks, and how far it lies away."""

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmark.statistics import SHIFT_LABELS
from benchmark.subsets import subset
from reports.contents import Section
from reports.figures.words import ID, UNITS, subset_words
from reports.run_data import TOKEN, MethodKey, Row, RunData
from reports.table import UNRELIABLE, Cell, Column, Table, interval_detail, label, number, words
from reports.words import bound_sentences, remid_sentence, subset_name
from scoring.statistics import RELIABLE_CLUSTERS

FORMS = {"calibrated": (4, "Calibrated"), "theorem": (1, "Theorem 3.4")}
"""Forms of the bound that are shown -> decimals and name; the third is a diagnostic and stands in the run's tables."""
COMPONENTS = {"user": "User persona", "character": "Agent character", "dialogue": "Dialogue", "joint": "All jointly"}
AT_FLOOR, UNREADABLE = "†", "‡"
INTERVALS = (
    "In small type: 95 % intervals, clustered by persona and character. "
    f"{UNRELIABLE} unreliable, on fewer than {RELIABLE_CLUSTERS} personas or characters."
)


def shift_sections(run: RunData) -> tuple[Section, ...]:
    """Return a section for each shift with subsets, in the order of Table 20."""
    return tuple(found for shift in SHIFT_LABELS if (found := _section(run, shift)) is not None)


def _section(run: RunData, shift: str) -> Section | None:
    keys = [key for key in run.subsets if subset(key).shift == shift]
    if not keys:
        return None
    tables = (_remi(run, shift, keys), _remid(run, shift, keys), _bounds(run, shift, keys), _divergences(run, keys))
    return Section(
        heading=SHIFT_LABELS[shift],
        tables=tuple(table for table in tables if table is not None),
        text=(" ".join(_remi_words(run, keys)), " ".join(_risk_words(run, shift)), *_divergence_words(run, keys)),
    )


def _remi_words(run: RunData, keys: Sequence[str]) -> Iterator[str]:
    yield f"Subsets: {', '.join(f'{subset_words(key)} ({subset(key).heading})' for key in keys)}."
    rows = [row for row in run.rows("remi", unit=TOKEN) if row["remi"] is not None]
    here = [row["remi"] for row in rows if row["subset"] in keys]
    inside = [row["remi"] for row in rows if row["subset"] == ID]
    if here:
        compared = f", against {statistics.fmean(inside):.3f} in distribution" if inside else ""
        yield f"R-EMI is {statistics.fmean(here):.3f} nats a token on average over methods and subsets{compared}."
    means = [(mean, run.label(key)) for key in run.methods if (mean := _mean(run, key, keys)) is not None]
    if len(means) > 1:
        (high, best), (low, worst) = max(means, key=lambda m: m[0]), min(means, key=lambda m: m[0])
        yield f"By method its mean goes from {low:.3f} ({worst}) to {high:.3f} ({best}); these means are not tested."


def _risk_words(run: RunData, shift: str) -> Iterator[str]:
    remids = [row for row in run.rows("remid", unit=TOKEN, shift=shift) if row["remid"] is not None]
    if remids:
        yield remid_sentence(run, remids)
        above = sum(row["ci_low"] is not None and row["ci_low"] > 0 for row in remids)
        yield f"The interval lies above zero for {above} of {len(remids)}."
    else:
        yield "There is no R-EMID under this shift."
    bounds = [row for row in run.rows("bounds", form="calibrated", shift=shift) if row["bound"] is not None]
    yield from bound_sentences(run, bounds) if bounds else ["There are no calibrated bounds under this shift."]


def _divergence_words(run: RunData, keys: Sequence[str]) -> Iterator[str]:
    rows = [row for row in run.scores["divergences"] if row["subset"] in keys and row["raw"] is not None]
    parts = [row for row in rows if row["component"] != "joint"]
    if not parts:
        return
    top = max(parts, key=lambda row: row["raw"])
    what = f"{COMPONENTS[top['component']].lower()}s of {subset_name(top['subset'])}"
    floor = "" if top["null_mean"] is None else f", with a floor of {top['null_mean']:.3f}"
    at_floor = sum(_is_at_floor(row) for row in parts)
    yield (
        f"Inputs differ most from the in-distribution test in {what}: {top['raw']:.3f} nats of at most "
        f"{math.log(2):.3f}{floor}. {at_floor} of {len(parts)} divergences of single components are within what two "
        "halves of one set show."
    )


def _mean(run: RunData, key: MethodKey, keys: Sequence[str]) -> float | None:
    """Return a method's mean R-EMI over subsets; None unless it has an estimate on each."""
    rows = run.rows("remi", base_model=key.base_model, method=key.method, unit=TOKEN)
    values = [row["remi"] for row in rows if row["subset"] in keys and row["remi"] is not None]
    return statistics.fmean(values) if len(values) == len(keys) else None


def _remi(run: RunData, shift: str, keys: Sequence[str]) -> Table:
    shown = [*(key for key in run.subsets if key == ID), *keys]
    rows = tuple(
        (label(run.label(key)), *_estimates(run, "remi", key, shown), number(_mean(run, key, keys)))
        for key in run.methods
    )
    columns = (Column("method", "Method", "left"), *_columns(shown), Column("mean", "Mean of shift"))
    title = f"R-EMI under {shift} shift, nats a token"
    notes = ("Higher is better.", INTERVALS)
    return Table(f"{shift}_remi", title, columns, rows, notes, ("scores/remi.json",))


def _remid(run: RunData, shift: str, keys: Sequence[str]) -> Table | None:
    if not run.rows("remid", shift=shift):
        return None
    rows = tuple((label(run.label(key)), *_estimates(run, "remid", key, keys)) for key in run.methods)
    columns = (Column("method", "Method", "left"), *_columns(keys))
    title = f"R-EMID under {shift} shift, nats a token"
    notes = ("R-EMI in distribution less R-EMI on the subset: higher is worse.", INTERVALS)
    return Table(f"{shift}_remid", title, columns, rows, notes, ("scores/remid.json",))


def _estimates(run: RunData, name: str, key: MethodKey, keys: Sequence[str]) -> Iterator[Cell]:
    rows = run.rows(name, base_model=key.base_model, method=key.method, unit=TOKEN)
    by_subset = {row["subset"]: row for row in rows}
    for subset_key in keys:
        row = by_subset.get(subset_key)
        yield number(None) if row is None else _estimate(row, row[name], "", 3)


def _estimate(row: Row, value: float | None, prefix: str, digits: int) -> Cell:
    low, high = row[f"{prefix}ci_low"], row[f"{prefix}ci_high"]
    return number(value, digits, detail=interval_detail(low, high, row["interval_reliable"], digits))


def _bounds(run: RunData, shift: str, keys: Sequence[str]) -> Table | None:
    rows = tuple(row for form in FORMS for row in _bound_rows(run, shift, form, keys))
    columns = (Column("form", "Form", "left"), Column("method", "Method", "left"), *_columns(keys))
    if not rows:
        return None
    stored = [row for row in run.rows("bounds", shift=shift) if row["form"] in FORMS]
    units = {FORMS[row["form"]][1]: UNITS[row["unit"]] for row in stored}
    labels = dict.fromkeys(f"{FORMS[row['form']][1]}: {row['label']}." for row in stored)
    scale = f"{'; '.join(f'{name}: beside R-EMID in {unit}' for name, unit in units.items())}."
    title = f"Bounds on R-EMID under {shift} shift"
    return Table(f"{shift}_bounds", title, columns, rows, (*labels, scale, INTERVALS), ("scores/bounds.json",))


def _bound_rows(run: RunData, shift: str, form: str, keys: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    """Yield a row for each method, or one for all where they are the same."""
    digits, name = FORMS[form]
    rows = {
        key: tuple(_bound_cells(run.rows("bounds", shift=shift, form=form, **key._asdict()), keys, digits))
        for key in run.methods
        if run.rows("bounds", shift=shift, form=form, **key._asdict())
    }
    same = len(set(rows.values())) == 1 < len(rows)
    for key, cells in list(rows.items())[: 1 if same else None]:
        yield words(name), words("every method") if same else label(run.label(key)), *cells


def _bound_cells(rows: Sequence[Row], keys: Sequence[str], digits: int) -> Iterator[Cell]:
    by_subset = {row["subset"]: row for row in rows}
    for key in keys:
        row = by_subset.get(key)
        yield number(None) if row is None else _estimate(row, row["bound"], "bound_", digits)


def _divergences(run: RunData, keys: Sequence[str]) -> Table | None:
    stored = {(row["component"], row["subset"]): row for row in run.scores["divergences"]}
    present = [name for name in COMPONENTS if any((name, key) in stored for key in keys)]
    if not present:
        return None
    rows = tuple((words(COMPONENTS[name]), *(_divergence(stored.get((name, key))) for key in keys)) for name in present)
    columns = (Column("component", "Component", "left"), *_columns(keys))
    notes = (
        "Jensen–Shannon divergences of embeddings from the in-distribution test. In small type: the floor, which two "
        "halves of that test show on average.",
        f"{AT_FLOOR} not above what 95 % of such halves show. {UNREADABLE} the embedding's tokenizer cannot read the "
        "script, so that this measures the script.",
    )
    title = "How far the inputs lie away, nats"
    return Table(f"{subset(keys[0]).shift}_divergences", title, columns, rows, notes, ("scores/divergences.json",))


def _divergence(row: Row | None) -> Cell:
    if row is None or row["raw"] is None:
        return number(None)
    mark = f"{AT_FLOOR if _is_at_floor(row) else ''}{UNREADABLE if row['measures_script'] else ''}"
    floor = row["null_mean"]
    return number(row["raw"], mark=mark, detail="" if floor is None else f"floor {floor:.3f}")


def _is_at_floor(row: Row) -> bool:
    return row["null_q95"] is not None and row["raw"] <= row["null_q95"]


def _columns(keys: Sequence[str]) -> list[Column]:
    return [Column(key, subset_words(key)) for key in keys]
