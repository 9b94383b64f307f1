"""A method that was trained at once, with one log, and its section of the page about training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reports.training.log import Row, build_panels, read_training
from reports.training.markdown import cell, fenced, number, rollout_facts, table, title_on_base
from reports.training.panels import Panel

NAMED_ROWS = 5
SUMMARY_FACTS = {
    "step": "steps",
    "epoch": "epochs",
    "train_loss": "mean loss",
    "train_runtime": "seconds since the last start",
}


@dataclass(frozen=True)
class TrainedMethod:
    """What one method's training left in a run directory."""

    name: str
    """Its folder below `training/`; the base model stands before a slash where a run has several."""
    label: str
    panels: tuple[Panel, ...]
    summary: Row = field(default_factory=dict)
    """The log's last row; empty where training did not come to its end."""
    preflight: Row = field(default_factory=dict)
    rollouts: Sequence[Row] = ()

    @property
    def title(self) -> str:
        """The label, with the base model where the name has one."""
        return title_on_base(self.name, self.label)


def read_method(log: Path, name: str, label: str) -> TrainedMethod:
    """Read a log and what lies beside it; RunFailure when a file is damaged."""
    rows, preflight, rollouts = read_training(log)
    summary = rows[-1] if rows and "train_loss" in rows[-1] else {}
    return TrainedMethod(name, label, tuple(build_panels(rows)), summary, preflight, rollouts)


def method_section(method: TrainedMethod) -> Iterator[str]:
    """Yield the section: curves, first and last values, the training as a whole, preflight, rollouts."""
    yield f"## {method.title}"
    if method.panels:
        yield f"![Curves of {method.name}](../figures/training/{quote(method.name)}.svg)"
        yield _values_table(method.panels)
    else:
        yield "No step was logged."
    summary = [
        f"{label} {number(method.summary[key])}" for key, label in SUMMARY_FACTS.items() if key in method.summary
    ]
    if summary:
        yield f"Whole training: {', '.join(summary)}."
    if method.preflight:
        yield from _preflight(method.preflight)
    if method.rollouts:
        yield from _rollouts(method.rollouts)


def _values_table(panels: Sequence[Panel]) -> str:
    body = []
    for panel in panels:
        for curve in panel.curves:
            ends = [f"{number(curve.values[at])} (step {curve.steps[at]})" for at in (0, -1)]
            body.append([cell(curve.label), cell(panel.axis), *ends])
    return table(["Curve", "Axis", "First", "Last"], body)


def _preflight(facts: Row) -> Iterator[str]:
    """Yield what was found before training: facts under the names that the file gives them, notes, one example."""
    yield "### Before training"
    examples = facts.get("examples") or ([facts["example"]] if facts.get("example") else [])
    named = {key: value for key, value in facts.items() if key not in ("example", "examples", "notes")}
    if named:
        body = [[cell(key.replace("_", " ").capitalize()), _fact(value)] for key, value in named.items()]
        yield table(["Fact", "Value"], body)
    if facts.get("notes"):
        yield "\n".join(f"- {note}" for note in facts["notes"])
    for example in examples[:1]:
        yield f"One row as the model sees it, decoded (sample `{example.get('sample_id', '–')}`)."
        for key, label in {"prompt_end": "End of the prompt", "supervised": "Supervised"}.items():
            if example.get(key) is not None:
                yield f"{label}:\n\n{fenced(example[key])}"


def _fact(value: str | float | list[Any] | Mapping[str, float] | None) -> str:
    """Return a fact as a cell of a table; of a long list the number and the first few."""
    if isinstance(value, Mapping):
        return ", ".join(f"{number(amount)} {unit}" for unit, amount in value.items())
    if isinstance(value, list):
        names = ", ".join(f"`{cell(str(item))}`" for item in value[:NAMED_ROWS])
        more = f" … ({len(value) - NAMED_ROWS} more)" if len(value) > NAMED_ROWS else ""
        return f"{len(value)}: {names}{more}" if value else "none"
    if isinstance(value, str):
        return f"`{cell(value)}`" if value else "–"
    return number(value)


def _rollouts(rows: Sequence[Row]) -> Iterator[str]:
    """Yield rollouts of the first and the last step that has any: lowest, middle and highest reward of each."""
    steps = [row["step"] for row in rows]
    for step in sorted({min(steps), max(steps)}):
        own = [row for row in rows if row["step"] == step]
        scored = sorted((row for row in own if row["reward"] is not None), key=lambda row: float(row["reward"]))
        chosen = scored or own
        yield f"### Rollouts at step {step}"
        yield f"{len(own)} rollouts, {len(own) - len(scored)} without a reward; lowest, middle and highest reward:"
        for at in sorted({0, (len(chosen) - 1) // 2, len(chosen) - 1}):
            yield f"{rollout_facts(chosen[at])}\n\n{fenced(chosen[at]['text'])}"
