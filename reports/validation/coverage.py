"""How often the intervals of R-EMI hold the true value, in worlds where the true value is known.

Personas and characters have types, which all their samples share, so that a cluster's samples are alike: the model is
good for some personas and some characters and bad for others. Besides the intervals that the project reports, those
that ignore one kind of cluster, or both, or multiply the two kinds of weights, are measured on the same draws.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmark.oracle import OracleWorld, log_prob_matrix, population_remi
from benchmark.seeds import derive_seed
from reports.validation.output import COLOURS, write_csv, write_figure
from scoring.bootstrap import ClusterBootstrap, ClusterWeights, SubsetWeights
from scoring.resamples import ClubBootstrap, Resamples
from scoring.statistics import standard_error

CLUSTERS = (12, 24, 50, 100, 200)
"""Numbers of personas, and of characters, that are studied."""
SAMPLES_A_CLUSTER = 2
SERIES = ("two-way", "persona", "character", "sample", "product of weights")
"""The project's intervals, then what they are compared with."""
NOMINAL = 0.95
RESAMPLES = 400
REPETITIONS = 1000


@dataclass(frozen=True)
class Scenario:
    """What the clusters of a world are like."""

    title: str
    skills: tuple[float, float]
    """How often the model follows the golden conditional for each of the two types of personas and of characters."""
    unequal_sizes: bool
    """Whether a few clusters hold most samples (Zipf's law), or samples fall on all clusters alike."""


SCENARIOS = {
    "differ": Scenario("Clusters differ", (0.0, 1.0), unequal_sizes=False),
    "alike": Scenario("Clusters do not differ", (0.5, 0.5), unequal_sizes=False),
    "unequal": Scenario("Clusters differ, in size too", (0.0, 1.0), unequal_sizes=True),
}


@dataclass(frozen=True)
class Coverage:
    """How often one kind of interval held the truth."""

    scenario: str
    clusters: int
    series: str
    repetitions: int
    coverage: float
    low: float
    """99 % binomial interval (Clopper-Pearson) of the coverage."""
    high: float


def run_coverage(out: Path, seed: int) -> Path:
    """Write coverage.csv and coverage.svg into `out`; returns the path of the CSV."""
    rows = [
        row
        for scenario in SCENARIOS
        for clusters in CLUSTERS
        for row in measure_coverage(scenario, clusters, repetitions=REPETITIONS, resamples=RESAMPLES, seed=seed)
    ]
    write_figure(out / "coverage.svg", len(SCENARIOS), lambda axes: _draw(axes, rows))
    return write_csv(out / "coverage.csv", [asdict(row) for row in rows])


def coverage_world(skills: tuple[float, float]) -> OracleWorld:
    """Return a world of two types of personas and of characters, independent of each other, under P and Q alike.

    A golden response is one of eight, known with probability 0.98 from the input. The model gives it with the mean of
    the skills of the persona's and the character's type, and a uniform response otherwise.
    """
    shape, responses = (2, 2, 2), 8
    p_U_A_D = np.full(shape, 1 / 8)
    golden_U_A_D_Y = 0.98 * np.eye(responses).reshape(*shape, responses) + 0.02 / responses
    follows_U_A_1_1 = np.add.outer(skills, skills)[:, :, None, None] / 2
    model_U_A_D_Y = follows_U_A_1_1 * golden_U_A_D_Y + (1 - follows_U_A_1_1) / responses
    return OracleWorld(p_U_A_D, p_U_A_D, golden_U_A_D_Y, model_U_A_D_Y)


@dataclass(frozen=True)
class DrawnSamples:
    """Samples of one repetition."""

    personas_N: NDArray[np.int64]
    characters_N: NDArray[np.int64]
    remi_N_N: NDArray[np.float64]
    """Log-likelihoods of the model's responses less those of the golden ones: R-EMI is the CLUB of it."""


def draw_samples(
    world: OracleWorld, clusters: int, rng: np.random.Generator, *, unequal_sizes: bool = False
) -> DrawnSamples:
    """Draw the types of personas and characters, then samples of random (persona, character) combinations.

    Every persona and character occurs; the rest of `SAMPLES_A_CLUSTER` samples a cluster fall on clusters at random.
    """
    personas_N, characters_N = (_clusters(clusters, rng, unequal_sizes=unequal_sizes) for _ in range(2))
    n_personas, n_characters, n_dialogues = world.p_U_A_D.shape
    persona_types_N = rng.integers(n_personas, size=clusters)[personas_N]
    character_types_N = rng.integers(n_characters, size=clusters)[characters_N]
    dialogues_N = rng.integers(n_dialogues, size=len(personas_N))
    codes_N_3 = np.stack([persona_types_N, character_types_N, dialogues_N], axis=1)
    model_N, golden_N = (
        _responses(conditional[tuple(codes_N_3.T)], rng) for conditional in (world.model_U_A_D_Y, world.golden_U_A_D_Y)
    )
    difference_N_N = log_prob_matrix(world, codes_N_3, model_N) - log_prob_matrix(world, codes_N_3, golden_N)
    return DrawnSamples(personas_N, characters_N, difference_N_N)


def _clusters(clusters: int, rng: np.random.Generator, *, unequal_sizes: bool) -> NDArray[np.int64]:
    shares = 1 / np.arange(1, clusters + 1) if unequal_sizes else np.ones(clusters)
    extra = rng.choice(clusters, size=(SAMPLES_A_CLUSTER - 1) * clusters, p=shares / shares.sum())
    return rng.permutation(np.concatenate([np.arange(clusters), extra]))


def _responses(probabilities_N_Y: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    thresholds_N_1 = rng.random((len(probabilities_N_Y), 1))
    return np.asarray((probabilities_N_Y.cumsum(axis=1)[:, :-1] <= thresholds_N_1).sum(axis=1), dtype=np.int64)


def measure_coverage(name: str, clusters: int, *, repetitions: int, resamples: int, seed: int) -> list[Coverage]:
    """Return the coverage of each of `SERIES` in one of `SCENARIOS`; the truth is enumerated."""
    scenario = SCENARIOS[name]
    world = coverage_world(scenario.skills)
    truth = population_remi(world, "P")
    quantile = scipy.stats.t.ppf((1 + NOMINAL) / 2, clusters - 1)
    covered_S = np.zeros(len(SERIES), dtype=np.int64)
    for repetition in range(repetitions):
        names = (name, str(clusters), str(repetition))
        rng = np.random.default_rng(derive_seed(seed, "draw", *names))
        samples = draw_samples(world, clusters, rng, unequal_sizes=scenario.unequal_sizes)
        estimate, errors_S = _standard_errors(samples, resamples, derive_seed(seed, "bootstrap", *names))
        covered_S += abs(estimate - truth) <= quantile * errors_S
    rows = []
    for series, count in zip(SERIES, covered_S.tolist(), strict=True):
        bounds = scipy.stats.binomtest(count, repetitions).proportion_ci(0.99)
        limits = (float(bounds.low), float(bounds.high))
        rows.append(Coverage(name, clusters, series, repetitions, count / repetitions, *limits))
    return rows


def _standard_errors(samples: DrawnSamples, resamples: int, seed: int) -> tuple[float, NDArray[np.float64]]:
    """Return the estimate and the standard error of each of `SERIES`."""
    bootstrap = ClusterBootstrap(samples.personas_N, samples.characters_N, resamples=resamples, seed=seed)
    weights = bootstrap.weights(samples.personas_N, samples.characters_N)
    persona, character, _ = weights.clusterings
    products_N_B = persona.weights_K_B[persona.codes_N] * character.weights_K_B[character.codes_N]
    product = ClusterWeights(np.arange(weights.n_samples), products_N_B, weights.n_samples)
    club = ClubBootstrap(~np.eye(weights.n_samples, dtype=bool), SubsetWeights((*weights.clusterings, product)))
    found = club.resamples(samples.remi_N_N)
    two_way = standard_error(Resamples(found.estimate, found.deviations_3_B[:3]))
    return found.estimate, np.array([two_way, *found.deviations_3_B.std(axis=1, ddof=1)], dtype=np.float64)


def _draw(axes: list[Axes], rows: list[Coverage]) -> None:
    for panel, (name, scenario) in zip(axes, SCENARIOS.items(), strict=True):
        for number, (series, colour) in enumerate(zip(SERIES, ("0.1", *COLOURS), strict=True)):
            own = [row for row in rows if (row.series, row.scenario) == (series, name)]
            at = np.array([row.clusters for row in own]) * 1.05 ** (number - 2)
            panel.vlines(at, [100 * row.low for row in own], [100 * row.high for row in own], color=colour)
            panel.plot(at, [100 * row.coverage for row in own], "o-", color=colour, label=series, markersize=4)
        panel.axhline(100 * NOMINAL, color="0.6", linewidth=0.8, zorder=0)
        panel.set_xscale("log")
        panel.set_xticks(CLUSTERS, [str(clusters) for clusters in CLUSTERS])
        panel.minorticks_off()
        panel.set_ylim(70, 100.5)
        panel.set_xlabel("personas, and as many characters")
        panel.set_title(scenario.title)
    axes[0].set_ylabel("coverage of 95 % intervals (%)")
    axes[1].legend(loc="lower right")
