"""Divergence terms and bounds on R-EMID: one method's in the form of the paper's Table 12, and all of them in full."""

from collections.abc import Iterator, Mapping, Sequence

from reports.run_data import MethodKey, Row, RunData
from reports.table import Cell, Column, Table, number, words
from reports.tables.columns import (
    REFERENCE,
    method_cells,
    method_columns,
    method_title,
    shift_words,
    sources,
    subset_words,
    with_bounds,
    with_bounds_columns,
)
from reports.tables.notes import caution, unreliable_note

COMPONENTS = {"user": "user", "character": "char.", "dialogue": "dial."}
"""Parts of an input whose distributions are compared, and their names in heads."""
UNITS = {"nats_per_response": "nats/response", "nats_per_token": "nats/token"}
_DIGITS: Mapping[str | None, int] = {"theorem": 1, "calibrated": 4, "corrected": 1}
"""Decimals of a bound: sums over a response are in the hundreds, bounds on the paper's scale about 0.1."""
_REMID_DIGITS: Mapping[str | None, int] = {"nats_per_response": 1, "nats_per_token": 3}
_SHIFT, _SUBSET = Column("shift", "Shift", "left"), Column("subset", "Subset", "left")
_SHOWN_FORMS = ("theorem", "calibrated")
"""What the table of one method has."""


def table12(run: RunData) -> Table | None:
    """Return divergences, floors and bounds of SFT by shifted subset (paper, Table 12); None without bounds.

    It is SFT on the first base model that has it, else the first method; the title says which. Divergences are those
    of the inputs in nats, raw and less the floor of finite samples. The theorem's bound is in nats a response, the
    calibrated one on the scale of the paper's table, each beside the R-EMID in its unit.
    """
    key = _chosen(run)
    if key is None:
        return None
    forms = {(row["subset"], row["form"]): row for row in _rows_of(run, key) if row["form"] in _SHOWN_FORMS}
    parts = {(row["subset"], row["component"]): row for row in run.scores["divergences"]}
    subsets = [name for name in run.subsets if any(subset == name for subset, _ in forms)]
    body = tuple(
        (shift_words(name), subset_words(name), *_divergences(name, forms, parts), *_bounds(name, forms))
        for name in subsets
    )
    used = sources(run, ("bounds", "divergences"), "manifest.json")
    title = f"Divergence terms and bounds on R-EMID: {method_title(run, key)}"
    return Table("table12", title, (_SHIFT, _SUBSET, *_columns()), body, tuple(_notes(run, list(forms.values()))), used)


def table12_all(run: RunData) -> Table | None:
    """Return the bounds of every method, subset and form in full; None without bounds."""
    rows = [row for key in run.methods for row in _rows_of(run, key)]
    if not rows:
        return None
    columns = (
        *method_columns(run),
        Column("shift", None, "left"),
        _SUBSET,
        Column("form", "Form", "left"),
        Column("unit", "Unit", "left"),
        *_divergence_columns(),
        Column("h_hat", "H-hat, nats"),
        Column("delta", "Delta, nats"),
        *with_bounds_columns("bound", "Bound"),
        Column("bound_bias_removed", "Bound less floor"),
        *with_bounds_columns("remid", "R-EMID"),
    )
    body = tuple(_whole_row(run, row) for row in rows)
    notes = (*_notes(run, rows), "Bounds and R-EMID are in the unit of their row.")
    used = sources(run, ("bounds",), "manifest.json")
    return Table("table12_all", "Divergence terms and bounds of all methods and forms", columns, body, notes, used)


def _rows_of(run: RunData, key: MethodKey) -> list[Row]:
    """Return a method's rows of bounds, subset by subset."""
    found = run.rows("bounds", base_model=key.base_model, method=key.method)
    return [row for name in run.subsets for row in found if row["subset"] == name]


def _chosen(run: RunData) -> MethodKey | None:
    bounded = [key for key in run.methods if any(row["form"] in _SHOWN_FORMS for row in _rows_of(run, key))]
    return next((key for key in bounded if key.method == REFERENCE), bounded[0] if bounded else None)


def _columns() -> Iterator[Column]:
    yield from _divergence_columns()
    for name, head in COMPONENTS.items():
        yield Column(f"jsd_{name}_bias_removed", head, group="Divergence less its floor, nats")
    theorem, calibrated = "Theorem 3.4, nats a response", "Calibrated"
    yield from with_bounds_columns("theorem_bound", "bound", theorem)
    yield Column("theorem_bound_bias_removed", "less floor", group=theorem)
    yield from with_bounds_columns("theorem_remid", "R-EMID", theorem)
    yield from with_bounds_columns("calibrated_bound", "scaled bound", calibrated)
    yield from with_bounds_columns("calibrated_remid", "R-EMID (nats a token)", calibrated)


def _divergence_columns() -> Iterator[Column]:
    group = "Divergence, nats"
    yield from (Column(f"jsd_{name}", f"D {head}", group=group) for name, head in COMPONENTS.items())
    yield Column("jsd_null", "floor", group=group)


def _divergences(
    name: str, forms: Mapping[tuple[str, str], Row], parts: Mapping[tuple[str, str], Row]
) -> Iterator[Cell]:
    row: Row = next((forms[name, form] for form in _SHOWN_FORMS if (name, form) in forms), {})
    yield from (number(row.get(f"jsd_{part}")) for part in COMPONENTS)
    yield number(row.get("jsd_null"))
    yield from (number(parts.get((name, part), {}).get("bias_removed")) for part in COMPONENTS)


def _bounds(name: str, forms: Mapping[tuple[str, str], Row]) -> Iterator[Cell]:
    theorem, calibrated = forms.get((name, "theorem"), {}), forms.get((name, "calibrated"), {})
    yield from _bound(theorem)
    yield _less_floor(theorem)
    yield from _remid(theorem)
    yield from _bound(calibrated)
    yield from _remid(calibrated)


def _bound(row: Row) -> tuple[Cell, Cell, Cell]:
    ends = row.get("bound_ci_low"), row.get("bound_ci_high"), row.get("interval_reliable")
    return with_bounds(row.get("bound"), *ends, _DIGITS.get(row.get("form"), 3))


def _less_floor(row: Row) -> Cell:
    return number(row.get("bound_bias_removed"), _DIGITS.get(row.get("form"), 3))


def _remid(row: Row) -> tuple[Cell, Cell, Cell]:
    ends = row.get("remid_ci_low"), row.get("remid_ci_high"), row.get("remid_interval_reliable")
    return with_bounds(row.get("remid"), *ends, _REMID_DIGITS.get(row.get("unit"), 3))


def _whole_row(run: RunData, row: Row) -> tuple[Cell, ...]:
    return (
        *method_cells(run, MethodKey(row["base_model"], row["method"])),
        shift_words(row["subset"]),
        subset_words(row["subset"]),
        words(row["form"]),
        words(str(UNITS.get(row["unit"], row["unit"])), value=row["unit"]),
        *(number(row[f"jsd_{name}"]) for name in (*COMPONENTS, "null")),
        number(row["h_hat"], 1),
        number(row["delta"]),
        *_bound(row),
        _less_floor(row),
        *_remid(row),
    )


def _notes(run: RunData, rows: Sequence[Row]) -> Iterator[str]:
    yield from caution(run)
    embeddings = ", ".join(sorted({str(row["embedding"]) for row in rows}))
    yield (
        f"Divergences are Jensen-Shannon divergences of embeddings ({embeddings}) between the in-distribution test and "
        "the subset, at equal sample sizes; ln 2 = 0.693 is the most. The floor is what two sets of in-distribution "
        "samples of that size give, as a mean of the components; each component has its own taken off, which can leave "
        "less than nothing where a subset reuses texts."
    )
    labels = dict.fromkeys((row["form"], row["label"]) for row in rows)
    yield from (f"{form.capitalize()} form: {label}." for form, label in labels)
    yield (
        "Intervals are 95 %; those of bounds hold the entropy term fixed. A bound less floor is made with the "
        "divergences less their floors, 0 where that is less than nothing."
    )
    yield unreliable_note()
    yield from _script_notes(run, {row["subset"] for row in rows})


def _script_notes(run: RunData, subsets: set[str]) -> Iterator[str]:
    """Say where an embedding cannot read the texts that it compares."""
    found = [row for row in run.scores["divergences"] if row.get("measures_script") and row["subset"] in subsets]
    if found:
        places = ", ".join(f"{subset_words(row['subset']).text} ({row['component']})" for row in found)
        yield f"The embedding cannot read the script of these texts, so that divergences measure it: {places}."
