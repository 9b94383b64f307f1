"""What the run trained and tested on, counted as in the paper's Table 2, and for each subset."""

from benchmark.errors import RunFailure
from benchmark.sample import AgentCharacter, Sample, Turn, make_benchmark
from benchmark.statistics import SplitStatistics, split_statistics, subset_statistics
from reports.run_data import Row, RunData
from reports.table import MISSING, Cell, Column, Table, number, words
from reports.tables.columns import shift_label, subset_words

FILE = "samples.jsonl"
_COLUMNS = (
    Column("split", "Split", "left"),
    Column("role", "Type", "left"),
    Column("subset", "Subset", "left"),
    Column("samples", "Samples"),
    Column("user_personas", "Personas"),
    Column("agent_characters", "Characters"),
    Column("turns", "Turns"),
    Column("response_words", "Words"),
)
_NOTES = (
    "Of the samples that this run was trained and tested on, which can be a part of the benchmark.",
    "User personas and agent characters are counted once each. Turns: mean number of user queries in a dialogue. "
    "Words: mean length of a golden response, in characters where a script has no spaces.",
)


def table02(run: RunData) -> Table | None:
    """Return counts of samples, personas and characters by split, then by subset (paper, Table 2).

    Returns:
        None where the run has no samples file.

    Raises:
        RunFailure: the file is damaged.
    """
    rows = run.samples()
    if not rows:
        return None
    try:
        found = make_benchmark("run", [_sample(row) for row in rows], {})
    except (KeyError, TypeError) as error:
        raise RunFailure(f"{run.folder / FILE}: is damaged ({error!r}); make the run again") from error
    splits = [(words(one.name), Cell(None, MISSING), one) for one in split_statistics(found)]
    subsets = [
        (words(shift_label(one.name)), subset_words(one.name), one)
        for one in subset_statistics(found)
        if one.name != "id"  # the row of its split
    ]
    body = tuple((split, words(one.role), key, *_numbers(one)) for split, key, one in (*splits, *subsets))
    return Table("table02", "What was trained and tested on", _COLUMNS, body, _NOTES, (FILE,))


def _sample(row: Row) -> Sample:
    fields = {
        **row,
        "agent_character": AgentCharacter(**row["agent_character"]),
        "turns": tuple(Turn(**turn) for turn in row["turns"]),
        "source_sample_ids": tuple(row.get("source_sample_ids", ())),
    }
    return Sample(**fields)


def _numbers(found: SplitStatistics) -> tuple[Cell, ...]:
    counts = (number(value) for value in (found.samples, found.user_personas, found.agent_characters))
    return *counts, number(found.turns, 1), number(found.response_words, 1)
