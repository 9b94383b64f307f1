"""The twelve test subsets of RPGBench and the shift that each stands for (paper, section 2.3 and Table 20)."""

from dataclasses import dataclass
from typing import Literal

Shift = Literal["none", "user", "character", "dialogue"]


@dataclass(frozen=True)
class Subset:
    """One column of Table 20."""

    key: str
    heading: str
    """Column head in rendered tables."""
    shift: Shift
    split: str
    """Name of the split in RPGBench's file."""
    tag: str | None
    """Value of `subset_tag` in RPGBench's file; None for the in-distribution test."""


TRAIN_SPLIT = "IDTrain"

SUBSETS: tuple[Subset, ...] = (
    Subset("id", "ID", "none", "IDTest", None),
    Subset("german", "U.G.", "user", "OOD1Test", "german"),
    Subset("spanish", "U.S.", "user", "OOD1Test", "spanish"),
    Subset("chinese", "U.C.", "user", "OOD1Test", "chinese"),
    Subset("japanese", "U.J.", "user", "OOD1Test", "japanese"),
    Subset("korean", "U.K.", "user", "OOD1Test", "korean"),
    Subset("literature", "C.L.", "character", "OOD2Test", "Literature"),
    Subset("film", "C.F.", "character", "OOD2Test", "Film & Television"),
    Subset("theater", "C.T.", "character", "OOD2Test", "Theater"),
    Subset("gaming", "C.G.", "character", "OOD2Test", "Gaming"),
    Subset("turn_level", "D.T.", "dialogue", "OOD3Test", "TurnLevelComposition"),
    Subset("word_level", "D.W.", "dialogue", "OOD3Test", "WordLevelComposition"),
)
SUBSET_KEYS: tuple[str, ...] = tuple(subset.key for subset in SUBSETS)
SPLITS: tuple[str, ...] = (TRAIN_SPLIT, *dict.fromkeys(subset.split for subset in SUBSETS))

_BY_KEY = {subset.key: subset for subset in SUBSETS}


def subset(key: str) -> Subset:
    """Return the subset with this key; KeyError when there is none."""
    return _BY_KEY[key]


def tags_of(split: str) -> tuple[str, ...]:
    """Return the `subset_tag` values that a split may hold; empty where a split needs none."""
    return tuple(s.tag for s in SUBSETS if s.split == split and s.tag is not None)


def subset_for_tag(split: str, tag: str) -> Subset | None:
    """Return the subset that a tag names within its split, or None. A "-Fictional" suffix is accepted."""
    wanted = tag.removesuffix("-Fictional")
    return next((s for s in SUBSETS if s.split == split and s.tag == wanted), None)
