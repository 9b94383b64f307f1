"""Where converted samples go: a split and subset of the benchmark, in a file that is new or has others already."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes, nearest
from benchmark.loading import load_benchmark
from benchmark.run_store import write_json
from benchmark.subsets import SPLITS, SUBSETS, TRAIN_SPLIT, subset_for_tag


@dataclass(frozen=True)
class Target:
    """A split, and the subset where the split has several."""

    split: str
    key: str
    """Subset key; "train" for the training split."""
    tag: str | None
    """Value of `subset_tag`; None where the split needs none."""

    @property
    def is_train(self) -> bool:
        """Tell whether this is the training split."""
        return self.split == TRAIN_SPLIT


def parse_target(text: str) -> Target:
    """Read "IDTrain", "IDTest" or SPLIT:SUBSET, the subset by its key ("german") or by its tag in the file.

    Raises:
        UserMistakes: the split or the subset is unknown, or a subset is missing or too much.
    """
    split, colon, name = text.partition(":")
    of_split = [subset for subset in SUBSETS if subset.split == split and subset.tag is not None]
    keys = [subset.key for subset in of_split]
    if split not in SPLITS:
        raise _mistake(f"'{split}' is no split of the benchmark", nearest(split, SPLITS))
    if not of_split:
        if colon:
            raise _mistake(f"{split} has no subsets, but '{name}' is named", f"write {split}")
        return Target(split, "train" if split == TRAIN_SPLIT else "id", None)
    if not name:
        raise _mistake(f"{split} needs a subset", f"write {split}: and one of {', '.join(keys)}")
    found = next((subset for subset in of_split if subset.key == name), None) or subset_for_tag(split, name)
    if found is None:
        raise _mistake(f"'{name}' is no subset of {split}", nearest(name, keys))
    return Target(split, found.key, found.tag)


def _mistake(problem: str, remedy: str) -> UserMistakes:
    return UserMistakes([Mistake("split", problem, remedy)])


@dataclass(frozen=True)
class Output:
    """The benchmark file that is written."""

    path: Path
    content: dict[str, list[Any]]
    """What it holds already: split -> rows."""
    sample_ids: frozenset[str]
    """Those of the samples that it holds."""

    def write(self, rows: Sequence[dict[str, Any]], split: str) -> None:
        """Add rows to a split and write the whole file atomically; RunFailure when that is impossible."""
        write_json(self.path, self.content | {split: [*self.content.get(split, []), *rows]})


def open_output(path: Path, *, append: bool) -> Output:
    """Look into the file that is to be written, before anything is converted.

    Raises:
        UserMistakes: the file is there and nothing is to be appended, is no file, or is not a benchmark without faults.
    """
    if not path.exists():
        return Output(path, {}, frozenset())
    if not append:
        raise UserMistakes([Mistake(str(path), "is there already", "append to it or name another file")])
    if not path.is_file():
        raise UserMistakes([Mistake(str(path), "is not a file")])
    samples = load_benchmark(path)
    content = json.loads(path.read_bytes().decode("utf-8-sig"))
    return Output(path, content, frozenset(sample.sample_id for sample in samples))
