"""The paper's published tables as typed rows, with its headings mapped onto this project's keys.

Nothing here was computed by this project; `benchmark/data/published/README.md` says what each table is and what was
checked. All tables are read once and are immutable.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import cast

from benchmark.subsets import SUBSETS, TRAIN_SPLIT, Shift, subset

_SHIFTS: dict[str, Shift] = {
    "ID": "none",
    "user_shift": "user",
    "character_shift": "character",
    "dialogue_shift": "dialogue",
}
"""Headings of the files -> shifts."""
_SPLITS = {TRAIN_SPLIT: TRAIN_SPLIT, "IDTest": "IDTest"} | {
    heading: next(s.split for s in SUBSETS if s.shift == shift) for heading, shift in _SHIFTS.items()
}


@dataclass(frozen=True)
class PublishedPerplexity:
    """A row of Table 1: perplexity of the golden responses under a variant of the estimator (lower is better)."""

    variant: str
    """ "corl", "without_corl" or "without_reasoning"."""
    perplexity: Mapping[Shift, float]


@dataclass(frozen=True)
class PublishedSplit:
    """A row of Table 2: the size of a split of RPGBench."""

    split: str
    """Name of the split in RPGBench's file, such as "OOD1Test"."""
    role: str
    """ "train" or "test"."""
    samples: int
    user_personas: int
    agent_characters: int


@dataclass(frozen=True)
class PublishedBoundTerms:
    """A row of Table 12: SFT of Qwen3-4B, from the in-distribution data to one shifted subset."""

    shift: Shift
    subset: str
    """Subset key."""
    jsd_user: float
    """Estimated Jensen-Shannon divergence of the user personas; so for the next two."""
    jsd_character: float
    jsd_dialogue: float
    bound: float
    """The R-EMID upper bound. Its unit is not stated: `scoring.calibrated_bound` shows that it is scaled."""


@dataclass(frozen=True)
class PublishedCorrelation:
    """A row of Table 13: Pearson correlation between the estimated bound and R-EMID under one shift."""

    shift: Shift
    pearson_r: float
    p_value: float
    p_value_is_limit: bool
    """True where the table prints "< p_value"."""


@dataclass(frozen=True)
class PublishedCost:
    """A row of Table 14: what evaluating 1,500 test samples takes."""

    evaluator: str
    """ "r_emid" or "llm_judge"."""
    samples: int
    minutes: float
    usd: float
    setup: str


@dataclass(frozen=True)
class PublishedRemi:
    """A row of Table 20: R-EMI of one method on one base model (higher is better)."""

    base_model: str
    method: str
    """Method key: "grpo" for the row that the paper calls RL, "corl" for the one that it calls Ours."""
    remi: Mapping[str, float]
    """Subset key -> R-EMI, for all twelve in the order of the table."""
    average: float
    """As printed: the mean over the twelve, the in-distribution test included."""


@cache
def published_perplexity() -> tuple[PublishedPerplexity, ...]:
    """Return Table 1."""
    return tuple(
        PublishedPerplexity(
            row["variant"], MappingProxyType({shift: float(row[head]) for head, shift in _SHIFTS.items()})
        )
        for row in _rows("table01_perplexity.csv")
    )


@cache
def published_splits() -> tuple[PublishedSplit, ...]:
    """Return Table 2."""
    return tuple(
        PublishedSplit(
            split=_SPLITS[row["split"]],
            role=row["role"],
            samples=int(row["samples"]),
            user_personas=int(row["user_personas"]),
            agent_characters=int(row["agent_characters"]),
        )
        for row in _rows("table02_rpgbench_statistics.csv")
    )


@cache
def published_bound_terms() -> tuple[PublishedBoundTerms, ...]:
    """Return Table 12, in the order of the subsets."""
    return tuple(
        PublishedBoundTerms(
            shift=subset(row["subset"]).shift,
            subset=row["subset"],
            jsd_user=float(row["jsd_user"]),
            jsd_character=float(row["jsd_character"]),
            jsd_dialogue=float(row["jsd_dialogue"]),
            bound=float(row["remid_upper_bound"]),
        )
        for row in _rows("table12_bound_terms.csv")
    )


@cache
def published_correlations() -> tuple[PublishedCorrelation, ...]:
    """Return Table 13."""
    return tuple(
        PublishedCorrelation(
            shift=cast(Shift, row["shift_type"]),
            pearson_r=float(row["pearson_r"]),
            p_value=float(row["p_value"].removeprefix("<")),
            p_value_is_limit=row["p_value"].startswith("<"),
        )
        for row in _rows("table13_bound_correlation.csv")
    )


@cache
def published_costs() -> tuple[PublishedCost, ...]:
    """Return Table 14."""
    return tuple(
        PublishedCost(row["evaluator"], int(row["samples"]), float(row["minutes"]), float(row["usd"]), row["setup"])
        for row in _rows("table14_cost.csv")
    )


@cache
def published_remi() -> tuple[PublishedRemi, ...]:
    """Return Table 20: nine methods on Qwen3-4B, then the same nine on Meta-Llama-3-8B."""
    return tuple(
        PublishedRemi(
            base_model=row["base_model"],
            method=row["method"],
            remi=MappingProxyType({s.key: float(row[s.heading.removesuffix(".")]) for s in SUBSETS}),
            average=float(row["Avg"]),
        )
        for row in _rows("table20_remi.csv")
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = files("benchmark.data.published").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
