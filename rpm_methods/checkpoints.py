"""Checkpoints of a training run: which of those that an interruption left can be gone on from."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

CHECKPOINTS = "checkpoints"
"""Their folder, beside the policy."""
STATE = "trainer_state.json"
"""The last file that transformers writes into a checkpoint, by the first process where there are several."""
RANDOM_STATE = "rng_state_{index}.pth"
"""What each of several processes writes of its own, when all else that it writes is there."""


def last_checkpoint(folder: Path, processes: int = 1) -> str | None:
    """Return the latest checkpoint that was written to its end by all processes, that of the last step left out.

    Going on from that one, transformers trains a step too many when training ends within an epoch.
    """
    states = {path: _trainer_state(path) for path in folder.glob("checkpoint-*") if _all_wrote(path, processes)}
    steps = sorted((s["global_step"], path) for path, s in states.items() if s and s["global_step"] < s["max_steps"])
    return str(steps[-1][1]) if steps else None


def _all_wrote(checkpoint: Path, processes: int) -> bool:
    """Tell whether each of several processes wrote its file to the end, where the table of a zip file stands.

    Without it transformers goes on with other random numbers and says nothing.
    """
    if processes == 1:
        return True
    return all(zipfile.is_zipfile(checkpoint / RANDOM_STATE.format(index=index)) for index in range(processes))


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
