"""Where experiment trackers write: beside the policy, in one place for a run and its continuations."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's event files, beside the policy."""
VARIABLE = "TENSORBOARD_LOGGING_DIR"
"""Read by transformers when a trainer is made; without it the files would lie among the checkpoints, which go."""


@contextmanager
def tracked_in(folder: Path) -> Iterator[None]:
    """Let trainers that are made inside write TensorBoard files into the folder, unless the user chose another."""
    if VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = str(folder / TENSORBOARD)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
