"""The section of a training by co-evolution: warnings, curves, a table of its phases, preflight, rollouts."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from reports.training.log import Row
from reports.training.markdown import cell, fenced, number, rollout_facts, table
from reports.training.phase_figure import HELD_OUT, phase_panels, phases_note
from reports.training.phase_guards import COPIED_MAX, CORRELATION, steps_without_spread, warnings
from reports.training.phased_training import Phase, PhasedTraining

NAMES = (
    "A phase is named by its iteration, 0 for the cold start, and its place in it. Of rewards, losses and perplexities "
    "the first and the last that were logged are given."
)


def phase_section(training: PhasedTraining) -> Iterator[str]:
    """Yield the section."""
    yield f"## {training.title}"
    for phase in training.phases:
        for warning in warnings(phase):
            yield f"**Warning.** {phase.place.full_title}: {warning}."
    for name, title, phases in training.figures():
        if phase_panels(phases):
            yield f"![Curves of {title}](../figures/training/{quote(name)}.svg)"
            yield phases_note(phases)
    yield NAMES
    yield _phases_table(training.phases)
    checked = [phase for phase in training.phases if phase.preflight]
    if checked:
        yield "### Before each phase"
        yield "\n".join(f"- {phase.place.full_title}: {_preflight(phase.preflight)}" for phase in checked)
    drawn = [phase for phase in training.phases if phase.rollouts]
    if drawn:
        yield "### Rollouts"
        yield "Of the first and the last step that were kept of each phase: the lowest and the highest reward."
        for phase in drawn:
            yield from _rollouts(phase)


def _phases_table(phases: Sequence[Phase]) -> str:
    folds = any(phase.place.fold is not None for phase in phases)
    heads = [
        *(["Fold"] if folds else []),
        "Phase",
        "Steps",
        "Reward or loss",
        "Held-out perplexity",
        "Largest copied share",
        "Largest correlation of length and reward, absolute",
        "Steps without spread",
    ]
    return table(heads, [[*([number(phase.place.fold)] if folds else []), *_facts(phase)] for phase in phases])


def _facts(phase: Phase) -> list[str]:
    value = "reward" if phase.place.kind == "rl" else "loss"
    (held_out,) = HELD_OUT.keys
    correlations = [abs(one) for one in phase.values(CORRELATION)]
    flat, steps = steps_without_spread(phase)
    return [
        cell(phase.place.title),
        number(phase.steps),
        f"{value} {_ends(phase.values(value))}",
        _ends(phase.values(held_out)),
        _percent(max(phase.values(COPIED_MAX), default=None)),
        number(max(correlations, default=None)),
        f"{_percent(flat / steps)} ({flat} of {steps})" if steps else number(None),
    ]


def _ends(values: Sequence[float]) -> str:
    return f"{number(values[0])} → {number(values[-1])}" if values else number(None)


def _percent(share: float | None) -> str:
    return number(None) if share is None else f"{number(100 * share)} %"


def _preflight(facts: Row) -> str:
    notes = [str(note) for note in facts.get("notes") or ()]
    return "; ".join(
        [f"{number(facts.get('rows'))} rows, longest {number(facts.get('longest_tokens'))} tokens", *notes]
    )


def _rollouts(phase: Phase) -> Iterator[str]:
    """Yield the rollouts with the lowest and the highest reward of two steps; one where none has a reward."""
    steps = [row["step"] for row in phase.rollouts]
    kept = [row for row in phase.rollouts if row["step"] in (min(steps), max(steps))]
    scored = sorted((row for row in kept if row["reward"] is not None), key=lambda row: float(row["reward"]))
    chosen = scored or kept[:1]
    for at in sorted({0, len(chosen) - 1}):
        row = chosen[at]
        yield f"**{phase.place.full_title}, step {row['step']}.** {rollout_facts(row)}\n\n{fenced(row['text'])}"
