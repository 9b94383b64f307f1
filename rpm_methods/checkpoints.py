"""Checkpoints of a training run: which of those that an interruption left can be gone on from."""

import json
import shutil
from pathlib import Path
from typing import Any

CHECKPOINTS = "checkpoints"
"""Their folder, beside the policy."""
STATE = "trainer_state.json"
"""The last file that transformers writes into a checkpoint."""


def last_checkpoint(folder: Path) -> str | None:
    """Return the latest checkpoint that was written to its end, that of the last step left out.

    Going on from that one, transformers trains a step too many when training ends within an epoch.
    """
    states = {path: _trainer_state(path) for path in folder.glob("checkpoint-*")}
    steps = sorted((s["global_step"], path) for path, s in states.items() if s and s["global_step"] < s["max_steps"])
    return str(steps[-1][1]) if steps else None


def _trainer_state(checkpoint: Path) -> dict[str, Any] | None:
    """Return what the last file of a checkpoint says; None where it is missing or cut."""
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, their states first: one that is half removed must not look whole."""
    for state in folder.glob(f"checkpoint-*/{STATE}"):
        state.unlink()
    shutil.rmtree(folder, ignore_errors=True)
