"""Runs of the command line in processes of their own that begin with everything imported.

They are forked from a server that imported it once, so that a test can start and kill many without waiting each time.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

HEAVY = [
    "recipes.comparison",
    "recipes.run",
    "recipes.scored_run",
    "reports.report",
    "rpm_methods.adapter_training",
    "sentence_transformers",
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
]
"""What a comparison imports; a module that cannot be imported ahead is imported by the run."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(HEAVY)


class WarmProcess:
    """A run of `rpm-methods` that leads a process group of its own."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """Start it in a folder."""
        reader, writer = SERVER.Pipe(duplex=False)
        self._process: BaseProcess = SERVER.Process(target=_run, args=(list(arguments), folder, writer))
        self._process.start()
        writer.close()
        self.stdout: IO[str] = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill the process and all that it started."""
        assert self._process.pid is not None
        os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self, timeout: float = 600) -> tuple[str, int]:
        """Wait for its end and return what else it wrote (a pipeful at most) and its code, negative for a signal."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        with self.stdout:
            return self.stdout.read(), self._process.exitcode


def _run(arguments: Sequence[str], folder: Path, output: Connection) -> None:
    os.setsid()
    os.chdir(folder)
    os.dup2(output.fileno(), 1)
    output.close()
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115 - for good
    sys.argv = ["rpm-methods", *arguments]
    from recipes.cli import main

    main()
