"""What a run ran on: package versions, git revision, device, threads."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmark.errors import Mistake, UserMistakes
from benchmark.run_store import content_key
from recipes.schema import ComputeSettings
from scoring.models.precision import QUANTIZED, choose_dtype, default_device
from scoring.models.quantization import QUANTIZER, why_not_quantized

PACKAGES = (
    "rpm-methods",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "sentence-transformers",
    "accelerate",
    "numpy",
)


@dataclass(frozen=True)
class Compute:
    """The settings of `compute` with every "auto" decided."""

    device: str
    dtype: str
    """Format of models' weights: "bfloat16", "float32", or "8bit" or "4bit", which compute in bfloat16."""
    threads: int


def settle_compute(settings: ComputeSettings) -> Compute:
    """Decide device, number format and threads, and set the threads for this process.

    Raises:
        UserMistakes: the device cannot hold quantised weights.
    """
    if mistakes := check_compute(settings, "compute"):
        raise UserMistakes(mistakes)
    threads = settings.threads or usable_cores()
    torch.set_num_threads(threads)
    device = _device(settings)
    chosen = choose_dtype(settings.dtype, device) if settings.quantization == "none" else settings.quantization
    return Compute(device, chosen, threads)


def check_compute(settings: ComputeSettings, where: str) -> list[Mistake]:
    """Return what is wrong with the settings on this machine; `where` names the section that holds them."""
    reason = None if settings.quantization == "none" else why_not_quantized(_device(settings))
    return [] if reason is None else [Mistake(f"{where}.quantization", *reason)]


def _device(settings: ComputeSettings) -> str:
    return default_device() if settings.device == "auto" else settings.device


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def package_versions(compute: Compute | None = None) -> dict[str, str | None]:
    """Return the versions of the packages that results depend on; None for one that is not installed.

    Given what is computed with, those that only quantised weights need are among them where these are used.
    """
    found: dict[str, str | None] = {}
    quantized = compute is not None and compute.dtype in QUANTIZED
    for name in (*PACKAGES, *([QUANTIZER] if quantized else [])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def stage_key(kind: str, parts: Sequence[object], seed: int, compute: Compute) -> str:
    """Hash what a stage depends on, with device, number format, threads and package versions."""
    return content_key([kind, list(parts), seed, asdict(compute), package_versions(compute)])


def git_revision() -> str | None:
    """Return the revision of the checkout that this code lies in, with "+changes" if it was edited; None outside."""
    folder = Path(__file__).parent
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        return revision + ("+changes" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
