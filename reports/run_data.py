"""What a run directory holds, as reports read it. Only the manifest must be there; what else is not is named."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmark.errors import Mistake, RunFailure, UserMistakes
from benchmark.run_store import read_json, read_jsonl
from benchmark.subsets import SUBSET_KEYS

Row = Mapping[str, Any]
Unit = Literal["nats_per_token", "nats_per_response"]
TOKEN: Unit = "nats_per_token"
"""The paper's scale, which reports show."""
FORMAT_VERSION = 1
"""Newest version of the manifest that is read."""
SCORES = {
    "remi": "R-EMI",
    "averages": "the averages' intervals",
    "remid": "R-EMID",
    "differences": "differences between methods",
    "bounds": "bounds",
    "divergences": "divergences",
}
"""Files of `scores/` that every run has, less their ending -> what is missing without one."""
OPTIONAL_SCORES = {"baseline_emi": "the embedding baseline", "judges": "judges' scores", "agreement": "agreement"}
"""Files that are there where they were asked for."""


class MethodKey(NamedTuple):
    """A method on a base model; no base model for responses made elsewhere."""

    base_model: str | None
    method: str


@dataclass(frozen=True)
class RunData:
    """The files of a run. Rows are those of the score files, in their order."""

    folder: Path
    manifest: Row
    scores: Mapping[str, Sequence[Row]]
    """File name without its ending -> rows; empty where there is no file."""
    missing: tuple[str, ...]
    """A sentence for each thing that reports usually show and this run has not."""

    def rows(self, name: str, /, **wanted: object) -> list[Row]:
        """Return the rows of a score file whose fields have these values."""
        return [row for row in self.scores[name] if all(row.get(key) == value for key, value in wanted.items())]

    @cached_property
    def methods(self) -> tuple[MethodKey, ...]:
        """The methods that have scores: base model by base model, in the order of their specs."""
        keys = dict.fromkeys(MethodKey(row["base_model"], row["method"]) for row in self.scores["remi"])
        return tuple(sorted(keys, key=lambda key: (key.base_model or "", self.spec(key.method).get("order", 0))))

    @property
    def base_models(self) -> tuple[str | None, ...]:
        """The base models of the scored methods, in order."""
        return tuple(dict.fromkeys(key.base_model for key in self.methods))

    @cached_property
    def subsets(self) -> tuple[str, ...]:
        """The subsets that have scores, in the order of Table 20."""
        found = {row["subset"] for row in self.scores["remi"]}
        return tuple(key for key in SUBSET_KEYS if key in found)

    def spec(self, method: str) -> Row:
        """Return what the manifest says of a method; empty where it says nothing."""
        found: Row = self.manifest["methods"].get(method, {})
        return found

    def label(self, key: MethodKey) -> str:
        """Return a method's name as shown, with its base model where the run has several."""
        label = str(self.spec(key.method).get("label", key.method))
        return f"{label} ({key.base_model or 'no base model'})" if len(self.base_models) > 1 else label

    def responses_name(self, key: MethodKey) -> str:
        """Return the name under which a method's responses lie: `responses/NAME.jsonl`."""
        below = f"{(key.base_model or '').replace('/', '_')}/{key.method}"
        return below if below in self.manifest["responses"] else key.method

    def responses(self, key: MethodKey) -> dict[str, Row]:
        """Return a method's responses by sample ID; empty where the file is missing. Read anew each time."""
        path = self.folder / "responses" / f"{self.responses_name(key)}.jsonl"
        return {row["sample_id"]: row for row in _optional_lines(path)}

    def reasonings(self) -> dict[str, Row]:
        """Return the estimator's reasoning by sample ID; empty for an estimator without. Read anew each time."""
        return {row["sample_id"]: row for row in _optional_lines(self.folder / "reasoning.jsonl")}

    def contributions(self, key: MethodKey) -> dict[str, float]:
        """Return what each sample adds to R-EMI, in nats a token, by sample ID; a subset's mean is its R-EMI.

        Samples that take no part are left out. Read anew each time.
        """
        rows = _optional_lines(self.folder / "scores" / "contributions.jsonl")
        return {
            sample_id: value
            for row in rows
            if (row["base_model"], row["method"]) == key
            for sample_id, value in zip(row["sample_ids"], row["contributions"], strict=True)
            if value is not None
        }

    def samples(self) -> list[Row]:
        """Return the samples that were trained and tested on, as `samples.jsonl` has them. Read anew each time."""
        return _optional_lines(self.folder / "samples.jsonl")


def read_run(folder: Path) -> RunData:
    """Read a run directory.

    Raises:
        UserMistakes: it is no run directory, or of a newer version of this program.
        RunFailure: a file is damaged.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        fix = "name the directory that run, compare or score wrote (its --out)"
        raise UserMistakes([Mistake(str(folder), "is no run directory: it has no manifest.json", fix)])
    manifest = _checked_manifest(path, read_json(path))
    files = {name: folder / "scores" / f"{name}.json" for name in (*SCORES, *OPTIONAL_SCORES)}
    scores = {name: _checked_rows(file) if file.is_file() else [] for name, file in files.items()}
    return RunData(folder, manifest, scores, tuple(_missing(folder, manifest, scores)))


def _checked_manifest(path: Path, manifest: object) -> Row:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format_version"), int):
        raise RunFailure(f"{path}: is damaged: it is no manifest; make the run again")
    version = manifest["format_version"]
    if version > FORMAT_VERSION:
        problem = f"was written by a newer version (format {version}; this one reads up to {FORMAT_VERSION})"
        raise UserMistakes([Mistake(str(path), problem, "use that version of rpm-methods, or a newer one")])
    if lacking := [key for key in ("methods", "responses", "estimator", "stages") if key not in manifest]:
        raise RunFailure(f"{path}: is damaged: it has no {' and no '.join(lacking)}; make the run again")
    return manifest


def _checked_rows(path: Path) -> list[Row]:
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RunFailure(f"{path}: is damaged: it is no list of rows; make the run again")
    return rows


def _missing(folder: Path, manifest: Row, scores: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    for name, what in SCORES.items():
        if not scores[name]:
            yield f"scores/{name}.json is not there or empty, so {what} cannot be shown."
    if not scores["judges"]:
        yield "There are no judges' scores (scores/judges.json), so nothing is compared with judges."
    scored = {(row["base_model"], row["method"]) for row in scores["remi"]}
    for recipe in manifest.get("recipes", []):
        if (recipe["base_model"], recipe["method"]) not in scored:
            yield f"{recipe['method']} on {recipe['base_model']} is in the recipes and has no scores."
    yield from _missing_estimates(scores["remi"])
    if not (folder / "samples.jsonl").is_file():
        yield "samples.jsonl is not there, so no sample can be shown."


def _missing_estimates(remi: Iterable[Row]) -> Iterator[str]:
    lacking: dict[MethodKey, list[str]] = defaultdict(list)
    for row in remi:
        if row["unit"] == TOKEN and row["remi"] is None:
            lacking[MethodKey(row["base_model"], row["method"])].append(row["subset"])
    for key, subsets in lacking.items():
        yield f"{key.method} has no estimate on {', '.join(subsets)}."
    without = sum(row["unit"] == TOKEN and row["remi"] is not None and row["ci_low"] is None for row in remi)
    if without:
        yield f"{without} estimates have no interval: too few samples or clusters."


def _optional_lines(path: Path) -> list[Row]:
    return list(read_jsonl(path)) if path.is_file() else []
