"""Building a benchmark of distribution shifts with a language model, as the paper's appendix A does."""

from benchmark.construction.build import PHASES, Builder, Built
from benchmark.construction.settings import BuildSettings

__all__ = ["PHASES", "BuildSettings", "Builder", "Built"]
