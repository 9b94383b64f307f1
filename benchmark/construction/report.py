"""What is said of a finished build, as plain data and as Markdown: counts, cost, what was set aside, checks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from benchmark.construction.asking import SetAside, Step
from benchmark.construction.audit import Audit
from benchmark.construction.cast import CHARACTERS, KINDS, PROFILES
from benchmark.construction.composition import CHOICES, TURNS, WORDS
from benchmark.construction.dialogues import DIALOGUES
from benchmark.construction.personas import EXPANSIONS, VARIANTS
from benchmark.construction.retrieval import Retrieval
from benchmark.construction.settings import BuildSettings
from benchmark.sample import Benchmark
from benchmark.spending import Prices, Spent
from benchmark.statistics import split_statistics, subset_statistics

STEPS: tuple[Step[Any], ...] = (CHARACTERS, PROFILES, KINDS, VARIANTS, EXPANSIONS, DIALOGUES, TURNS, WORDS, CHOICES)
"""All steps in which the model is asked, in their order."""
TRAIN = "train"
"""How counts name the training split."""


def make_report(
    settings: BuildSettings,
    benchmark: Benchmark,
    found: Audit,
    spent: Mapping[str, Spent],
    aside: Iterable[SetAside],
    retrieval: Retrieval | None,
) -> dict[str, Any]:
    """Return everything as plain data.

    Args:
        settings: those of the build. The endpoint's URL stays out of the report: it may hold what is secret.
        benchmark: as it was read back.
        found: the last checks.
        spent: by step.
        aside: everything that was set aside.
        retrieval: what looked characters up, if anything did.
    """
    made = {TRAIN: len(benchmark.train), **{key: len(group) for key, group in benchmark.test.items()}}
    wanted = {key: count for key, count in settings.counts.model_dump().items() if count}
    return {
        "settings": settings.model_dump(mode="json", exclude={"endpoint": {"base_url"}}),
        "content_hash": benchmark.content_hash,
        "counts": [{"subset": key, "wanted": wanted[key], "made": made.get(key, 0)} for key in wanted],
        "spent": spending_rows(spent, settings.prices),
        "set_aside": _by_step_and_reason(aside),
        "described_without_retrieved_text": retrieval.without_text() if retrieval else {},
        "retrieved_texts_cut": retrieval.cut() if retrieval else [],
        "checks": found.findings,
        "table_2": [asdict(row) for row in split_statistics(benchmark)],
        "subsets": [asdict(row) for row in subset_statistics(benchmark)],
    }


def spending_rows(spent: Mapping[str, Spent], prices: Prices | None) -> list[dict[str, Any]]:
    """Return the cost of each step and of all together; money is None where it is not known."""
    rows = [(step, cost) for step, cost in spent.items() if cost.answers]
    rows.append(("all steps", sum(spent.values(), Spent())))
    return [{"step": step, **asdict(cost), "money": cost.money(prices)} for step, cost in rows]


def shortages(report: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return (made, wanted) of each subset that is not complete."""
    short = [row for row in report["counts"] if row["made"] < row["wanted"]]
    return {row["subset"]: (row["made"], row["wanted"]) for row in short}


def spending_table(rows: list[dict[str, Any]]) -> str:
    """Return the cost as a table."""
    heads = ["Step", "Answers", "Repairs", "Prompt tokens", "Completion tokens", "Money", "Not measured"]
    body = [
        [r["step"], r["answers"], r["repairs"], r["prompt_tokens"], r["completion_tokens"], _money(r), r["unmeasured"]]
        for r in rows
    ]
    return str(tabulate(body, headers=heads, tablefmt="github", colalign=("left", *["right"] * 6)))


def render_report(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    parts = [
        "# A benchmark of shifts",
        f"Written by {report['settings']['endpoint']['model']}. Content hash {report['content_hash'][:12]}.",
        "## Samples",
        _table(report["counts"], ("subset", "wanted", "made")),
        "## As in Table 2",
        _table([_rounded(row) for row in report["table_2"]]),
        "## By subset",
        _table([_rounded(row) for row in report["subsets"]]),
        "## Cost",
        spending_table(report["spent"]),
        "## Set aside",
        _table(report["set_aside"]),
        "## Checks",
        _table([{"what": name, "found": _shown(value)} for name, value in report["checks"].items()]),
    ]
    missing, cut = len(report["described_without_retrieved_text"]), len(report["retrieved_texts_cut"])
    if missing or cut:
        parts.append(f"Characters of which nothing was found: {missing}; whose text was cut: {cut}. See report.json.")
    return "\n\n".join(parts) + "\n"


def _by_step_and_reason(aside: Iterable[SetAside]) -> list[dict[str, Any]]:
    counts = Counter((one.step, one.reason) for one in aside)
    return [{"step": step, "reason": reason, "items": counts[step, reason]} for step, reason in sorted(counts)]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in row.items()}


def _table(rows: list[dict[str, Any]], columns: Iterable[str] | None = None) -> str:
    if not rows:
        return "Nothing."
    chosen = list(columns or rows[0])
    heads = [name.replace("_", " ") for name in chosen]
    body = [[str(row[name]).replace("|", "\\|") for name in chosen] for row in rows]
    return str(tabulate(body, headers=heads, tablefmt="github", disable_numparse=True))


def _money(row: Mapping[str, Any]) -> str:
    return "" if row["money"] is None else f"{row['money']:.4f}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {inner}" for name, inner in value.items())
    return "" if value is None else str(value)
