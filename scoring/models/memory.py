"""Memory of this process: giving it back, and measuring its peak."""

import ctypes
import gc
import resource
import sys
from pathlib import Path

import torch


def release_memory() -> None:
    """Give memory that is no longer used back to the system, so that one stage's peak does not add to the next's."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def reset_peak_memory() -> None:
    """Begin a new measurement of peak memory where the system can (Linux); elsewhere peaks are the process's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the most memory held since the last reset, in bytes of resident memory."""
    try:
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes(device: str) -> int:
    """Return the most memory of a device held since the last reset, in bytes: what torch had on it, or resident."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory_bytes()
