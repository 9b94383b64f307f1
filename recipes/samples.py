"""Which samples of a benchmark a recipe trains and tests on."""

from benchmark.sample import Benchmark, Sample
from benchmark.seeds import derive_seed, draw_in_order
from recipes.schema import BenchmarkSettings


def draw_samples(
    benchmark: Benchmark, settings: BenchmarkSettings, seed: int
) -> tuple[tuple[Sample, ...], dict[str, tuple[Sample, ...]]]:
    """Return the training samples and the test samples of each chosen subset; seeded draws keep file order."""
    train = draw_in_order(benchmark.train, settings.train_samples, derive_seed(seed, "draw", "train"))
    test = {
        key: draw_in_order(samples, settings.test_samples, derive_seed(seed, "draw", key))
        for key, samples in benchmark.test.items()
        if key in settings.subsets
    }
    return train, test
