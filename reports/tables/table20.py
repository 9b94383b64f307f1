"""The comparison table in the form of the paper's Table 20, as Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark.run_store import read_json, write_text
from benchmark.subsets import SUBSETS

UNIT = "nats_per_token"
"""The paper's scale."""
Key = tuple[str | None, str]
"""(base model, method); no base model for responses made elsewhere."""
FEW_CLUSTERS = 20
"""Clusters below which an interval is marked unreliable; see docs/validation.md."""


@dataclass(frozen=True)
class Table20:
    """R-EMI by method and subset; None where there is no estimate."""

    columns: tuple[str, ...]
    """Subset keys that the run has, in the paper's order."""
    rows: dict[Key, list[float | None]]
    """The columns' values and their mean, which is None unless every column has a value."""
    labels: dict[str, str]
    arithmetic: str
    """"exact" or "released"; the latter stands in every rendering."""
    notes: list[str]

    def best(self, base_model: str | None, column: int) -> float | None:
        """Return the highest value of a column among the methods on one base model."""
        values = [v[column] for (base, _), v in self.rows.items() if base == base_model]
        return max((value for value in values if value is not None), default=None)


def write_table20(run: Path) -> Path:
    """Write `tables/table20.{md,csv,tex}` from a run's scores and manifest; return the Markdown file."""
    table = build_table20(read_json(run / "scores" / "remi.json"), read_json(run / "manifest.json"))
    folder = run / "tables"
    write_text(folder / "table20.csv", as_csv(table))
    write_text(folder / "table20.tex", as_latex(table))
    write_text(folder / "table20.md", as_markdown(table))
    return folder / "table20.md"


def build_table20(scores: list[dict[str, Any]], manifest: dict[str, Any]) -> Table20:
    """Arrange the rows of `remi.json` in the unit of Table 20."""
    chosen = [row for row in scores if row["unit"] == UNIT]
    columns = tuple(s.key for s in SUBSETS if any(row["subset"] == s.key for row in chosen))
    values = {(row["base_model"], row["method"], row["subset"]): row["remi"] for row in chosen}
    keys = dict.fromkeys((row["base_model"], row["method"]) for row in chosen)
    specs = manifest["methods"]
    rows: dict[Key, list[float | None]] = {}
    for base, method in sorted(keys, key=lambda key: (key[0] or "", specs[key[1]]["order"])):
        cells = [values.get((base, method, column)) for column in columns]
        whole = [cell for cell in cells if cell is not None]
        rows[base, method] = [*cells, sum(whole) / len(whole) if len(whole) == len(cells) else None]
    labels = {name: spec["label"] for name, spec in specs.items()}
    arithmetic = ", ".join(sorted({row["arithmetic"] for row in chosen}))
    return Table20(columns, rows, labels, arithmetic, _notes(chosen, manifest))


def as_markdown(table: Table20) -> str:
    """Return the table with the best value of each column in bold, and its notes."""
    several = len({base for base, _ in table.rows}) > 1
    body = []
    for (base, method), cells in table.rows.items():
        shown = [_bold(cell, table.best(base, column)) for column, cell in enumerate(cells)]
        body.append([*([base or "–"] if several else []), table.labels[method], *shown])
    heads = [*(["Base model"] if several else []), _method_head(table), *_headings(table)]
    text = tabulate(body, headers=heads, tablefmt="github", disable_numparse=True, stralign="right")
    notes = "\n".join(f"- {note}" for note in table.notes)
    return f"# R-EMI by method and subset\n\n{text}\n\n{notes}\n"


def as_csv(table: Table20) -> str:
    """Return the table as CSV with full precision; a missing value is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["base_model", "method", "arithmetic", *table.columns, "average"])
    for (base, method), cells in table.rows.items():
        writer.writerow([base or "", method, table.arithmetic, *("" if cell is None else repr(cell) for cell in cells)])
    return buffer.getvalue()


def as_latex(table: Table20) -> str:
    """Return a `tabular` with the best value of each column in bold and the notes as comments."""
    body = []
    for (base, method), cells in table.rows.items():
        shown = [_bold(cell, table.best(base, i), r"\textbf{", "}") for i, cell in enumerate(cells)]
        body.append([_tex(base or "–"), _tex(table.labels[method]), *shown])
    heads = ["Base model", _method_head(table), *_headings(table)]
    text = tabulate(body, headers=heads, tablefmt="latex_raw", disable_numparse=True, stralign="right")
    return "".join(f"% {note}\n" for note in table.notes) + str(text) + "\n"


def _method_head(table: Table20) -> str:
    return "Method" if table.arithmetic == "exact" else f"Method ({table.arithmetic} arithmetic)"


def _tex(text: str) -> str:
    return re.sub(r"([_&%#$])", r"\\\1", text)


def _headings(table: Table20) -> list[str]:
    headings = {subset.key: subset.heading for subset in SUBSETS}
    return [*(headings[column] for column in table.columns), "Avg."]


def _bold(cell: float | None, best: float | None, left: str = "**", right: str = "**") -> str:
    if cell is None:
        return "–"
    shown = f"{cell:.3f}"
    return f"{left}{shown}{right}" if cell == best else shown


def _notes(scores: list[dict[str, Any]], manifest: dict[str, Any]) -> list[str]:
    """Say what the numbers are and what limits them."""
    sizes = sorted({row["n_samples"] for row in scores})
    notes = [manifest["caution"]] if manifest["caution"] else []
    notes += [
        "R-EMI in nats a token, higher is better; columns as in the paper's Table 20 (ID, user, character and "
        "dialogue shift); best of each column in bold.",
        f"Estimator: {manifest['estimator']['label']}; {_arithmetic(scores)}.",
        *(f"Training of the estimator: {_line(note)}." for note in manifest["estimator"].get("notes", [])),
        f"Samples a subset: {_span(sizes)}; {_interval_note(scores)}.",
    ]
    unscored = {
        (base, method): sum(row["n_unscored"] for row in scores if (row["base_model"], row["method"]) == (base, method))
        for base, method in dict.fromkeys((row["base_model"], row["method"]) for row in scores)
    }
    notes += [
        f"Unscored samples of {method}{f' on {base}' if base else ''}: {n}."
        for (base, method), n in unscored.items()
        if n
    ]
    for stage in manifest["stages"]:
        kind, _, method = stage["name"].partition("/")
        if kind == "reasoning":
            notes.append(_reasoning_note(stage["counts"]))
        elif kind == "responses":
            notes += _answer_notes(method, stage["counts"])
        elif kind in ("policy", "estimator"):
            notes += _training_notes(method or "the estimator", stage["counts"])
    return notes


def _training_notes(name: str, counts: Mapping[str, int]) -> list[str]:
    """Say where a training learned nothing, or ended before its time."""
    notes = []
    if flat := counts.get("steps_without_spread"):
        of = f"{flat} of {counts['steps']} steps"
        notes.append(f"Training of {name} learned nothing in {of}: all rewards were the same.")
    if counts.get("diverged"):
        notes.append(f"Training of {name} diverged; its adapter is that of iteration {counts['iterations']}.")
    return notes


def _arithmetic(scores: list[dict[str, Any]]) -> str:
    """Say which arithmetic made the numbers, and loudly so where it is not this project's own."""
    pairs = ", ".join(sorted({row["pairs"] for row in scores}))
    if any(row["arithmetic"] == "released" for row in scores):
        return f"ARITHMETIC OF THE RELEASED CODE, its faults included (negatives: {pairs})"
    return f"arithmetic: exact (negatives: {pairs})"


def _interval_note(scores: list[dict[str, Any]]) -> str:
    """Say how wide the 95 % intervals are and how many of them can be relied on."""
    known = [row for row in scores if row["ci_low"] is not None]
    if not known:
        return "no intervals: too few samples or clusters"
    halves = sorted((row["ci_high"] - row["ci_low"]) / 2 for row in known)
    unreliable = sum(not row["interval_reliable"] for row in known)
    note = f"95 % intervals (scores/remi.json) are +-{halves[0]:.3f} to +-{halves[-1]:.3f} nats a token"
    if not unreliable:
        return note
    return f"{note}; {unreliable} of {len(known)} are unreliable, with fewer than {FEW_CLUSTERS} personas or characters"


def _line(note: str) -> str:
    return " ".join(note.split()).rstrip(".")


def _reasoning_note(counts: dict[str, int]) -> str:
    """Say how much of the estimator's reasoning is not as it should be."""
    causes = {
        "unmarked": "without their marker (shown whole)",
        "empty": "empty",
        "cut_by_length": "cut by the length limit",
        "prompt_too_long": "not given because the prompt was longer than the context (shown as none)",
    }
    parts = ", ".join(f"{counts[key]} {cause}" for key, cause in causes.items())
    return f"Reasonings of the estimator, of {counts['samples']}: {parts}."


def _answer_notes(method: str, counts: dict[str, int]) -> list[str]:
    causes = {
        "cut_by_length": "cut by the length limit (scored without an end-of-turn token)",
        "prompt_too_long": "not given because the prompt was longer than the context",
        "malformed": "malformed (no thinking and answer between their tags; the whole text is scored)",
        "empty": "empty (scored as the end-of-turn token alone)",
    }
    return [
        f"Responses of {method} {cause}: {counts[key]} of {counts['samples']}."
        for key, cause in causes.items()
        if counts.get(key)
    ]


def _span(sizes: list[int]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
