"""How many samples a run has of each sort, with texts that say how long they are.

Of a benchmark that is here both come from it. Of RPGBench, where it is not, the sizes are those of Table 2 and the
texts are the mini benchmark's, subset by subset; whatever is made of them says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from benchmark.errors import Mistake, UserMistakes
from benchmark.loading import BUNDLED, load_benchmark
from benchmark.published import published_splits
from benchmark.sample import Benchmark, Sample
from benchmark.subsets import SUBSETS, TRAIN_SPLIT

RPGBENCH = "YongqiLi/RPGBench"
SHOWN = 48
"""Most texts of a population that are looked at."""


@dataclass(frozen=True)
class Population:
    """Samples of one sort."""

    key: str
    """Subset key, or "train"."""
    size: int
    shown: tuple[Sample, ...]
    """Some of them, or others of their sort, for their lengths."""
    share: float = 1.0
    """Of the benchmark's samples of this sort, those that are drawn."""


@dataclass(frozen=True)
class Populations:
    """The samples of a benchmark."""

    train: Population
    test: Mapping[str, Population]
    """By subset, in the order of Table 20."""
    assumptions: tuple[str, ...] = ()
    """What is not taken from the benchmark itself."""

    def times(self, factor: int) -> "Populations":
        """Return the populations of a benchmark that has so many times as many samples."""
        if factor == 1:
            return self
        grown = {key: _grown(population, factor) for key, population in self.test.items()}
        sizes = f"{self.train.size:,} training and {self.n_test:,} test samples"
        note = f"the benchmark is taken {factor} times over: {factor} times {sizes}"
        return Populations(_grown(self.train, factor), grown, (*self.assumptions, note))

    def drawn(self, train: int | None, test: int | None, subsets: Sequence[str]) -> "Populations":
        """Return what a recipe draws of them."""
        chosen = {key: _limited(population, test) for key, population in self.test.items() if key in subsets}
        return Populations(_limited(self.train, train), chosen, self.assumptions)

    @property
    def n_test(self) -> int:
        """Test samples of all subsets."""
        return sum(population.size for population in self.test.values())


def find_populations(source: str) -> Populations:
    """Return the populations of a benchmark by bundled name, path or hub id; nothing is downloaded.

    Raises:
        UserMistakes: it is not here and its sizes are not known either, or it has faults.
    """
    if source in BUNDLED or not _is_hub_id(source):
        return populations_of(load_benchmark(source))
    folder = _cached(source)
    if folder is not None:
        return populations_of(load_benchmark(folder))
    if source == RPGBENCH:
        return _published()
    remedy = "download it first, or give the path of its file"
    raise UserMistakes([Mistake(f"benchmark.source: {source}", "is not in the hub's local cache", remedy)])


def populations_of(benchmark: Benchmark) -> Populations:
    """Return the populations of a benchmark that is here.

    Raises:
        UserMistakes: it has no training samples or no test samples.
    """
    if not benchmark.train or not benchmark.test:
        raise UserMistakes([Mistake(benchmark.name, "has no training samples or no test samples")])
    test = {key: Population(key, len(samples), _some(samples)) for key, samples in benchmark.test.items()}
    return Populations(Population("train", len(benchmark.train), _some(benchmark.train)), test)


def _published() -> Populations:
    """Return RPGBench's sizes (Table 2), each split in equal parts for its subsets, with the mini benchmark's texts."""
    mini = load_benchmark("mini")
    sizes = {row.split: row.samples for row in published_splits()}
    test: dict[str, Population] = {}
    for split, subsets in groupby(SUBSETS, key=lambda subset: subset.split):
        keys = [subset.key for subset in subsets]
        for place, key in enumerate(keys):
            size = sizes[split] // len(keys) + (place < sizes[split] % len(keys))
            test[key] = Population(key, size, _some(mini.test[key]))
    notes = (
        "RPGBench is not here: its sizes are those of the paper's Table 2, the subsets of a split equally large",
        "its texts are taken to be as long as the mini benchmark's of the same subset",
    )
    return Populations(Population("train", sizes[TRAIN_SPLIT], _some(mini.train)), test, notes)


def _cached(hub_id: str) -> str | None:
    """Return the folder of a data set in the hub's local cache; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(hub_id, repo_type="dataset", allow_patterns="*.json", local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith(("/", ".", "~")) and not source.endswith((".json", "/"))


def _some(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    count = min(SHOWN, len(samples))
    return tuple(samples[number * len(samples) // count] for number in range(count))


def _limited(population: Population, limit: int | None) -> Population:
    size = population.size if limit is None else min(limit, population.size)
    return replace(population, size=size, share=size / population.size)


def _grown(population: Population, factor: int) -> Population:
    return replace(population, size=population.size * factor)
