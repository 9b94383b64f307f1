"""Load a benchmark in RPGBench's schema: the bundled one, a file, a folder of files, or a data set on the hub.

A file is one JSON object, split name -> list of rows. Every fault of every row is reported at once;
no row is dropped.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmark.errors import Mistake, UserMistakes, nearest
from benchmark.rows import RowReader, unused_fields
from benchmark.sample import Benchmark, Sample, make_benchmark
from benchmark.subsets import SPLITS

BUNDLED: dict[str, Path] = {"mini": Path(__file__).parent / "data" / "mini"}


def load_benchmark(source: str | Path) -> Benchmark:
    """Load a benchmark by bundled name, file, folder of JSON files, or hub id ("owner/name").

    Raises:
        UserMistakes: every fault found, with file, line or row, and field.
    """
    files = benchmark_files(source)
    samples: list[Sample] = []
    faults: list[Mistake] = []
    unused: Counter[str] = Counter()
    for file in files:
        for split, rows in _read_splits(file, faults).items():
            for index, row in enumerate(rows):
                reader = RowReader(row, split, f"{file}: {split}[{index}]")
                sample = reader.sample()
                faults.extend(reader.faults)
                unused.update(unused_fields(row))
                if sample is not None:
                    samples.append(sample)
    faults.extend(_duplicates(samples, str(source)))
    if faults:
        raise UserMistakes(faults)
    return make_benchmark(str(source), samples, dict(unused))


def benchmark_files(source: str | Path) -> list[Path]:
    """Return the JSON files behind a bundled name, a path or a hub id."""
    path = BUNDLED.get(str(source), Path(source))
    if path.is_file():
        return [path]
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserMistakes([Mistake(str(source), "the folder holds no .json file")])
        return files
    if _looks_like_hub_id(str(source)):
        return _download(str(source))
    names = ", ".join(BUNDLED)
    problem = "no such benchmark: not a bundled name, a file, a folder or a hub id"
    raise UserMistakes([Mistake(str(source), problem, f"bundled: {names}")])


def _looks_like_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith((".json", "/"))


def _download(hub_id: str) -> list[Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, repo_type="dataset", allow_patterns="*.json"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        remedy = "check the name and the connection, or download the JSON file and give its path"
        raise UserMistakes([Mistake(hub_id, f"cannot be had from the hub ({reason})", remedy)]) from error
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise UserMistakes([Mistake(hub_id, "the data set holds no .json file in RPGBench's schema")])
    return files


def _read_splits(file: Path, faults: list[Mistake]) -> dict[str, list[Any]]:
    content = _read_json(file, faults)
    if content is None:
        return {}
    if not isinstance(content, dict):
        faults.append(Mistake(str(file), "is not a JSON object of the form split name -> list of rows"))
        return {}
    splits: dict[str, list[Any]] = {}
    for split, rows in content.items():
        if split not in SPLITS:
            faults.append(Mistake(f"{file}: {split}", "unknown split", nearest(split, SPLITS)))
        elif not isinstance(rows, list):
            faults.append(Mistake(f"{file}: {split}", "is not a list of rows"))
        else:
            splits[split] = rows
    return splits


def _read_json(file: Path, faults: list[Mistake]) -> object | None:
    """Return the parsed file; None after recording why it cannot be read."""
    content = file.read_bytes()
    try:
        return json.loads(content.decode("utf-8-sig"))  # type: ignore[no-any-return]
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = f"byte {content[error.start]:#04x} is not valid UTF-8"
        faults.append(Mistake(f"{file}:{line}", problem, "save the file as UTF-8"))
    except json.JSONDecodeError as error:
        faults.append(Mistake(f"{file}:{error.lineno}", f"is not valid JSON: {error.msg} (column {error.colno})"))
    return None


def _duplicates(samples: list[Sample], source: str) -> list[Mistake]:
    counts = Counter(sample.sample_id for sample in samples)
    return [
        Mistake(f"{source}: {sample_id}", f"sample_ID used {count} times", "each sample needs an ID of its own")
        for sample_id, count in counts.items()
        if count > 1
    ]
