"""What the figure of a training by co-evolution shows: all its phases on one x axis.

What has another unit in each role has a panel for each: rewards, their parts and spread, the length of rollouts. The
rest has one panel over all phases. Lines break between phases.
"""

from collections.abc import Sequence
from dataclasses import replace

from reports.training.log import (
    CUT,
    DIVERGENCE,
    ENTROPY,
    GRADIENT,
    LENGTH,
    PERCENT,
    WITHOUT_SPREAD,
    Layout,
    laid_out,
    part_keys,
)
from reports.training.panels import Panel, Stretch
from reports.training.phased_training import Phase, PlacedPhase, counted_on, joined_rows

HELD_OUT = Layout("Held-out perplexity", "perplexity (no unit)", {"held_out/perplexity": "perplexity"})
GUARDS = (
    Layout(
        "Copied from the golden response",
        "word sequences (%)",
        {"guards/copied_share_max": "largest", "guards/copied_share": "mean of rollouts"},
        100,
        PERCENT,
    ),
    Layout(
        "Length and reward",
        "correlation (-1 to 1)",
        {"guards/length_reward_correlation": "correlation"},
        limits=(-1.08, 1.08),
    ),
    Layout("Length of what is shown", "mean length (words)", {"guards/shown_words": "words shown"}),
)
LOSS = Layout("Loss of supervised phases", "loss (nats a token)", {"loss": "loss"})
LIKELIHOOD = "rewards/likelihood/mean"
"""Either a sum of log p or a probability a token; the log does not say which, and only a sum is below 0."""
ALONE = {"likelihood": "probability a token (0 to 1)", "ratio": "ratio (0 to 1)"}
"""Axis of a reward that is one part alone."""


def stretches(phases: Sequence[Phase]) -> list[Stretch]:
    """Return where each phase with a step stands on the x axis, half a step to both sides of its own."""
    return [
        Stretch(one.begin + 0.5, one.begin + one.phase.steps + 0.5, place.code, shaded=place.kind == "sft")
        for one in counted_on(phases)
        if one.phase.steps
        for place in [one.phase.place]
    ]


def phases_note(phases: Sequence[Phase]) -> str:
    """Return what the names of the phases stand for."""
    places = [phase.place for phase in phases]
    cold = [place.title for place in places if place.iteration == 0]
    later = dict.fromkeys(f"k.{p.number} {p.role} {p.kind.upper()}" for p in places if p.iteration > 0)
    parts = [f"{', '.join(cold)} (cold start)"] if cold else []
    parts += [f"{', '.join(later)} (iteration k)"] if later else []
    return f"{'; '.join(parts)}. Supervised phases are shaded. Steps are counted on from phase to phase."


def phase_panels(phases: Sequence[Phase]) -> list[Panel]:
    """Arrange the logs of the phases of one fold as panels; those without any value are left out."""
    placed = counted_on(phases)
    supervised = [one for one in placed if one.phase.place.kind == "sft"]
    rewarded = [one for one in placed if one.phase.place.kind == "rl"]
    roles = dict.fromkeys(one.phase.place.role for one in rewarded)
    by_role = {role: [one for one in rewarded if one.phase.place.role == role] for role in roles}
    panels = [
        *(_over(own, _reward(role, own)) for role, own in by_role.items()),
        *(_over(own, layout) for role, own in by_role.items() for layout in _parts(role, own)),
        _over(rewarded, HELD_OUT),
        *(_over(own, _spread(role, own)) for role, own in by_role.items()),
        *(_over(rewarded, layout) for layout in (WITHOUT_SPREAD, *GUARDS)),
        *(_over(own, replace(LENGTH, title=f"{LENGTH.title} ({role})")) for role, own in by_role.items()),
        *(_over(rewarded, layout) for layout in (CUT, ENTROPY, DIVERGENCE)),
        _over(placed, GRADIENT),
        _over(supervised, LOSS),
    ]
    return [panel for panel in panels if panel.curves]


def _over(placed: Sequence[PlacedPhase], layout: Layout) -> Panel:
    return laid_out(joined_rows(placed, layout.keys), layout)


def _reward(role: str, own: Sequence[PlacedPhase]) -> Layout:
    """Lay out the total; its axis names the parts that it is the sum of, a likelihood first."""
    names, in_nats = sorted(_part_names(own).values(), key=lambda name: name != "likelihood"), _in_nats(own)
    if names == ["likelihood"] and in_nats:
        axis = "log p of the\ngolden response (nats)"
    elif len(names) == 1:
        axis = ALONE.get(names[0], f"{names[0]} (no unit)")
    else:
        spelled = {"likelihood": "log p" if in_nats else "probability"}
        axis = f"{' + '.join(spelled.get(name, name) for name in names) or 'reward'} ({_unit(own)})"
    return Layout(f"Reward ({role})", axis, {"reward": "reward"})


def _parts(role: str, own: Sequence[PlacedPhase]) -> list[Layout]:
    """Lay out the parts where there are several, a log p by itself: it is hundreds of times as large as the others."""
    keys = _part_names(own)
    if len(keys) < 2:
        return []
    apart = [LIKELIHOOD] if _in_nats(own) else []
    layouts = [Layout(f"Likelihood ({role})", "log p (nats)", {key: keys.pop(key)}) for key in apart]
    return [*layouts, Layout(f"Parts of the reward ({role})", "part (no unit)", keys)]


def _spread(role: str, own: Sequence[PlacedPhase]) -> Layout:
    return Layout(f"Spread of the reward ({role})", f"standard deviation ({_unit(own)})", {"reward_std": "spread"})


def _part_names(own: Sequence[PlacedPhase]) -> dict[str, str]:
    return part_keys([row for one in own for row in one.phase.log])


def _unit(own: Sequence[PlacedPhase]) -> str:
    return "nats" if _in_nats(own) else "no unit"


def _in_nats(own: Sequence[PlacedPhase]) -> bool:
    return any(value < 0 for one in own for value in one.phase.values(LIKELIHOOD))
