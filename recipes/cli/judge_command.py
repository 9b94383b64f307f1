"""`rpm-methods judge`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from tabulate import tabulate

from recipes.cli.showing import follow

if TYPE_CHECKING:
    from scoring.judge.estimate import Estimate


def judge(
    run_dir: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    config: Annotated[Path, typer.Option("--config", help="YAML file that names the judges.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Replace a value of the file; may be repeated."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what is left to ask and what it may cost; ask nothing.")
    ] = False,
) -> None:
    """Let language models judge a run's responses, against the golden ones and by points.

    Example: rpm-methods judge runs/demo --config judges.yaml --plan
    """
    from recipes.judging import prepare_judging, run_judging

    console = Console(highlight=False)
    console.print("checking run, judges and what is answered already")
    judging = prepare_judging(run_dir, config, overrides or [])
    show = partial(console.print, markup=False, soft_wrap=True)
    show(_plan_table(judging.estimate()))
    if plan:
        return
    judged = follow(console, partial(run_judging, judging))
    show(f"\n{_means_table(judged.report)}\n")
    for line in _lines(judged.report):
        show(line)
    show("Where everything lies:")
    for path in judged.files:
        show(f"  {path}")


def _plan_table(estimates: Sequence["Estimate"]) -> str:
    heads = ["Judge", "Questions", "To ask", "Prompt tokens, about", "Money, at most"]
    rows = [
        [
            e.judge,
            e.questions,
            e.to_ask,
            round(e.prompt_tokens),
            "?" if e.money_at_most is None else f"{e.money_at_most:.2f}",
        ]
        for e in estimates
    ]
    return str(tabulate(rows, headers=heads, tablefmt="github", colalign=["left", *["right"] * 4]))


def _means_table(report: Mapping[str, Any]) -> str:
    """Return the ensemble's averages over the subsets, a row a method."""
    metrics = [metric["metric"] for metric in report["metrics"]]
    averages = [row for row in report["means"] if row["subset"] is None and row["judge"] == "ensemble"]
    methods = list(dict.fromkeys(row["method"] for row in averages))
    of = {(row["method"], row["metric"]): row for row in averages}
    body = [[method, *(_shown(of[method, metric]) for metric in metrics)] for method in methods]
    heads = ["Method", *(f"{metric} [95 % interval], scored" for metric in metrics)]
    return str(tabulate(body, headers=heads, tablefmt="github"))


def _shown(row: Mapping[str, Any]) -> str:
    scored = f", {row['n_scored']} of {row['n_samples']}"
    return ("none" if row["mean"] is None else f"{row['mean']:.2f}{_limits(row, 'ci')}") + scored


def _limits(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None else f" [{low:.2f}, {high:.2f}]"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield biases, what has no score, and costs, a sentence each."""
    for row in report["position_bias"]:
        if row["n_scored"]:
            first = f"{row['first_place']:+.2f}{_limits(row, 'first_place_ci')}"
            share = f"{row['disagree']:.0%} of {row['n_scored']} pairs"
            yield f"{row['judge']}: the orders disagree on {share}; preference for the first place {first}"
    for row in report["length_bias"]:
        if row["per_doubling"] is not None:
            slope = f"{row['per_doubling']:+.2f}{_limits(row, 'per_doubling_ci')}"
            yield f"{row['judge']}: {row['metric']} changes by {slope} where a response is twice as long"
    for row in report["unscored"]:
        yield f"{row['judge']}: {row['count']} times no {row['metric']} ({row['reason']})"
    for row in report["spending"]:
        cost = "not known" if row["money"] is None else f"{row['money']:.4g}"
        tokens = f"{row['prompt_tokens']} + {row['completion_tokens']} tokens"
        yield f"{row['judge']}: {row['answers']} answers kept, {tokens}, cost {cost}"
