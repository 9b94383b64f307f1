"""What stands below the tables of R-EMI: what the numbers are, what made them, and what limits them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.run_data import TOKEN, Row, RunData
from reports.table import UNRELIABLE, cut
from reports.tables.columns import REFERENCE, method_label
from scoring.statistics import RELIABLE_CLUSTERS

LEVEL = 0.05
"""Adjusted p-value below which a difference is marked."""


def table_notes(run: RunData) -> list[str]:
    """Return the notes of the comparison table."""
    rows = run.rows("remi", unit=TOKEN)
    return [
        *caution(run),
        "R-EMI in nats a token, higher is better; columns as in the paper's Table 20 (ID, user, character and "
        "dialogue shift); best of each column in bold.",
        *(_differences_note(run)),
        *estimator_notes(run),
        f"{_samples(rows)}; {interval_note(rows)}.",
        *_unscored_notes(run, rows),
        *(note for stage in run.manifest["stages"] for note in _stage_notes(stage)),
        *_answer_notes(run.manifest["stages"]),
        *_engine_notes(run.manifest),
    ]


def interval_table_notes(run: RunData) -> list[str]:
    """Return the notes of the table of intervals."""
    rows = run.rows("remi", unit=TOKEN)
    return [
        *caution(run),
        "95 % intervals of R-EMI in nats a token, clustered by persona and by character.",
        *estimator_notes(run),
        f"{_samples(rows)}; {interval_note(rows)}.",
        *([] if run.scores["averages"] else ["Averages have no intervals: the run has no scores/averages.json."]),
        unreliable_note(),
    ]


def caution(run: RunData) -> list[str]:
    """Return what the run's recipe warns of."""
    found = run.manifest.get("caution")
    return [found] if found else []


def estimator_notes(run: RunData) -> list[str]:
    """Say what the scores were made with."""
    estimator = run.manifest["estimator"]
    return [
        f"Estimator: {cut(str(estimator.get('label', 'not named')))}; {_arithmetic(run.rows('remi', unit=TOKEN))}.",
        *(f"Training of the estimator: {_line(note)}." for note in estimator.get("notes", [])),
    ]


def unreliable_note() -> str:
    """Say what the sign behind an interval means."""
    few = f"fewer than {RELIABLE_CLUSTERS} personas or characters"
    return f"Intervals with {UNRELIABLE} are unreliable: they rest on {few}."


def interval_note(rows: Sequence[Row]) -> str:
    """Say how wide the 95 % intervals of R-EMI are and how many of them can be relied on."""
    known = [row for row in rows if row["ci_low"] is not None]
    if not known:
        return "no intervals: too few samples or clusters"
    halves = sorted((row["ci_high"] - row["ci_low"]) / 2 for row in known)
    unreliable = sum(not row["interval_reliable"] for row in known)
    note = f"95 % intervals (scores/remi.json) are +-{halves[0]:.3f} to +-{halves[-1]:.3f} nats a token"
    if not unreliable:
        return note
    few = f"with fewer than {RELIABLE_CLUSTERS} personas or characters"
    return f"{note}; {unreliable} of {len(known)} are unreliable, {few}"


def _differences_note(run: RunData) -> Iterator[str]:
    """Say what the marks mean, or why there are none."""
    reference = method_label(run, REFERENCE)
    with_it = {key.base_model for key in run.methods if key.method == REFERENCE}
    if not with_it:
        yield f"No value is marked as different from {reference}: the run has no such method."
        return
    if not run.rows("differences", unit=TOKEN):
        yield f"No value is marked as different from {reference}: no methods were compared."
        return
    yield (
        f"A star behind a value: different from {reference} on the same base model, tested on paired samples, p < "
        f"{LEVEL} by Holm's correction over all pairs of methods, subsets and averages. Where intervals are "
        "unreliable, stars are too, and so is their absence."
    )
    for base in run.base_models:
        if base not in with_it:
            yield f"On {cut(base or 'no base model')} there is no {reference}, so nothing is marked there."


def _arithmetic(rows: Sequence[Row]) -> str:
    """Say which arithmetic made the numbers, and loudly so where it is not this project's own."""
    pairs = ", ".join(sorted({row["pairs"] for row in rows}))
    if any(row["arithmetic"] == "released" for row in rows):
        return f"ARITHMETIC OF THE RELEASED CODE, its faults included (negatives: {pairs})"
    return f"arithmetic: exact (negatives: {pairs})"


def _samples(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n_samples"] for row in rows})
    span = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else "".join(map(str, sizes)) or "none"
    return f"Samples a subset: {span}"


def _unscored_notes(run: RunData, rows: Sequence[Row]) -> Iterator[str]:
    for key in run.methods:
        count = sum(row["n_unscored"] for row in rows if (row["base_model"], row["method"]) == key)
        if count:
            base = f" on {cut(key.base_model)}" if key.base_model else ""
            yield f"Unscored samples of {cut(key.method)}{base}: {count}."


def _stage_notes(stage: Row) -> Iterator[str]:
    kind, _, method = stage["name"].partition("/")
    if kind == "reasoning":
        yield _reasoning_note(stage["counts"])
    elif kind in ("policy", "estimator"):
        yield from _training_notes(cut(method) or "the estimator", stage["counts"])


def _training_notes(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Say where a training learned nothing, or ended before its time."""
    if flat := counts.get("steps_without_spread"):
        of = f"{flat} of {counts['steps']} steps"
        yield f"Training of {name} learned nothing in {of}: all rewards were the same."
    if counts.get("diverged"):
        yield f"Training of {name} diverged; its adapter is that of iteration {counts['iterations']}."


def _reasoning_note(counts: Mapping[str, int]) -> str:
    """Say how much of the estimator's reasoning is not as it should be."""
    causes = {
        "unmarked": "without their marker (shown whole)",
        "empty": "empty",
        "cut_by_length": "cut by the length limit",
        "prompt_too_long": "not given because the prompt was longer than the context (shown as none)",
    }
    parts = ", ".join(f"{counts[key]} {cause}" for key, cause in causes.items())
    return f"Reasonings of the estimator, of {counts['samples']}: {parts}."


def _answer_notes(stages: Sequence[Row]) -> Iterator[str]:
    """Say of which methods how many responses are not as they should be, a sentence for each cause."""
    causes = {
        "cut_by_length": "cut by the length limit (scored without an end-of-turn token)",
        "prompt_too_long": "not given because the prompt was longer than the context",
        "malformed": "malformed (no thinking and answer between their tags; the whole text is scored)",
        "empty": "empty (scored as the end-of-turn token alone)",
    }
    counted = [(name, stage["counts"]) for stage in stages if (name := _answering(stage))]
    for key, cause in causes.items():
        found = [f"{name} {counts[key]} of {counts['samples']}" for name, counts in counted if counts.get(key)]
        if found:
            yield f"Responses {cause}: {', '.join(found)}."


def _answering(stage: Row) -> str:
    """Return the method whose responses a stage gave; an empty text where it gave none."""
    kind, _, method = stage["name"].partition("/")
    return cut(method) if kind == "responses" else ""


def _engine_notes(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say which engine gave whose responses, where it was not one for all."""
    methods: dict[str, list[str]] = {}
    for recipe, backend in zip(manifest.get("recipes", []), manifest.get("backends", []), strict=False):
        methods.setdefault(backend["backend"], []).append(cut(recipe["method"]))
    if len(methods) > 1:
        given = "; ".join(f"{engine}: {', '.join(dict.fromkeys(names))}" for engine, names in methods.items())
        yield (
            f"Responses come from more than one engine ({given}). Engines round differently, and that is part of the "
            "differences between methods."
        )


def _line(note: str) -> str:
    return " ".join(note.split()).rstrip(".")
