"""What the page's reader of samples holds: an index that opens at once, and texts packed in chunks.

A browser unpacks a chunk when one of its samples is read or searched, so that a page of thousands of samples opens as
fast as one of ten.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.subsets import SUBSET_KEYS, TRAIN_SPLIT, subset
from reports.page.embedding import compact_json, packed
from reports.run_data import MethodKey, Row, RunData
from reports.table import cut
from reports.tables.columns import shift_label, subset_words

CHUNK_CHARACTERS = 200_000
"""Texts of a chunk; a longer sample has a chunk of its own."""
OPENING_CHARACTERS = 100
NAME_CHARACTERS = 60
DECIMALS = 6
"""Of contributions, in nats a token."""
FIELDS = {
    "character_name": "Name",
    "character_domain": "Domain",
    "character_source": "Source",
    "basic_character_information": "Basic information",
    "character_background": "Background",
    "character_personality": "Personality",
}
"""Fields of an agent character -> their names as shown."""
ENDINGS = {
    "stop": "Ended by itself",
    "length": "Cut by the length limit",
    "prompt_too_long": "Not written: the prompt is longer than the context",
    None: "How it ended is not stored",
}
"""Finish reasons -> how they are said; JSON makes "null" of None."""
UNKNOWN = "unknown"
"""Subset of a sample that neither the manifest nor `samples.jsonl` places."""


@dataclass(frozen=True)
class Reader:
    """The two parts of the reader's data."""

    index: Mapping[str, Any]
    """Plain data: `subsets`, `methods`, `samples`, `contributions` (method by method, None where there is none),
    `lacking`, sentences about what cannot be read, and the words `fields` and `endings`.

    A sample is its ID, the place of its subset, its character's name, the opening of its last query, the number of its
    chunk and its place in it.
    """
    chunks: tuple[str, ...]
    """Lists of samples' texts as JSON, in gzip and base64."""


@dataclass(frozen=True)
class _Answers:
    """What one method wrote."""

    label: str
    responses: Mapping[str, Row]
    contributions: Mapping[str, float]
    judged: Mapping[str, list[list[Any]]]
    """Sample ID -> judge, metric, value or None, reason or None."""


def gather_reader(run: RunData) -> Reader:
    """Gather the test samples of a run with all that was written for them, subset by subset."""
    samples = {row["sample_id"]: row for row in run.samples()}
    answers = list(_answers(run))
    reasonings = run.reasonings()
    subset_of = _subsets(run, samples, answers)
    texts = (compact_json(_texts(i, samples.get(i), answers, reasonings.get(i))) for i in subset_of)
    chunks, places = _chunks(texts)
    subsets = list(dict.fromkeys(subset_of.values()))
    rows = [
        [sample_id, subsets.index(key), *_preview(samples.get(sample_id)), *place]
        for (sample_id, key), place in zip(subset_of.items(), places, strict=True)
    ]
    index = {
        "subsets": [_subset_names(key) for key in subsets],
        "methods": [one.label for one in answers],
        "samples": rows,
        "contributions": [[_rounded(one.contributions.get(sample_id)) for sample_id in subset_of] for one in answers],
        "lacking": list(_lacking(samples, answers, reasonings)),
        "fields": FIELDS,
        "endings": ENDINGS,
    }
    return Reader(index, tuple(chunks))


def _answers(run: RunData) -> Iterator[_Answers]:
    """Yield what the scored methods wrote, in their order, then what lies there without scores."""
    judged = _judged(run)
    for key in run.methods:
        yield _Answers(cut(run.label(key)), run.responses(key), run.contributions(key), judged[run.responses_name(key)])
    for name in run.manifest["responses"]:
        if name not in map(run.responses_name, run.methods):
            yield _Answers(f"{cut(name)} (no scores)", run.responses(MethodKey(None, name)), {}, judged[name])


def _judged(run: RunData) -> defaultdict[str, dict[str, list[list[Any]]]]:
    found: defaultdict[str, dict[str, list[list[Any]]]] = defaultdict(dict)
    for row in run.scores["judges"]:
        said = [row["judge"], row["metric"], row["value"], row["reason"]]
        found[row["method"]].setdefault(row["sample_id"], []).append(said)
    return found


def _subsets(run: RunData, samples: Mapping[str, Row], answers: Sequence[_Answers]) -> dict[str, str]:
    """Return sample ID -> subset key, in the order of Table 20, for all that was tested or answered."""
    tests = run.manifest.get("test_samples", {})
    found = {sample_id: key for key, sample_ids in tests.items() for sample_id in sample_ids}
    for sample_id, row in samples.items():
        if row["split"] != TRAIN_SPLIT:
            found.setdefault(sample_id, row["subset"])
    for sample_id in (sample_id for one in answers for sample_id in one.responses):
        found.setdefault(sample_id, UNKNOWN)
    order = {key: place for place, key in enumerate(SUBSET_KEYS)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[1], len(order))))


def _texts(sample_id: str, sample: Row | None, answers: Sequence[_Answers], reasoning: Row | None) -> dict[str, Any]:
    """Return what is read of one sample."""
    return {
        "sample": None if sample is None else {key: value for key, value in sample.items() if key != "sample_id"},
        "reasoning": reasoning,
        "answers": [one.responses.get(sample_id) for one in answers],
        "judged": [one.judged.get(sample_id, []) for one in answers],
    }


def _chunks(texts: Iterator[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """Return packed chunks, and each text's chunk and place in it."""
    chunks: list[str] = []
    places: list[tuple[int, int]] = []
    waiting: list[str] = []
    for text in texts:
        if waiting and sum(map(len, waiting)) + len(text) > CHUNK_CHARACTERS:
            chunks.append(packed(waiting))
            waiting = []
        places.append((len(chunks), len(waiting)))
        waiting.append(text)
    return [*chunks, *([packed(waiting)] if waiting else [])], places


def _preview(sample: Row | None) -> tuple[str | None, str | None]:
    if sample is None:
        return None, None
    name = sample["agent_character"]["character_name"]
    return _beginning(name, NAME_CHARACTERS), _beginning(sample["last_query"], OPENING_CHARACTERS)


def _beginning(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}…"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _subset_names(key: str) -> dict[str, str]:
    """Return a subset's key, its name with its head in Table 20, and the shift that it stands for."""
    if key not in SUBSET_KEYS:
        return {"key": key, "name": key, "shift": "Subset not stored"}
    name, found = subset_words(key).text, subset(key)
    shown = name if name == found.heading else f"{name} ({found.heading})"
    return {"key": key, "name": shown, "shift": shift_label(key) or "In distribution"}


def _lacking(samples: Mapping[str, Row], answers: Sequence[_Answers], reasonings: Mapping[str, Row]) -> Iterator[str]:
    if not samples:
        yield (
            "This run stores no samples.jsonl, so personas, characters, dialogues and golden responses cannot be read."
        )
    if not any(one.contributions for one in answers):
        yield "This run stores no scores/contributions.jsonl, so what a sample adds to R-EMI cannot be read."
    if not reasonings:
        yield "This run stores no reasoning of its estimator."
    for one in answers:
        if not one.responses:
            yield f"The file of the responses of {one.label} is not there."
