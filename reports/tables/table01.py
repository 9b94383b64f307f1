"""The ablation of the estimator in the form of the paper's Table 1, from the file that the ablation leaves in a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.run_store import read_json
from benchmark.statistics import SHIFT_LABELS
from reports.run_data import RunData
from reports.table import Cell, Column, Table, cut, label, words
from reports.tables.columns import with_bounds, with_bounds_columns
from reports.tables.notes import LEVEL, unreliable_note

FILE = "ablation/ablation.json"
FORMAT_VERSION = 1
"""Newest version of the file that is read."""
_HEADS = {"id": "ID", **SHIFT_LABELS}


def table01(run: RunData) -> Table | None:
    """Return held-out perplexity a token by variant of the estimator and group of subsets (paper, Table 1).

    A star stands behind a value whose variant differs from the first one after Holm's correction.

    Returns:
        None where the run has no ablation.

    Raises:
        UserMistakes: the file is of a newer version.
        RunFailure: the file is damaged.
    """
    path = run.folder / FILE
    if not path.is_file():
        return None
    found = read_json(path)
    _check_version(path, found)
    try:
        return _table(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunFailure(f"{path}: is damaged ({error!r}); make the ablation again") from error


def _table(found: dict[str, Any]) -> Table:
    rows = {(row["variant"], row["group"]): row for row in found["perplexity"]}
    groups = list(dict.fromkeys(group for _, group in rows))
    variants = dict.fromkeys(variant for variant, _ in rows)
    starred = {
        (name, row["group"])
        for row in found["differences"]
        for name in (row["first"], row["second"])
        if row["adjusted_p"] is not None and row["adjusted_p"] < LEVEL
    }
    first = next(iter(variants), None)

    def cells(variant: str) -> Iterator[Cell]:
        yield words(_shown(found, variant), value=variant)
        yield label(found["variants"].get(variant))
        for group in groups:
            row = rows.get((variant, group), {})
            ends = row.get("ci_low"), row.get("ci_high"), row.get("interval_reliable")
            mark = "*" if variant != first and (variant, group) in starred else ""
            shown, *bounds = with_bounds(row.get("perplexity"), *ends)
            yield Cell(shown.value, shown.text, mark=mark, detail=shown.detail)
            yield from bounds

    columns = [Column("variant", "Variant", "left"), Column("description", None, "left")]
    for group in groups:
        columns += with_bounds_columns(group, _HEADS.get(group, group))
    body = tuple(tuple(cells(variant)) for variant in variants)
    return Table("table01", "Perplexity of held-out golden responses", tuple(columns), body, _notes(found), (FILE,))


def _notes(found: dict[str, Any]) -> tuple[str, ...]:
    counts, used = found["counts"], ", ".join(map(str, found["folds_used"]))
    names = list(dict.fromkeys(row["variant"] for row in found["perplexity"]))
    return (
        "Perplexity a token of golden responses that nothing was trained on, lower is better, with 95 % intervals "
        f"clustered by persona and by character. Base model: {cut(str(found['base_model']))}; folds {used} of "
        f"{found['n_folds']}; {counts['compared']} of {counts['held_out']} held-out samples.",
        *(
            f"A star behind a value: different from {_shown(found, name)} on the same samples, p < {LEVEL} by Holm's "
            "correction over the table."
            for name in names[:1]
        ),
        unreliable_note(),
        *(f"{_shown(found, name)}: {text}." for name, text in found["variants"].items() if name in names),
        *found["notes"],
    )


def _shown(found: dict[str, Any], variant: str) -> str:
    return cut(str(found.get("labels", {}).get(variant, variant.replace("_", " "))))


def _check_version(path: Path, found: object) -> None:
    version = found.get("format_version") if isinstance(found, dict) else None
    if not isinstance(version, int):
        raise RunFailure(f"{path}: is damaged: it is no ablation; make the ablation again")
    if version > FORMAT_VERSION:
        problem = f"was written by a newer version (format {version}; this one reads up to {FORMAT_VERSION})"
        raise UserMistakes([Mistake(str(path), problem, "use that version of rpm-methods, or a newer one")])
