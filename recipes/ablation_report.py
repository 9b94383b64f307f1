"""What an ablation leaves: its numbers as JSON and CSV, the page about them, and held-out perplexity as curves.

The same ablation gives the same bytes.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.run_store import write_bytes, write_json, write_text
from corl.ablation import GROUPS, RESAMPLES, Ablation, GroupPerplexity, VariantDifference
from corl.ablation_variants import VARIANTS
from corl.held_out import PERPLEXITY
from recipes.ablation_page import THE_PAPERS, as_markdown, published_rows
from reports.validation.output import COLOURS
from reports.validation.output import STYLE as COMMON_STYLE
from scoring.statistics import Interval

FORMAT_VERSION = 1
STYLE = {**COMMON_STYLE, "font.size": 9, "svg.hashsalt": "ablation"}
COLUMNS = 3

Curves = Mapping[int, Sequence[Mapping[str, Any]]]
"""Fold -> the logged steps of its phases, each with the `place` of its phase."""


def write_ablation(out: Path, ablation: Ablation, facts: Mapping[str, object], curves: Curves) -> list[Path]:
    """Write `ablation.{md,json,csv}`, and `curves.{svg,png}` where perplexity was measured during training.

    Args:
        out: where to.
        ablation: what was found.
        facts: what it was found with, for the JSON file; `base_model` and `n_folds` are named on the page.
        curves: of the folds that were trained.

    Returns:
        What was written, the page first.
    """
    rows = [_perplexity_row(one) for one in ablation.perplexities]
    figures = list(_figures(out, curves))
    page = out / "ablation.md"
    write_text(page, as_markdown(ablation, facts, "curves.svg" if figures else None))
    write_json(out / "ablation.json", as_plain(ablation, facts))
    write_text(out / "ablation.csv", _csv(rows))
    return [page, out / "ablation.json", out / "ablation.csv", *figures]


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


def _figures(out: Path, curves: Curves) -> Iterator[Path]:
    """Write the figure in both formats; remove an older one where nothing was measured."""
    measured = {fold: rows for fold, rows in curves.items() if any(PERPLEXITY in row for row in rows)}
    for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
        path = out / f"curves.{suffix}"
        if not measured:
            path.unlink(missing_ok=True)
            continue
        content = io.BytesIO()
        with rc_context(STYLE):
            draw_curves(measured).savefig(content, format=suffix, dpi=150, metadata=metadata)
        write_bytes(path, content.getvalue())
        yield path


def draw_curves(curves: Curves) -> Figure:
    """Return a figure with a panel a fold; phases of reinforcement learning follow each other on one axis."""
    columns = min(COLUMNS, len(curves))
    lines = -(-len(curves) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 3.8 * columns, 0.4 + 2.8 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in panels.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (fold, rows) in zip(panels.flat, curves.items(), strict=False):
            axes.set_title(f"fold {fold}")
            _draw_fold(axes, [row for row in rows if "reward" in row])
        for axes in panels[:, 0]:
            axes.set_ylabel("held-out perplexity")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles[:2], labels[:2], loc="outside lower center", ncols=2)  # the two models take turns
    return figure


def _draw_fold(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    begin = 0
    for place in dict.fromkeys(row["place"] for row in rows):
        phase = [row for row in rows if row["place"] == place]
        found = [row for row in phase if PERPLEXITY in row]
        steps, values = [begin + row["step"] for row in found], [row[PERPLEXITY] for row in found]
        generator = "generator" in place
        name = "reasoning generator" if generator else "policy model"
        colour, marker = (COLOURS[0], "o") if generator else (COLOURS[1], "s")
        axes.plot(steps, values, color=colour, marker=marker, markersize=4, linewidth=1.2, label=name)
        if begin:
            axes.axvline(begin + 0.5, color="0.8", linewidth=0.8, zorder=0)
        begin += phase[-1]["step"]
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("step of reinforcement learning")
