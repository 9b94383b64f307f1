"""What `--launch` names: a configuration of accelerate's, read and checked before anything runs.

accelerate takes more than can be kept true here, and passes over some mistakes without a word. What is not supported is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml

from benchmark.errors import Mistake, UserMistakes, nearest
from recipes.finding import LAUNCH_FOLDER, bundled_launches
from rpm_methods.processes import Sharding

DistributedType = Literal["NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED"]
TYPES: tuple[DistributedType, ...] = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED")
ZERO: dict[int, Sharding] = {1: "zero1", 2: "zero2", 3: "zero3"}
INSTALL_DEEPSPEED = 'pip install "rpm-methods[deepspeed]", or take a configuration of another distributed_type'
UNSUPPORTED = ("parallelism_config", "megatron_lm_config", "mpirun_config", "fp8_config", "dynamo_config")
"""Sections of accelerate's that would train otherwise than the recipe says, or that were never tried."""
FSDP_NEEDS = (
    ("fsdp_version", ("2",), "2", "version 1 cannot hold weights and adapters of different formats"),
    ("fsdp_cpu_ram_efficient_loading", ("false",), "false", "adapters of the start are merged in every process"),
    ("fsdp_activation_checkpointing", ("", "false"), "false", "gradient_checkpointing of the recipe does that"),
)
"""Key of `fsdp_config`, values in lower case that will do, the value to set, why."""


@dataclass(frozen=True)
class Devices:
    """What of a launch results depend on."""

    processes: int = 1
    sharding: Sharding = ""

    def identity(self) -> list[object]:
        """Return what the key of a training gets: nothing where one process trains as without a launch."""
        if self == ONE_DEVICE:
            return []
        return [{"processes": self.processes, "sharding": self.sharding}]


ONE_DEVICE = Devices()


@dataclass(frozen=True)
class LaunchConfig:
    """A configuration that can be launched on this machine."""

    path: Path
    content: Mapping[str, Any]
    distributed_type: DistributedType
    devices: Devices
    on_processors: bool
    """Whether the processes compute on processors; else each has a GPU."""

    @property
    def facts(self) -> dict[str, object]:
        """What the manifest says of it."""
        return {
            "name": self.path.stem,
            "processes": self.devices.processes,
            "sharding": self.devices.sharding,
            "config": dict(self.content),
        }


def read_launch(named: Path) -> LaunchConfig:
    """Read a configuration by name or file.

    Raises:
        UserMistakes: all that is wrong with it, or with this machine for it.
    """
    path = _find(named)
    content = _content(path)
    kind = content.get("distributed_type")
    if kind not in TYPES:
        remedy = nearest(str(kind), TYPES)
        raise UserMistakes([Mistake(f"{path}: distributed_type", f"{kind} is not supported", remedy)])
    mistakes = [Mistake(f"{path}: {key}", *rest) for key, *rest in _faults(kind, content)]
    mistakes += _unreadable(path) if not mistakes else []
    if mistakes:
        raise UserMistakes(mistakes)
    devices = Devices(_processes(content), _sharding(kind, content))
    return LaunchConfig(path, content, kind, devices, _on_processors(kind, content))


def _find(named: Path) -> Path:
    if named.is_file():
        return named.resolve()
    bundled = bundled_launches()
    if str(named) in bundled:
        return bundled[str(named)]
    problem = f"is neither a file nor a bundled configuration ({LAUNCH_FOLDER.name}/)"
    raise UserMistakes([Mistake(f"--launch {named}", problem, nearest(str(named), list(bundled)))])


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = f"cannot be read as YAML: {' '.join(str(error).split())}"
        raise UserMistakes([Mistake(str(path), problem, "`accelerate config` writes one")]) from error
    if not isinstance(content, dict):
        raise UserMistakes([Mistake(str(path), "holds no keys", "`accelerate config` writes a configuration")])
    return content


def _faults(kind: DistributedType, content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (key, problem, remedy) of all that cannot be launched."""
    faults = _general_faults(content)
    processes = content.get("num_processes", 1 if kind == "NO" else None)
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        faults.append(("num_processes", f"must be a whole number from 1 on, not {processes}", "give one"))
    elif kind == "NO" and processes > 1:
        faults.append(("num_processes", "must be 1 with distributed_type NO", "take MULTI_GPU or MULTI_CPU"))
    elif not _on_processors(kind, content):
        faults += _gpu_faults(processes, content)
    if kind in ("MULTI_GPU", "FSDP", "DEEPSPEED") and content.get("use_cpu"):
        faults.append(("use_cpu", f"is true, and {kind} trains on GPUs", "set it to false, or take MULTI_CPU"))
    if kind == "FSDP":
        faults += _fsdp_faults(_section(content, "fsdp_config"))
    if kind == "DEEPSPEED":
        faults += _deepspeed_faults(_section(content, "deepspeed_config"))
    return faults


def _general_faults(content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    faults = []
    if content.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        faults.append(("compute_environment", "only LOCAL_MACHINE is supported", "set it so"))
    if content.get("num_machines", 1) != 1:
        problem = "is not 1: the processes of a training run on one machine, where the run is"
        remedy = "set it to 1; --executor ray spreads the trainings of a comparison over machines"
        faults.append(("num_machines", problem, remedy))
    precision = content.get("mixed_precision", "no")
    if precision not in ("no", None):
        problem = f"is {precision}, and compute.dtype of the recipe says in which format to compute"
        faults.append(("mixed_precision", problem, 'set it to "no", in quotation marks'))
    for key in UNSUPPORTED:
        if {name: value for name, value in _section(content, key).items() if str(value).upper() != "NO"}:
            faults.append((key, "is not supported", "leave it out"))
    if str(content.get("dynamo_backend", "NO")).upper() != "NO":
        faults.append(("dynamo_backend", "is not supported", "leave it out"))
    return faults


def _gpu_faults(processes: int, content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    import torch

    there = torch.cuda.device_count()
    chosen = str(content.get("gpu_ids", "all"))
    wanted = [part.strip() for part in chosen.split(",")]
    if chosen == "all":
        wanted = [str(number) for number in range(there)]
    absent = [number for number in wanted if not number.isdigit() or int(number) >= there]
    if absent:
        return [("gpu_ids", f"names {', '.join(absent)}, and there are {there} GPUs here", 'name others, or "all"')]
    if processes > len(wanted):
        problem = f"is {processes}, each of which needs a GPU, and there are {len(wanted)}"
        return [("num_processes", problem, "lower it, or take ddp_cpu2 to try things out on processors")]
    return []


def _fsdp_faults(section: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (f"fsdp_config.{key}", f"must be {value}: {why}", f"set it to {value}")
        for key, allowed, value, why in FSDP_NEEDS
        if str(section.get(key, "")).lower() not in allowed
    ]


def _deepspeed_faults(section: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    faults = [] if find_spec("deepspeed") else [("distributed_type", "DeepSpeed is not installed", INSTALL_DEEPSPEED)]
    if "deepspeed_config_file" in section:
        where = "deepspeed_config.deepspeed_config_file"
        faults.append((where, "is not supported", "give zero_stage and the other keys here"))
    elif section.get("zero_stage") not in ZERO:
        faults.append(("deepspeed_config.zero_stage", f"is {section.get('zero_stage')}", "take 1, 2 or 3"))
    if section.get("zero_stage") == 3:
        if str(section.get("zero3_init_flag", "")).lower() != "false":
            problem = "must be false: adapters of the start are merged in every process"
            faults.append(("deepspeed_config.zero3_init_flag", problem, "set it to false"))
        if str(section.get("zero3_save_16bit_model", "")).lower() != "true":
            problem = "must be true: without it checkpoints hold no adapter"
            faults.append(("deepspeed_config.zero3_save_16bit_model", problem, "set it to true"))
    for key in ("gradient_accumulation_steps", "gradient_clipping"):
        if section.get(key, "auto") != "auto":
            problem = f"is {section[key]}, and the recipe's config.training decides it"
            faults.append((f"deepspeed_config.{key}", problem, "set it to auto"))
    return faults


def _unreadable(path: Path) -> list[Mistake]:
    """Return what accelerate itself finds wrong: keys that it does not know."""
    from accelerate.commands.config import config_args

    try:
        config_args.load_config_from_file(str(path))
    except Exception as error:  # it raises many kinds
        return [Mistake(str(path), f"accelerate cannot read it: {error}", "`accelerate config` writes one")]
    return []


def _section(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = content.get(key)
    return section if isinstance(section, Mapping) else {}


def _processes(content: Mapping[str, Any]) -> int:
    return int(content.get("num_processes", 1))


def _sharding(kind: DistributedType, content: Mapping[str, Any]) -> Sharding:
    if kind == "FSDP":
        return "fsdp"
    return ZERO[content["deepspeed_config"]["zero_stage"]] if kind == "DEEPSPEED" else ""


def _on_processors(kind: DistributedType, content: Mapping[str, Any]) -> bool:
    import torch

    return kind == "MULTI_CPU" or (kind == "NO" and (bool(content.get("use_cpu")) or not torch.cuda.is_available()))
