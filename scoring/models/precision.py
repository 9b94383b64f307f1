"""Which number format is fast on this machine: measured once, remembered, never guessed from a name."""

import platform
import time
from pathlib import Path

import torch

from benchmark.run_store import read_json, write_json
from scoring.models.cache import cache_folder

SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the measured product; on a GPU a small one would measure its launch."""
REPEATS = 8
WORTHWHILE = 1.5
"""bfloat16 is chosen where its matrix product is this many times as fast as float32's."""

DTYPES: dict[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}
QUANTIZED = ("8bit", "4bit")
"""Formats of weights alone: their layers compute in bfloat16, and so does the rest of such a model."""


def computing_dtype(weights: str) -> torch.dtype:
    """Return the format in which a model computes whose weights are "bfloat16", "float32", "8bit" or "4bit"."""
    return torch.bfloat16 if weights in QUANTIZED else DTYPES[weights]


def default_device() -> str:
    """Return "cuda" where there is a CUDA device, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """Return the rate of a square matrix product (`SIZES`) in operations a second, best of eight."""
    size = SIZES[device]
    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(REPEATS + 1):
        synchronize(device)
        start = time.perf_counter()
        left @ right
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def synchronize(device: str) -> None:
    """Wait for all work of a CUDA device; a CPU's is done when its call returns."""
    if device == "cuda":
        torch.cuda.synchronize()


def measured_rates(device: str) -> dict[str, float]:
    """Return the matrix rates of both formats in operations a second; measured once a machine and torch version."""
    machine = _machine_name(device)
    record = cache_folder() / "precision.json"
    known = read_json(record) if record.is_file() else {}
    if machine not in known:
        known[machine] = {name: matrix_rate(dtype, device) for name, dtype in DTYPES.items()}
        write_json(record, known)
    return dict(known[machine])


def choose_dtype(setting: str, device: str) -> str:
    """Return "bfloat16" or "float32" for the recipe's setting "auto", "bfloat16" or "float32"."""
    if setting != "auto":
        return setting
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    rates = measured_rates(device)
    return "bfloat16" if rates["bfloat16"] >= WORTHWHILE * rates["float32"] else "float32"


def _machine_name(device: str) -> str:
    size = f" / size {SIZES[device]}" if device == "cuda" else ""
    return f"{device_name(device)} / {torch.get_num_threads()} threads / torch {torch.__version__}{size}"


def device_name(device: str) -> str:
    """Return the name of the CUDA device or of the processor."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
