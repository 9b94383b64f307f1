"""`rpm-methods doctor`: what this machine has, and what would go wrong on it."""

import importlib.util
import shutil
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def doctor(
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="First convert the packaged models into the cache, so that runs start at once."),
    ] = False,
) -> None:
    """Show versions, devices, number formats, backends, the hub, and disk space.

    Example: rpm-methods doctor
    """
    if prepare:
        _prepare()
    table = Table(box=None, show_header=False, pad_edge=False)
    for rows in (_versions(), _devices(), _backends(), _executors(), _hub(), _disk()):
        for name, value in rows:
            table.add_row(name, value)
    Console(highlight=False, markup=False).print(table)


def _prepare() -> None:
    from scoring.models.packaged import PACKAGED
    from scoring.models.resolver import locate_model

    for name in PACKAGED:
        locate_model(name)


def _versions() -> list[tuple[str, str]]:
    from recipes.environment import package_versions

    rows = [(name, found or "not installed") for name, found in package_versions().items()]
    if importlib.util.find_spec("torchvision"):
        rows.append(("torchvision", "installed: remove it unless it matches torch, or transformers will not import"))
    return rows


def _devices() -> list[tuple[str, str]]:
    import torch

    from scoring.models.precision import choose_dtype, default_device, device_name, measured_rates
    from scoring.models.quantization import why_not_quantized

    device = default_device()
    rates, reason = measured_rates(device), why_not_quantized(device)
    shown = ", ".join(f"{name} {rate / 1e12:.2f} TFLOP/s" for name, rate in rates.items())
    return [
        ("device", f"{device}: {device_name(device)}, {torch.get_num_threads()} threads"),
        ("cpu features", f"{torch.backends.cpu.get_cpu_capability()}, {_matrix_units()}"),
        ("matrix product", shown),
        ("number format", f"{choose_dtype('auto', device)} (chosen for `dtype: auto`)"),
        ("quantised weights", "usable" if reason is None else f"not usable: {'; '.join(reason)}"),
    ]


def _matrix_units() -> str:
    import torch

    probes = {"AMX": "_is_amx_tile_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    found = [name for name, probe in probes.items() if getattr(torch.cpu, probe, lambda: False)()]
    return " and ".join(found) or "no bf16 matrix units"


def _backends() -> list[tuple[str, str]]:
    from scoring.models.vllm_version import INSTALL, vllm_version, why_no_vllm

    reason = why_no_vllm()
    vllm = f"{vllm_version()}, usable" if reason is None else f"{reason}; {INSTALL}"
    return [
        ("backend transformers", "installed"),
        ("backend vllm", vllm),
        ("backend server", "any OpenAI-compatible server with /v1/completions"),
    ]


def _executors() -> list[tuple[str, str]]:
    from importlib.metadata import version

    from recipes.execution import INSTALL_RAY

    ray = version("ray") if importlib.util.find_spec("ray") else f"not installed: {INSTALL_RAY}"
    return [("executor ray", ray)]


def _hub() -> list[tuple[str, str]]:
    from huggingface_hub import HfApi

    try:
        HfApi().model_info("HuggingFaceTB/SmolLM2-135M-Instruct", timeout=5)
        return [("hub", "in reach")]
    except Exception:  # its client raises many kinds when it is out of reach
        return [("hub", "out of reach: packaged models and local folders still work")]


def _disk() -> list[tuple[str, str]]:
    from scoring.models.cache import cache_folder

    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    return [("model cache", f"{folder} ({free:.1f} GiB free)")]
