"""`rpm-methods benchmark convert`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from benchmark.conversion import Conversion


def convert(
    data_set: Annotated[str, typer.Argument(metavar="FORMAT", help="coser, charactereval or rolebench.")],
    path: Annotated[Path, typer.Argument(help="The data set's file or folder, as downloaded.")],
    split: Annotated[str, typer.Option(help="IDTrain, IDTest, or SPLIT:SUBSET such as OOD1Test:german.")],
    out: Annotated[Path, typer.Option(help="The benchmark file to write.")],
    append: Annotated[bool, typer.Option("--append", help="Add to the file where it is there already.")] = False,
    persona: Annotated[str | None, typer.Option(help="The user persona of every sample.")] = None,
    persona_from_speakers: Annotated[
        bool, typer.Option("--persona-from-speakers", help="Make each persona of the other speakers' profiles.")
    ] = False,
    profiles: Annotated[
        Path | None, typer.Option(help="File of character profiles, where it is not in its usual place.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Domain of every character.")] = None,
) -> None:
    """Convert CoSER, CharacterEval or RoleBench, as downloaded, into a benchmark file.

    What cannot be converted is listed with file, line and reason. The data sets' licences are yours to heed.

    Example: rpm-methods benchmark convert coser test_set.json --split IDTest --persona-from-speakers --out mine.json
    """
    from benchmark.conversion import convert_benchmark

    conversion = convert_benchmark(
        data_set,
        path,
        out,
        split=split,
        append=append,
        persona=persona,
        persona_from_speakers=persona_from_speakers,
        profiles=profiles,
        domain=domain,
    )
    console = Console(highlight=False)
    for line in _lines(conversion, out):
        console.print(line, markup=False, soft_wrap=True)


def _lines(conversion: "Conversion", out: Path) -> Iterator[str]:
    """Yield what is said of a conversion: what was left out first, the result last."""
    from benchmark.conversion import NOT_GIVEN

    tally = conversion.tally
    for mistake in tally.not_converted:
        yield f"not converted: {mistake}"
    for name, count in tally.unread.items():
        yield f"note: left out, since the benchmark has nothing like it: {name} (in {count})"
    for name, count in tally.filled.items():
        yield f"note: '{NOT_GIVEN}' where the data set has nothing like it: {name} (in {count})"
    for what, count in tally.changes.items():
        yield f"note: {what}: {count}"
    for note in conversion.notes:
        yield f"note: {note}"
    target = conversion.target
    place = target.split if target.tag is None else f"{target.split} ({target.tag})"
    yield f"{out}: samples written to {place}: {conversion.n_samples}; rows not converted: {len(tally.not_converted)}"
