"""`rpm-methods benchmark validate | stats`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from tabulate import tabulate

from benchmark.statistics import SplitStatistics
from recipes.cli.build_command import build
from recipes.cli.convert_command import convert

benchmark_app = typer.Typer(help="Look at benchmarks, and make them.", no_args_is_help=True)
benchmark_app.command()(build)
benchmark_app.command()(convert)
Source = Annotated[str, typer.Argument(help="Bundled name (mini), JSON file, folder, or hub id.")]


@benchmark_app.command()
def validate(source: Source) -> None:
    """Check every row of a benchmark and list all faults at once.

    Example: rpm-methods benchmark validate PDGBench.json
    """
    from benchmark.loading import load_benchmark

    benchmark = load_benchmark(source)
    console = Console(highlight=False)
    for field, rows in benchmark.unused_fields.items():
        console.print(f"note: the field '{field}' of {rows} rows is not used", markup=False)
    count = len(benchmark.train) + sum(map(len, benchmark.test.values()))
    console.print(f"{source}: {count} samples in {len(benchmark.test)} test subsets and IDTrain; no faults")


@benchmark_app.command()
def stats(source: Source) -> None:
    """Count samples, personas and characters by split (as the paper's Table 2) and by subset.

    Example: rpm-methods benchmark stats mini
    """
    from benchmark.loading import load_benchmark
    from benchmark.statistics import split_statistics, subset_statistics

    benchmark = load_benchmark(source)
    console = Console(highlight=False)
    console.print(_table("Split", split_statistics(benchmark)), soft_wrap=True)
    console.print()
    console.print(_table("Subset", subset_statistics(benchmark)), soft_wrap=True)
    console.print("\nResponse: mean length of a golden response, in words; in Chinese and Japanese, in characters.")


def _table(first: str, rows: Sequence[SplitStatistics]) -> str:
    heads = [first, "Type", "Total Samples", "User Personas", "Agent Characters", "Turns", "Response"]
    body = [
        [r.name, r.role, r.samples, r.user_personas, r.agent_characters, f"{r.turns:.1f}", f"{r.response_words:.0f}"]
        for r in rows
    ]
    right = ["left", "left", "right", "right", "right", "right", "right"]
    return str(tabulate(body, headers=heads, tablefmt="github", colalign=right))
