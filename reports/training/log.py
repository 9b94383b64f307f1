"""From the rows of a training's log (transformers' `log_history`) to panels, and which keys make which panel."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.run_store import read_json, read_jsonl
from reports.training.panels import Curve, Panel

LOG, PREFLIGHT, ROLLOUTS = "training_log.json", "preflight.json", "rollouts.jsonl"
"""What a training leaves in its folder; the last where it learned from its own answers."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """Which keys of a log make a panel, and what they are multiplied by."""

    title: str
    axis: str
    keys: Mapping[str, str]
    factor: float = 1.0
    limits: tuple[float, float] | None = None


PERCENT = (-4.0, 104.0)
WITHOUT_SPREAD = Layout(
    "Groups without spread", "groups (%)", {"frac_reward_zero_std": "groups without spread"}, 100, PERCENT
)
LENGTH = Layout("Mean length", "rollout (tokens)", {"completions/mean_length": "mean length"})
CUT = Layout(
    "Rollouts cut or malformed",
    "rollouts (%)",
    {"completions/clipped_share": "cut by the length limit", "completions/malformed_share": "malformed"},
    100,
    PERCENT,
)
ENTROPY = Layout("Entropy", "entropy (nats a token)", {"entropy": "entropy"})
DIVERGENCE = Layout("Divergence from the reference model", "KL (nats a token)", {"kl": "KL"})
GRADIENT = Layout("Gradient norm", "norm (no unit)", {"grad_norm": "gradient norm"})
LAYOUTS = (
    Layout(
        "Implicit rewards",
        "reward (beta times nats)",
        {"rewards/chosen": "chosen", "rewards/rejected": "rejected", "rewards/margins": "margin"},
    ),
    Layout("Pairs ranked rightly", "pairs (%)", {"rewards/accuracies": "pairs ranked rightly"}, 100, PERCENT),
    WITHOUT_SPREAD,
    LENGTH,
    CUT,
    ENTROPY,
    DIVERGENCE,
    Layout("Tokens with a clipped ratio", "tokens (%)", {"clip_ratio/region_mean": "ratio clipped"}, 100),
    GRADIENT,
    Layout("Learning rate", "learning rate (no unit)", {"learning_rate": "learning rate"}),
)
"""Panels behind those of the loss and the reward, whose form depends on the log."""


def read_training(log: Path) -> tuple[Sequence[Row], Row, Sequence[Row]]:
    """Return the rows of a log, the preflight and the rollouts beside it, empty where there are none.

    Raises:
        RunFailure: a file is damaged.
    """
    preflight, rollouts = log.with_name(PREFLIGHT), log.with_name(ROLLOUTS)
    return (
        read_json(log),
        read_json(preflight) if preflight.is_file() else {},
        read_jsonl(rollouts) if rollouts.is_file() else (),
    )


def build_panels(rows: Sequence[Row]) -> list[Panel]:
    """Arrange the rows of a log as panels; those without any value are left out."""
    panels = [_loss_panel(rows), *_reward_panels(rows), *(laid_out(rows, layout) for layout in LAYOUTS)]
    return [panel for panel in panels if panel.curves]


def laid_out(rows: Sequence[Row], layout: Layout) -> Panel:
    """Return the panel of a layout; it has no curves where nothing of it was logged."""
    return Panel(layout.title, layout.axis, _curves(rows, layout.keys, layout.factor), layout.limits)


def part_keys(rows: Sequence[Row]) -> dict[str, str]:
    """Return the key of each part of the reward that is in a log, with the part's name, in the log's order."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: found[1] for key in keys if (found := re.fullmatch("rewards/(.+)/mean", key))}


def _loss_panel(rows: Sequence[Row]) -> Panel:
    logged = {key for row in rows for key in row}
    title, axis = "Loss", "loss (nats a token)"
    if "reward" in logged:
        title, axis = "Policy-gradient loss", "loss (no unit)"
    elif "rewards/margins" in logged:
        axis = "loss (mean of pairs)"
    return Panel(title, axis, _curves(rows, {"loss": "loss"}))


def _reward_panels(rows: Sequence[Row]) -> tuple[Panel, Panel]:
    """Return the total with its spread, and its parts, unweighted as they are logged."""
    total = _curves(rows, {"reward": "reward"}, spread="reward_std")
    parts = _curves(rows, part_keys(rows))
    return Panel("Reward", "reward (no unit)", total), Panel("Parts of the reward", "part (no unit)", parts)


def _curves(
    rows: Sequence[Row], keys: Mapping[str, str], factor: float = 1.0, spread: str | None = None
) -> tuple[Curve, ...]:
    """Return a curve for each key that has a value somewhere."""
    curves = []
    for key, label in keys.items():
        own = [row for row in rows if key in row]
        if any(row[key] is not None for row in own):
            values = tuple(None if row[key] is None else factor * row[key] for row in own)
            band = tuple(row.get(spread) for row in own) if spread else ()
            known = band if any(half is not None for half in band) else ()
            curves.append(Curve(label, tuple(row["step"] for row in own), values, known))
    return tuple(curves)
