"""What figures and their captions call subsets, shifts and units, and what captions say of intervals."""

from collections.abc import Iterable, Mapping, Sequence

from benchmark.statistics import SHIFT_LABELS
from reports.fonts import drawable
from reports.run_data import MethodKey, Row, RunData
from scoring.statistics import LEVEL, RELIABLE_CLUSTERS

SHIFTS: Mapping[str, str] = {"none": "In distribution", **SHIFT_LABELS}
UNITS = {"nats_per_token": "nats a token", "nats_per_response": "nats a response"}
ID = "id"


def subset_words(key: str) -> str:
    """Return a subset's name in words."""
    return SHIFTS["none"] if key == ID else key.replace("_", " ").capitalize()


def method_words(run: RunData, method: str) -> str:
    """Return a method's label without its base model, so that it can be drawn."""
    return drawable(str(run.spec(method).get("label", method)))


def base_words(base_model: str | None) -> str:
    """Return a base model's name so that it can be drawn."""
    return "no base model" if base_model is None else drawable(base_model)


def key_words(run: RunData, key: MethodKey) -> str:
    """Return a method's label, with its base model where the run has several, so that it can be drawn."""
    method = method_words(run, key.method)
    return f"{method} ({base_words(key.base_model)})" if len(run.base_models) > 1 else method


def metric_words(metric: str) -> str:
    """Return the name of a judges' metric so that it can be drawn."""
    return drawable(metric.replace("_", " "))


def unscored_words(run: RunData) -> str:
    """Say how many of the judges' scores are missing; empty where none is."""
    rows = run.scores["judges"]
    missing = sum(row["value"] is None for row in rows)
    return (
        f"{missing:,} of {counted(len(rows), 'judgement')} without a score, left out of the means." if missing else ""
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span_words(values: Iterable[float], form: str) -> str:
    """Return the smallest and the largest of some values, in a number format; one number where they look equal."""
    ends = list(dict.fromkeys(format(end(values), form) for end in (min, max)))
    return " to ".join(ends)


def panel_words(run: RunData, name: str, base_model: str | None) -> tuple[str, ...]:
    """Return the parts of a panel's name: what it shows, and its base model where the run has several."""
    return (name, base_words(base_model)) if len(run.base_models) > 1 else (name,)


def caption(run: RunData, sentences: Iterable[str]) -> str:
    """Join the sentences that are not empty, and the run's own caution."""
    return " ".join(sentence for sentence in (*sentences, str(run.manifest.get("caution") or "")) if sentence)


def interval_words(
    rows: Sequence[Row], mark: str = "", *, low: str = "ci_low", reliable: str = "interval_reliable"
) -> str:
    """Say what the whiskers are and how many of the rows' intervals cannot be relied on.

    Args:
        rows: what is drawn.
        mark: what the figure does with unreliable ones, such as "their markers are hollow".
        low: field of the lower end, None where there is no interval.
        reliable: field that says whether an interval is.
    """
    known = [row for row in rows if row[low] is not None]
    if not known:
        return "There are no intervals: too few samples or clusters."
    said = [f"Whiskers are {100 * LEVEL:.0f} % intervals, clustered by persona and character."]
    if unreliable := sum(not row[reliable] for row in known):
        why = f"fewer than {RELIABLE_CLUSTERS} personas or characters"
        marked = f"; {mark}" if mark else ""
        said.append(f"{unreliable:,} of {counted(len(known), 'interval')} cannot be relied on ({why}){marked}.")
    if without := len(rows) - len(known):
        said.append(f"{counted(without, 'estimate')} without an interval.")
    return " ".join(said)
