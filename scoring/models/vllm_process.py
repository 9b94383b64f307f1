"""The process in which vLLM's engine runs, as seen from the one that asks: start, batches, end, and what went wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.errors import RunFailure
from benchmark.run_store import disk_errors
from scoring.models.vllm_worker import ENVIRONMENT

WORKER = "scoring.models.vllm_worker"
ENDING_SECONDS = 20.0
"""How long the process may take to end by itself before it is killed."""
KEPT = "the finished answers are kept, and the same command goes on from them"


class VllmProcess:
    """An engine that answers batches of requests. Close it, or its memory stays taken."""

    def __init__(self, arguments: Mapping[str, Any], log: Path, *, threads: int) -> None:
        """Start the engine and wait until it is ready.

        Args:
            arguments: those of `vllm.LLM`.
            log: file for all that vLLM prints.
            threads: of CPU work.

        Raises:
            RunFailure: it could not be started; says what to change.
        """
        self._arguments, self._log = arguments, log
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **ENVIRONMENT}
        with disk_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w", encoding="utf-8") as file:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", WORKER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    env=environment,
                    encoding="utf-8",
                )
        try:
            self._ask(arguments, "starting")
        except BaseException:
            self.close()
            raise

    def answer(self, requests: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Return the tokens drawn for each request, in order, with those that ended the answers.

        A request holds the `ids` of the prompt and the arguments of vLLM's SamplingParams as `sampling`.

        Raises:
            RunFailure: the engine failed; says what to change.
        """
        answers: list[list[int]] = self._ask(requests, "answering")["answers"]
        return answers

    def close(self) -> None:
        """End the process and free its memory."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                with suppress(BrokenPipeError):  # it had ended before
                    stream.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, content: object, doing: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise RunFailure(self._ended(doing))
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise RunFailure(self._failed(reply["error"], reply["kind"], doing))
        return reply

    def _ended(self, doing: str) -> str:
        """Say that the process ended without a word."""
        status = self._process.wait()
        if status == -9:
            return f"vLLM was killed while {doing}, most likely for want of memory; {self._lower()}; {KEPT}"
        return f"vLLM ended while {doing} (status {status}); its own words are in {self._log}; {KEPT}"

    def _failed(self, error: str, kind: str, doing: str) -> str:
        said = " ".join(error.split())[:300]
        if kind == "memory":
            return f"vLLM ran out of memory while {doing} ({said}); {self._lower()}; {KEPT}"
        if kind == "share":
            share = self._arguments["gpu_memory_utilization"]
            remedy = f"raise generation.vllm.gpu_memory_utilization (it is {share}), or spread the model over more GPUs"
            return f"vLLM's share of memory is too small for the model ({said}); {remedy}; {KEPT}"
        return f"vLLM failed while {doing} ({said}); its own words are in {self._log}; {KEPT}"

    def _lower(self) -> str:
        share = self._arguments["gpu_memory_utilization"]
        return f"lower generation.batch_tokens or generation.vllm.gpu_memory_utilization (it is {share})"
