"""Samples, prompts, loaders and the store of a run; nothing in here needs torch."""

from benchmark.errors import Mistake, RpmMethodsError, RunFailure, UserMistakes
from benchmark.loading import load_benchmark
from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import AgentCharacter, Benchmark, Sample, Turn
from benchmark.subsets import SUBSETS, Subset

__all__ = [
    "SUBSETS",
    "AgentCharacter",
    "Benchmark",
    "Mistake",
    "Prompt",
    "PromptRenderer",
    "RpmMethodsError",
    "RunFailure",
    "Sample",
    "Subset",
    "Turn",
    "UserMistakes",
    "load_benchmark",
]
