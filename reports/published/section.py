"""Everything about the published numbers as tables, for whatever shows tables."""

from collections.abc import Sequence

from reports.published.beside import beside_table
from reports.published.compared import PUBLISHED_FOLDER
from reports.published.finding import Finding
from reports.published.findings import published_findings, run_findings
from reports.published.order_and_signs import order_and_signs_table
from reports.run_data import RunData
from reports.table import Column, Table, label, words
from reports.tables.columns import sources
from reports.tables.notes import LEVEL, caution, unreliable_note

NAMES = ("published_beside", "published_agreement", "findings", "published_findings")
"""Of all tables that there can be."""
RULES = (
    f"A finding holds, or does not hold, where its test reaches {LEVEL} in that direction; else it is not decidable at "
    "this size. Unreliable intervals decide nothing.",
    "Indicative: subsets share models, estimator and in-distribution samples, and methods share all samples, so that "
    "signs and ranks are not independent and their p is too small.",
)
RUN_RULE = (
    "R-EMI and bounds in nats a token. Differences of means run between the opposite ends of the estimates' 95 % "
    "intervals, which is wide enough for any dependence between them. Corrected p: by Holm over all pairs of methods, "
    "subsets and averages."
)


def published_tables(run: RunData) -> tuple[Table, ...]:
    """Return the run's R-EMI beside the published one, how far they agree, and the findings on either.

    Only the paper's findings on its own numbers for a run without scores.
    """
    if not run.methods:
        return (published_findings_table(),)
    labels = dict.fromkeys(row["label"] for row in run.rows("bounds", form="calibrated"))
    calibrated = (f"Calibrated bound: {text}." for text in labels)
    notes = (*caution(run), *RULES, RUN_RULE, *calibrated, unreliable_note())
    used = sources(run, ("remi", "bounds", "differences"), "manifest.json")
    return (
        beside_table(run),
        order_and_signs_table(run),
        findings_table(run_findings(run), notes=notes, used=used),
        published_findings_table(),
    )


def published_findings_table() -> Table:
    """Return the paper's findings on its own numbers; no run is needed."""
    title = "The paper's findings on its own numbers"
    notes = (*RULES, f"From the paper's Tables 12 and 20 ({PUBLISHED_FOLDER}), which print no intervals.")
    return findings_table(published_findings(), name="published_findings", title=title, notes=notes)


def findings_table(
    findings: Sequence[Finding],
    *,
    name: str = "findings",
    title: str = "The paper's findings on this run",
    notes: Sequence[str] = RULES,
    used: Sequence[str] = (),
) -> Table:
    """Return findings as a table, a row each; the base model is shown where there are several."""
    several = len({finding.base_model for finding in findings}) > 1
    columns = (
        Column("key", None, "left"),
        Column("base_model", "Base model" if several else None, "left"),
        Column("finding", "Finding", "left"),
        Column("verdict", "Verdict", "left"),
        Column("evidence", "Numbers", "left"),
        Column("test", "Test", "left"),
    )
    rows = tuple(
        (words(one.key), label(one.base_model), *map(words, (one.statement, one.verdict, one.evidence, one.test)))
        for one in findings
    )
    return Table(name, title, columns, rows, tuple(notes), tuple(used))
