"""What an ablation leaves: its numbers as JSON and CSV, and the page about them.

The same ablation gives the same bytes.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.run_store import write_json, write_text
from corl.ablation import GROUPS, RESAMPLES, Ablation, GroupPerplexity, VariantDifference
from corl.ablation_variants import VARIANTS
from recipes.ablation_page import THE_PAPERS, as_markdown, published_rows
from scoring.statistics import Interval

FORMAT_VERSION = 1


def write_ablation(out: Path, ablation: Ablation, facts: Mapping[str, object], figures: Sequence[Path]) -> list[Path]:
    """Write `ablation.{md,json,csv}`.

    Args:
        out: where to.
        ablation: what was found.
        facts: what it was found with, for the JSON file; `base_model` and `n_folds` are named on the page.
        figures: curves of the folds' trainings, below `out`; the page shows them.

    Returns:
        What was written, the page first.
    """
    rows = [_perplexity_row(one) for one in ablation.perplexities]
    page = out / "ablation.md"
    write_text(page, as_markdown(ablation, facts, [path.relative_to(out).as_posix() for path in figures]))
    write_json(out / "ablation.json", as_plain(ablation, facts))
    write_text(out / "ablation.csv", _csv(rows))
    return [page, out / "ablation.json", out / "ablation.csv"]


def as_plain(ablation: Ablation, facts: Mapping[str, object]) -> dict[str, object]:
    """Return what `ablation.json` holds."""
    return {
        "format_version": FORMAT_VERSION,
        **facts,
        "resamples": RESAMPLES,
        "folds_used": list(ablation.folds),
        "counts": {
            "held_out": ablation.held_out,
            "compared": ablation.compared,
            "unscored": dict(ablation.unscored),
        },
        "labels": {variant.name: variant.label for variant in VARIANTS},
        "variants": {variant.name: variant.description for variant in VARIANTS},
        "perplexity": [_perplexity_row(one) for one in ablation.perplexities],
        "differences": [_difference_row(one) for one in ablation.differences],
        "reasoning": [asdict(one) for one in ablation.reasoning],
        "notes": list(ablation.notes),
        "published": {
            "what": THE_PAPERS,
            "perplexity": {row.variant: {g: row.perplexity[s] for g, s in GROUPS.items()} for row in published_rows()},
        },
    }


def _perplexity_row(found: GroupPerplexity) -> dict[str, object]:
    return {
        "variant": found.variant,
        "group": found.group,
        "perplexity": found.perplexity,
        **_interval_fields(found.interval, "standard_error_of_log"),
        "n_samples": found.n_samples,
        "n_tokens": found.n_tokens,
        "n_clusters": found.n_clusters,
    }


def _difference_row(found: VariantDifference) -> dict[str, object]:
    return {
        "group": found.group,
        "first": found.first,
        "second": found.second,
        "difference": found.difference,
        **_interval_fields(found.interval, "standard_error"),
        "p_value": found.p_value,
        "adjusted_p": found.adjusted_p,
        "unit": "nats a token",
    }


def _interval_fields(found: Interval | None, error: str) -> dict[str, object]:
    """Return an interval's fields; its standard error, under the name given, is in nats a token."""
    return {
        "ci_low": None if found is None else found.low,
        "ci_high": None if found is None else found.high,
        error: None if found is None else found.standard_error,
        "interval_reliable": None if found is None else found.reliable,
    }


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with equal keys; numbers as in the page, and nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(["" if v is None else f"{v:.3f}" if isinstance(v, float) else v for v in r.values()] for r in rows)
    return text.getvalue()
