"""Machines: what they can do, what they cost, and how long they take over a piece of work."""

import re
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import Mistake, UserMistakes, nearest
from recipes.cost.work import Kind, Work
from recipes.yaml_origins import TracedMapping, parse_yaml, read_traced

GIGA, TERA = 1e9, 1e12
_COUNTED = re.compile(r"(?P<name>.+?)x(?P<count>[1-9][0-9]*)")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shares(_Section):
    """What part of a device's rates is reached."""

    scoring: float = Field(gt=0, le=1)
    """Of the matrix rate, in forward passes."""
    training: float = Field(gt=0, le=1)
    """Of the matrix rate, in forward and backward passes."""
    decoding: float = Field(gt=0, le=1)
    """Of the memory bandwidth."""


class Hardware(_Section):
    """A machine with one or several equal devices."""

    title: str
    bfloat16_tflops: float = Field(gt=0)
    float32_tflops: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    """Of one device."""
    host_memory_gb: float | None = Field(default=None, gt=0)
    """Of the machine beside its devices; None where it is not known, or the device is the processor."""
    bandwidth_gb_s: float = Field(gt=0)
    processor: bool = False
    """Whether the device is the processor itself, on which training shares prompts."""
    usd_an_hour: float = Field(ge=0)
    """Of one device."""
    shares: Shares
    seconds_a_layer: float = Field(ge=0)
    """Fixed cost of one layer in one pass."""
    start_seconds: float = Field(ge=0)
    """Of each model that is made ready, beside the reading of its weights."""
    load_gb_s: float = Field(gt=0)
    devices: int = Field(default=1, ge=1)
    spread: float = Field(default=0.9, gt=0, le=1)
    """With several devices, the part of their joint speed that is reached."""
    sources: dict[str, str]

    @property
    def device(self) -> str:
        """Return "cpu" or "cuda"."""
        return "cpu" if self.processor else "cuda"

    @property
    def price(self) -> float:
        """USD an hour of the whole machine."""
        return self.devices * self.usd_an_hour

    def seconds(self, work: Work) -> float:
        """Return the wall time of a piece of work.

        That is the longer of arithmetic and memory traffic, as in the roofline model. A processor pays a fixed cost for
        each layer of each pass beside; a GPU prepares the next layer meanwhile, so the longest of the three counts.
        Devices share it evenly; work of the processor is done once, and loading by all.
        """
        if work.kind == "processor":
            return work.seconds
        rate = {"bfloat16": self.bfloat16_tflops, "float32": self.float32_tflops}[work.precision] * TERA
        arithmetic = work.operations / (rate * self._share(work.kind))
        traffic = work.bytes_read / (self.bandwidth_gb_s * GIGA * self.shares.decoding)
        fixed = work.layer_passes * self.seconds_a_layer
        alone = max(arithmetic, traffic) + fixed if self.processor else max(arithmetic, traffic, fixed)
        return self.ready(work) + (alone if self.devices == 1 else alone / (self.devices * self.spread))

    def ready(self, work: Work) -> float:
        """Return the part of it in which models are made ready."""
        return work.starts * self.start_seconds + work.loaded / (self.load_gb_s * GIGA)

    def _share(self, kind: Kind) -> float:
        return self.shares.training if kind == "training" else self.shares.scoring


def find_hardware(name: str, price: float | None = None) -> Hardware:
    """Return a machine by its name in the catalogue ("h100x8": eight of them), or from a file that describes one.

    Raises:
        UserMistakes: there is no such name or file, or what the file holds is wrong: every mistake in it.
    """
    mistakes: list[Mistake] = []
    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        found = _read(read_traced(Path(name), mistakes), mistakes)
    else:
        found = _from_catalogue(name, mistakes)
    if found is None:
        raise UserMistakes(mistakes)
    if price is None:
        return found
    sources = {**found.sources, "usd_an_hour": "given on the command line"}
    return found.model_copy(update={"usd_an_hour": price, "sources": sources})


def catalogue() -> dict[str, Hardware]:
    """Return the machines that are listed, by name."""
    with as_file(files("recipes.cost").joinpath("_hardware.yaml")) as path:
        entries: Mapping[str, Any] = parse_yaml(path.read_text(encoding="utf-8"))
    return {name: Hardware.model_validate(entry) for name, entry in entries.items()}


def _from_catalogue(name: str, mistakes: list[Mistake]) -> Hardware | None:
    known = catalogue()
    counted = _COUNTED.fullmatch(name)
    if name in known:
        return known[name]
    if counted and counted["name"] in known:
        return known[counted["name"]].model_copy(update={"devices": int(counted["count"])})
    remedy = f"{nearest(name, list(known))}; put x8 behind a name for eight of them, or give a file (.yaml)"
    mistakes.append(Mistake("--hardware", f"no machine '{name}' is known", remedy))
    return None


def _read(traced: TracedMapping, mistakes: list[Mistake]) -> Hardware | None:
    """Return what a file describes, or None after noting every mistake in it."""
    if mistakes:
        return None
    try:
        return Hardware.model_validate(traced.data)
    except ValidationError as error:
        mistakes += [_mistake(traced, detail) for detail in error.errors()]
        return None


def _mistake(traced: TracedMapping, detail: Any) -> Mistake:  # noqa: ANN401 - pydantic's error
    path = detail["loc"]
    where = f"{traced.origin(path)}: {'.'.join(map(str, path))}"
    if detail["type"] == "extra_forbidden":
        model = Shares if path[0] == "shares" else Hardware
        return Mistake(where, "unknown key", nearest(str(path[-1]), list(model.model_fields)))
    if detail["type"] == "missing":
        return Mistake(where, "is missing", "the catalogue recipes/cost/_hardware.yaml shows every key")
    return Mistake(where, f"{detail['msg'][0].lower()}{detail['msg'][1:]} (it is {detail['input']!r})")
