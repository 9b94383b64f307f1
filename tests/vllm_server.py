"""vLLM's own server of the packaged model on this machine."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

STARTING_SECONDS = 400


@contextmanager
def serve_by_vllm(model: Path, log: Path) -> Iterator[str]:
    """Run vLLM's server on this machine; give its URL once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [  # what `vllm serve` runs; that command itself asks for the GPU build's version and fails without it
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--host", "127.0.0.1",
        "--port", str(port), "--served-model-name", "smol", "--dtype", "float32", "--enforce-eager",
        "--generation-config", "vllm", "--gpu-memory-utilization", "0.25", "--max-model-len", "4096",
    ]  # fmt: skip
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            deadline = time.monotonic() + STARTING_SECONDS
            while not _healthy(port):
                assert server.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
