"""From a data set's files to a benchmark file: everything is checked first, then read, then written at once."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.conversion import character_eval, coser, rolebench
from benchmark.conversion.draft import ConversionSettings, Draft, make_row
from benchmark.conversion.tally import Tally
from benchmark.conversion.target import Output, Target, open_output, parse_target
from benchmark.errors import Mistake, UserMistakes, nearest


@dataclass(frozen=True)
class Adapter:
    """How one data set is read."""

    drafts: Callable[[Path, ConversionSettings, Tally], Iterator[Draft]]
    has_other_speakers: bool
    """Whether there are speakers besides the agent that a persona can be made of."""


ADAPTERS: Mapping[str, Adapter] = {
    "coser": Adapter(coser.drafts, coser.HAS_OTHER_SPEAKERS),
    "charactereval": Adapter(character_eval.drafts, character_eval.HAS_OTHER_SPEAKERS),
    "rolebench": Adapter(rolebench.drafts, rolebench.HAS_OTHER_SPEAKERS),
}


@dataclass(frozen=True)
class Conversion:
    """What was written, and what was not."""

    target: Target
    n_samples: int
    tally: Tally
    notes: tuple[str, ...]
    """What to know before the samples are scored, in sentences."""


def convert_benchmark(
    name: str,
    path: Path,
    out: Path,
    *,
    split: str,
    append: bool = False,
    persona: str | None = None,
    persona_from_speakers: bool = False,
    profiles: Path | None = None,
    domain: str | None = None,
) -> Conversion:
    """Convert files of a data set into samples of one split and subset, and write them.

    Args:
        name: the data set, a key of `ADAPTERS`.
        path: its file or folder, as downloaded.
        out: the benchmark file to write.
        split: "IDTrain", "IDTest" or SPLIT:SUBSET ("OOD1Test:german").
        append: add to `out` where it is there already.
        persona: the user persona of every sample.
        persona_from_speakers: make each persona of the names and profiles of the other speakers instead.
        profiles: the file of character profiles, where it is not in its usual place.
        domain: the domain of every character; the data set's own where it has one.

    Raises:
        UserMistakes: all mistakes in what was given, before anything is read; a file that cannot be read; or nothing
            can be converted, with the reason for every row.
        RunFailure: the file cannot be written.
    """
    adapter, target, output = _check(name, path, out, split, append, persona, persona_from_speakers, profiles)
    settings = ConversionSettings(target, persona, profiles, domain)
    tally = Tally()
    rows = _rows(adapter, path, settings, output, tally)
    if not rows:
        nothing = Mistake(str(path), "holds nothing that can be converted")
        raise UserMistakes([nothing, *tally.not_converted])
    output.write(rows, target.split)
    return Conversion(target, len(rows), tally, tuple(_notes(rows)))


def _check(
    name: str,
    path: Path,
    out: Path,
    split: str,
    append: bool,
    persona: str | None,
    persona_from_speakers: bool,
    profiles: Path | None,
) -> tuple[Adapter, Target, Output]:
    """Return what the names stand for, or raise all mistakes together."""
    mistakes: list[Mistake] = []
    adapter = ADAPTERS.get(name)
    if adapter is None:
        mistakes.append(Mistake(name, "is no known data set", nearest(name, list(ADAPTERS))))
    mistakes += [Mistake(str(file), "does not exist") for file in (path, profiles) if file and not file.exists()]
    mistakes += _persona_mistakes(adapter, name, persona, persona_from_speakers)
    target = output = None
    try:
        target = parse_target(split)
    except UserMistakes as error:
        mistakes += error.mistakes
    try:
        output = open_output(out, append=append)
    except UserMistakes as error:
        mistakes += error.mistakes
    if mistakes or adapter is None or target is None or output is None:
        raise UserMistakes(mistakes)
    return adapter, target, output


def _persona_mistakes(
    adapter: Adapter | None, name: str, persona: str | None, persona_from_speakers: bool
) -> list[Mistake]:
    """Return what is wrong with how personas are to be had."""
    if persona is not None and persona_from_speakers:
        return [Mistake("persona", "is given, and is to be made from the other speakers", "choose one")]
    if persona_from_speakers and adapter is not None and not adapter.has_other_speakers:
        return [Mistake("persona", f"cannot be made: {name} has no other speakers", "give the persona's text")]
    if persona is None and not persona_from_speakers:
        remedy = "give the persona's text, or have it made from the other speakers where there are some"
        return [Mistake("persona", f"{name} has no user personas", remedy)]
    if persona is not None and not persona.strip():
        return [Mistake("persona", "is empty")]
    return []


def _rows(
    adapter: Adapter, path: Path, settings: ConversionSettings, output: Output, tally: Tally
) -> list[dict[str, Any]]:
    """Return a row for each draft that can be one; IDs are used once."""
    used = dict.fromkeys(output.sample_ids, str(output.path))
    rows = []
    for draft in adapter.drafts(path, settings, tally):
        row = make_row(draft, settings, used, tally)
        if row is not None:
            used[row["sample_ID"]] = draft.where
            rows.append(row)
    return rows


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the samples' likeness means for scores."""
    contents = Counter(str({key: row[key] for key in row if key != "sample_ID"}) for row in rows)
    copies = len(rows) - len(contents)
    if copies:
        yield f"{copies} samples are copies of others in all but their ID; copies are never compared with each other"
    for name in ("user_persona", "agent_character"):
        if len(rows) > len({str(row[name]) for row in rows}) == 1:
            yield f"all samples have one {name}: scores of them alone have no confidence interval"
