"""The tables of a study of degradations, from what `degradations.json` holds.

A kind of damage fell where the whole interval of its slope lies below zero, and rose where it lies above; everything
else is undecided. Unreliable intervals are marked, not left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.degradation import Kind
from benchmark.statistics import SHIFT_LABELS
from benchmark.subsets import subset
from recipes.degradation_content import Row, kind_words
from recipes.degradation_trends import AVERAGE
from reports.table import UNRELIABLE, Cell, Column, Table, interval_detail, label, number, p_text, words
from scoring.statistics import RELIABLE_CLUSTERS

Content = Mapping[str, Any]
VERDICTS = ("fell", "undecided", "rose", "no estimate")
UNIT_WORDS = {
    "nats_per_token": "nats a token",
    "nats_per_response": "nats a response",
    "nats_per_embedding": "nats an embedding",
}
DIGITS = {"nats_per_token": 3, "nats_per_response": 2, "nats_per_embedding": 4}
"""Decimals of values, by unit."""
DAMAGES: Mapping[Kind, str] = {
    "swapped": "the golden response of another sample of the subset",
    "wrong_character": "the golden response of a sample of the subset with another character",
    "wrong_language": "a golden response in another script",
    "shuffled": "its own words in random order; characters, where a script puts no spaces",
    "truncated": "the first half of its own words or characters",
    "filler_added": "its own response, and behind it a sentence that says nothing",
    "filler_only": "a sentence that says nothing",
}
CSV_FIELDS = (
    *("measure", "label", "quantity", "unit", "kind", "subset", "share", "value", "ci_low", "ci_high"),
    *("interval_reliable", "step", "step_ci_low", "step_ci_high", "step_rises", "step_rises_surely"),
    *("slope", "slope_ci_low", "slope_ci_high", "slope_reliable", "p_value", "adjusted_p"),
    *("n_samples", "n_clusters", "n_subsets"),
)
_SLOPE_FIELDS = {
    **{"slope": "slope", "slope_ci_low": "ci_low", "slope_ci_high": "ci_high", "slope_reliable": "interval_reliable"},
    **{name: name for name in ("p_value", "adjusted_p", "n_samples", "n_clusters", "n_subsets")},
}
_STEP_FIELDS = {
    **{"step": "difference", "step_ci_low": "ci_low", "step_ci_high": "ci_high"},
    **{"step_rises": "rises", "step_rises_surely": "rises_surely"},
}


def verdict(slope: Row) -> str:
    """Return which of `VERDICTS` a row of slopes is."""
    if slope["slope"] is None:
        return "no estimate"
    if slope["ci_low"] is None or slope["ci_low"] <= 0 <= slope["ci_high"]:
        return "undecided"
    return "fell" if slope["ci_high"] < 0 else "rose"


def verdict_table(content: Content) -> Table:
    """Return which kinds fell on average over the subsets, a row a measure and unit."""
    columns = [Column("measured_by", "Measured by", "left"), Column("unit", "Unit", "left")]
    columns += [Column(name.replace(" ", "_"), name.capitalize(), "left") for name in VERDICTS]
    rows = []
    for measure in content["measures"]:
        for unit in measure["units"]:
            slopes = list(_slopes(content, measure["name"], unit))
            found = [", ".join(_kind(row) for row in slopes if verdict(row) == name) for name in VERDICTS]
            rows.append((_measured_by(measure), words(UNIT_WORDS[unit], value=unit), *(words(text) for text in found)))
    return Table("degradations_verdict", "What fell", tuple(columns), tuple(rows), tuple(_verdict_notes(content)))


def side_by_side_table(content: Content) -> Table:
    """Return the slopes on average over the subsets: a row a kind, the measures side by side, each in its main unit."""
    columns = [Column("kind", "Kind", "left")]
    for measure in content["measures"]:
        unit = UNIT_WORDS[measure["units"][0]]
        columns += [
            Column(f"slope_{measure['name']}", f"{measure['quantity']} ({measure['name']}), {unit}"),
            Column(f"steps_{measure['name']}", "Rising", "left"),
        ]
    rows = []
    for kind in content["settings"]["kinds"]:
        cells = [cell for measure in content["measures"] for cell in _beside(content, measure, kind)]
        rows.append((words(kind_words(kind), value=kind), *cells))
    notes = (
        "Slope: what is gained from no damage to all responses damaged, on average over the subsets, with its 95 % "
        "interval. *: the whole interval lies on one side of zero.",
        "Rising: steps from one share to the next where the value grows though more is damaged; surely: the whole "
        "interval of the step lies above zero.",
        _unreliable_note(),
    )
    title = "Slopes side by side"
    return Table("degradations_beside", title, tuple(columns), tuple(rows), notes, ("degradations.json",))


def _beside(content: Content, measure: Row, kind: str) -> tuple[Cell, Cell]:
    (slope,) = _slopes(content, measure["name"], measure["units"][0], kind=kind)
    steps = _matching(content["steps"], slope)
    rise, surely = (sum(step[name] for step in steps) for name in ("rises", "rises_surely"))
    said = f"{rise} of {len(steps)}{f', {surely} surely' if surely else ''}"
    return _slope_cell(slope, mark="*" if verdict(slope) in ("fell", "rose") else ""), words(said if steps else "")


def _slope_cell(slope: Row, mark: str = "") -> Cell:
    digits = DIGITS[slope["unit"]]
    interval = interval_detail(slope["ci_low"], slope["ci_high"], slope["interval_reliable"], digits)
    return number(slope["slope"], digits, mark=mark, detail=interval)


def _kind(slope: Row) -> str:
    return f"{kind_words(slope['kind'])}{UNRELIABLE if slope['interval_reliable'] is False else ''}"


def _verdict_notes(content: Content) -> Iterator[str]:
    sizes = ", ".join(f"{key} {found['n_samples']}" for key, found in content["subsets"].items())
    yield f"Benchmark: {content['benchmark']}. Samples: {sizes}."
    yield (
        "Slope: of the least-squares line of the value over the share of damaged responses, on average over the "
        "subsets. Fell: its whole 95 % interval lies below zero; rose: above; undecided: neither."
    )
    yield (
        "Only swapped responses have to fall, and only with exact likelihoods: in expectation their slope is then "
        "-N / (N - 1) times the golden responses' CLUB on N samples. The other damages are ones that a metric ought to "
        "notice, and may not."
    )
    yield _unreliable_note()


def _unreliable_note() -> str:
    return f"{UNRELIABLE}: the interval rests on fewer than {RELIABLE_CLUSTERS} personas or characters."


def average_table(content: Content, *, per_response: bool = False) -> Table:
    """Return slopes, values at each share and steps that rise, on average over subsets: a row a kind and measure.

    Args:
        content: of the study.
        per_response: R-EMI in nats a response instead of every measure in its main unit.
    """
    shares = content["settings"]["shares"]
    columns = (
        Column("kind", "Kind", "left"),
        Column("measured_by", "Measured by", "left"),
        Column("slope", "Slope"),
        Column("adjusted_p", "p"),
        *(Column(f"share_{100 * share:.0f}", f"{100 * share:.0f} %") for share in shares),
        Column("rises", "Steps that rise", "left"),
    )
    measures = [m for m in content["measures"] if not per_response or len(m["units"]) > 1]
    rows = []
    for kind in content["settings"]["kinds"]:
        for measure in measures:
            unit = measure["units"][1 if per_response else 0]
            rows.append(_average_row(content, measure, unit, kind, shares))
    units = dict.fromkeys((m["quantity"], m["units"][1 if per_response else 0]) for m in measures)
    in_units = "; ".join(f"{quantity} in {UNIT_WORDS[unit]}" for quantity, unit in units)
    title = "R-EMI in nats a response" if per_response else "On average over the subsets"
    return Table(
        "degradations_response" if per_response else "degradations_average",
        title,
        columns,
        tuple(rows),
        (
            f"{in_units}, at each share of damaged responses. At 0 % nothing is damaged.",
            "Slope: what is gained from no damage to all responses damaged, with its 95 % interval. p: of the slope "
            "against zero, by Holm over all kinds and subsets of a measure.",
            "Steps that rise: shares between which the value grows though more is damaged; surely: the whole interval "
            "of the step lies above zero.",
            _unreliable_note(),
        ),
        ("degradations.json",),
    )


def _average_row(content: Content, measure: Row, unit: str, kind: str, shares: Sequence[float]) -> tuple[Cell, ...]:
    (slope,) = _slopes(content, measure["name"], unit, kind=kind)
    values = {row["share"]: row["value"] for row in _matching(content["points"], slope)}
    steps = [row for row in _matching(content["steps"], slope) if row["rises"]]
    return (
        words(kind_words(kind), value=kind),
        _measured_by(measure),
        _slope_cell(slope),
        Cell(slope["adjusted_p"], p_text(slope["adjusted_p"])),
        *(number(values[share], DIGITS[unit]) for share in shares),
        words("; ".join(_step_words(step) for step in steps)),
    )


def subset_table(content: Content) -> Table:
    """Return the slope of every kind and measure on every subset, in the measure's main unit."""
    keys = list(content["subsets"])
    columns = [Column("kind", "Kind", "left"), Column("measured_by", "Measured by", "left")]
    columns += [Column(key, subset(key).heading, group=SHIFT_LABELS.get(subset(key).shift, "")) for key in keys]
    rows = []
    for kind in content["settings"]["kinds"]:
        for measure in content["measures"]:
            slopes = {
                key: next(_slopes(content, measure["name"], measure["units"][0], kind=kind, subset=key)) for key in keys
            }
            digits = DIGITS[measure["units"][0]]
            cells = [number(row["slope"], digits, mark=_sure_mark(row)) for row in slopes.values()]
            rows.append((words(kind_words(kind), value=kind), _measured_by(measure), *cells))
    notes = (
        "Slopes, each measure in the unit of the table of averages. *: the whole 95 % interval lies on one side of "
        f"zero. {_unreliable_note()} –: too few samples.",
    )
    return Table("degradations_subsets", "Slopes by subset", tuple(columns), tuple(rows), notes, ("degradations.json",))


def _sure_mark(slope: Row) -> str:
    star = "*" if verdict(slope) in ("fell", "rose") else ""
    return star + (UNRELIABLE if slope["interval_reliable"] is False else "")


def rising_table(content: Content) -> Table:
    """Return every step that rises, by kind, measure and subset, in the measure's main unit."""
    columns = (
        Column("kind", "Kind", "left"),
        Column("measured_by", "Measured by", "left"),
        Column("subset", "Subset", "left"),
        Column("steps", "Steps that rise, and by how much", "left"),
    )
    rows = []
    for kind in content["settings"]["kinds"]:
        for measure in content["measures"]:
            named = {"measure": measure["name"], "kind": kind, "unit": measure["units"][0]}
            for key in (AVERAGE, *content["subsets"]):
                steps = [row for row in _matching(content["steps"], {**named, "subset": key}) if row["rises"]]
                if steps:
                    said = "; ".join(f"{_step_words(s)} {s['difference']:+.{DIGITS[s['unit']]}f}" for s in steps)
                    shown = words(key.replace("_", " "), value=key)
                    rows.append((words(kind_words(kind), value=kind), _measured_by(measure), shown, words(said)))
    rise, surely = (sum(step[name] for step in content["steps"]) for name in ("rises", "rises_surely"))
    notes = (f"Of {len(content['steps'])} steps in all units {rise} rise, {surely} of them surely.",)
    return Table("degradations_rising", "Where a value rises", columns, tuple(rows), notes)


def _step_words(step: Row) -> str:
    surely = " (surely)" if step["rises_surely"] else ""
    return f"{100 * step['smaller']:.0f} to {100 * step['larger']:.0f} %{surely}"


def damage_table(content: Content) -> Table:
    """Return what each kind of damage puts in the place of a golden response, with the study's notes."""
    columns = (Column("kind", "Kind", "left"), Column("damage", "In the place of the golden response", "left"))
    rows = tuple((words(kind_words(kind), value=kind), words(DAMAGES[kind])) for kind in content["settings"]["kinds"])
    return Table("degradations_kinds", "What was done", columns, rows, tuple(content["notes"]))


def points_table(content: Content) -> Table:
    """Return every value at every share with its step and slope, a row each, for CSV."""
    slopes = {_place(row): row for row in content["slopes"]}
    steps = {(*_place(row), row["larger"]): row for row in content["steps"]}
    measures = {measure["name"]: measure for measure in content["measures"]}
    rows = []
    for point in content["points"]:
        slope, step = slopes[_place(point)], steps.get((*_place(point), point["share"]))
        row = {**point, **{own: slope[name] for own, name in _SLOPE_FIELDS.items()}}
        row |= {own: None if step is None else step[name] for own, name in _STEP_FIELDS.items()}
        row |= {name: measures[point["measure"]][name] for name in ("label", "quantity")}
        rows.append(tuple(Cell(row[name], "") for name in CSV_FIELDS))
    return Table("degradations", "Degradations", tuple(Column(name, name) for name in CSV_FIELDS), tuple(rows))


def _measured_by(measure: Row) -> Cell:
    return label(f"{measure['quantity']}, {measure['label']}")


def _slopes(content: Content, measure: str, unit: str, **fields: str) -> Iterator[Row]:
    """Yield the slopes of a measure in a unit, of averages where no subset is asked for."""
    wanted = {"measure": measure, "unit": unit, "subset": AVERAGE, **fields}
    return (row for row in content["slopes"] if all(row[name] == value for name, value in wanted.items()))


def _matching(rows: Sequence[Row], like: Row) -> list[Row]:
    return [row for row in rows if _place(row) == _place(like)]


def _place(row: Row) -> tuple[str, str, str, str]:
    return row["measure"], row["kind"], row["subset"], row["unit"]
