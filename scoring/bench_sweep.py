"""The settings of scoring that could be faster on a GPU, each measured on the same pairs.

What is swept: the attention, the tokens in a batch, and what torch compiles. Each setting is checked by what it scores:
`difference` is the largest from the first setting, in nats a token.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.bench import PairScorer, Workload, model_operations, score_all_pairs, timed
from scoring.bench_shapes import BenchShape, random_workload
from scoring.likelihood import LikelihoodScorer
from scoring.models.attention import use_grouped_attention
from scoring.models.causal_lm import CausalLM
from scoring.models.memory import device_peak_bytes, release_memory, reset_peak_memory
from scoring.packed_sequence import PackedScorer

ATTENTIONS = ("grouped", "usual", "packed")
"""`scoring.models.attention`, transformers' own (both behind a shared cache), and one packed sequence."""
COMPILED: dict[str, Callable[[Any], list[Any]]] = {
    "": lambda model: [],
    "parts": lambda model: [m for m in model.modules() if type(m).__name__.endswith(("MLP", "RMSNorm"))],
    "whole": lambda model: [model.get_decoder()],
}
"""Name -> the modules that torch compiles: none, feed-forward layers and norms, all layers as one."""
WHOLE_SECONDS = 200
"""A setting that compiles everything is begun only if so much time is left."""


@dataclass(frozen=True)
class Setting:
    """One way of scoring."""

    attention: str
    batch_tokens: int
    compiled: str = ""


def settings_of(shape: BenchShape) -> list[Setting]:
    """Return the settings to measure: all batch sizes with each attention, then compiled ones."""
    swept = [Setting(attention, tokens) for attention in ATTENTIONS for tokens in shape.swept_batch_tokens]
    middle = shape.swept_batch_tokens[len(shape.swept_batch_tokens) // 2]
    return swept + [Setting(a, middle, name) for name in shape.compiled for a in ("grouped", "packed")]


def sweep(lm: CausalLM, shape: BenchShape, rate: float, *, seconds: float) -> list[dict[str, Any]]:
    """Measure each setting; one that fails, or that no time is left for, says so in `problem`.

    Args:
        lm: the model; it is given back as it was.
        shape: says what is swept.
        rate: the device's matrix rate, operations a second.
        seconds: no setting is begun when they are over.
    """
    whole = random_workload(shape, shape.samples)
    work = Workload(whole.prefixes[: shape.swept_inputs], whole.responses)
    operations, end, first = model_operations(lm, work), time.perf_counter() + seconds, None
    rows = []
    for setting in settings_of(shape):
        row: dict[str, Any] = asdict(setting)
        if time.perf_counter() + (WHOLE_SECONDS if setting.compiled == "whole" else 0) > end:
            rows.append({**row, "problem": "not measured: too little time was left"})
            continue
        try:
            found, means = measure_setting(lm, setting, work)
        except Exception as error:  # torch's compiler and kernels raise many kinds
            rows.append({**row, "problem": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"})
            continue
        first = means if first is None else first
        share = operations / found["seconds"] / rate
        difference = float(np.abs(means - first).max())
        rows.append({**row, **found, "share_of_matrix_rate": share, "difference": difference})
    return rows


def measure_setting(lm: CausalLM, setting: Setting, work: Workload) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Return seconds, pairs a second, bytes of peak memory and seconds of warming up, and mean log p of each pair."""
    with _set_up(lm, setting) as scorer:
        release_memory()
        _, warming = timed(lambda: [score_all_pairs(scorer, part) for part in (work.first(2), _all_lengths(work))])
        reset_peak_memory()
        means, seconds = timed(lambda: score_all_pairs(scorer, work))
        found = {
            "seconds": seconds,
            "pairs_per_second": means.size / seconds,
            "peak_memory": device_peak_bytes(lm.device.type),
            "warming_seconds": warming,
        }
    return found, means


@contextmanager
def _set_up(lm: CausalLM, setting: Setting) -> Iterator[PairScorer]:
    """Give a scorer of a setting; afterwards the model is as it was."""
    scorer = _scorer(lm, setting)
    compiled = COMPILED[setting.compiled](lm.model)
    for module in compiled:
        module.compile(dynamic=True)
    try:
        yield scorer
    finally:
        for module in compiled:
            module._compiled_call_impl = None
        if compiled:
            torch.compiler.reset()
        lm.model.set_attn_implementation("sdpa")
        use_grouped_attention(lm.model)


def _scorer(lm: CausalLM, setting: Setting) -> PairScorer:
    if setting.attention == "packed":
        return PackedScorer(lm, batch_tokens=setting.batch_tokens)
    lm.model.set_attn_implementation("sdpa")
    if setting.attention == "grouped":
        use_grouped_attention(lm.model)
    return LikelihoodScorer(lm, batch_tokens=setting.batch_tokens)


def _all_lengths(work: Workload) -> Workload:
    """Return one input with all responses: the batches that are to be measured, so that nothing is compiled then."""
    return Workload(work.prefixes[-1:], work.responses)
