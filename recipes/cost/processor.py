"""The stages that work on arrays: seconds on a processor by measured constants, and the memory that they need.

They are the same on every machine: no device helps them. All matrices of a subset are dense, N x N, also where few of
their pairs are scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from recipes.cost.likelihoods import Pairs
from recipes.cost.population import Population
from recipes.cost.work import Work
from scoring.divergence_estimate import DRAWS, SIZE_CAP, matched_size

SAMPLED_PAIR = 1.0e-9
"""Seconds of one pair in one bootstrap resample of a sparse matrix; measured at 1,000 and 2,637 samples."""
DENSE_PAIR = 6.0e-11
"""The same of a dense matrix; measured at 500 and 1,000 samples."""
EIGENVALUES = 1.0e-9
"""Seconds of a joint divergence with its parts, by the cube of its rows; measured at 256 to 1,024 rows."""
INFLUENCE = 3.0e-9
"""Seconds of the influence of all samples on a divergence, by the cube of the embedding's width; measured at 384 and
1,024."""
ENTRY = 8.0e-9
"""Seconds of copying and comparing one entry of a matrix; measured at 1,000 samples."""
DENSITY = 1.0e-8
"""Seconds of one coordinate of one Gaussian log-density; measured at 500 samples of width 384 and 600 of 1,024."""
FIXED = 0.1
"""Seconds of a stage, however small."""
MATRIX = 0.0007
"""Seconds of one bootstrapped matrix, however small."""
ROW = 0.0035
"""Seconds of one row of bounds, however small."""
NETWORK = 0.45
"""Seconds of training the baseline's network, which is of one size."""
DRAW = 0.0026
"""Seconds of one method on one smaller draw, however small."""
BLOCK_BYTES = 24
"""Of one entry of a method's block: its sum, its tokens, and its mean."""
UNITS = 2
ID = "id"
CONVERGENCE_DRAWS = 61
"""Twenty of each of three shares, and the whole."""
COMPONENTS = 3
FORMS = 3


@dataclass(frozen=True)
class Table:
    """What is scored."""

    test: Mapping[str, Population]
    """Samples that were answered."""
    whole: Mapping[str, Population]
    """All test samples of the same subsets."""
    methods: int
    """On all base models together."""
    bases: int
    resamples: int
    pairs: Pairs
    width: int
    """Of embeddings."""

    @property
    def entries(self) -> float:
        """Entries of the matrices of one column on all subsets."""
        return float(sum(population.size**2 for population in self.test.values()))

    @property
    def largest(self) -> float:
        """Entries of the matrix of the largest subset."""
        return float(max(population.size for population in self.test.values()) ** 2)

    @property
    def typical(self) -> float:
        """Mean samples of a subset."""
        return sum(population.size for population in self.test.values()) / len(self.test)

    @property
    def scored(self) -> float:
        """Pairs of one column that are scored, on all subsets."""
        return sum(p.size * self.pairs.negatives(p.size) for p in self.test.values())

    @property
    def shifted(self) -> int:
        """Subsets beside the in-distribution test; none where there is no such test."""
        return len(self.test) - 1 if ID in self.test else 0


def scores(table: Table) -> Work:
    """Return bootstrapping every method on every subset, alone and against the others, in both units."""
    matrices = 2 * table.methods * UNITS  # R-EMI of each, and each once more for the differences
    dense = table.scored > 0.1 * table.entries
    resampled = table.scored * table.resamples * (DENSE_PAIR if dense else SAMPLED_PAIR)
    seconds = FIXED + matrices * (len(table.test) * MATRIX + resampled + table.entries * ENTRY)
    held = table.methods / table.bases * table.entries * BLOCK_BYTES
    return Work("bootstrap", "processor", seconds=seconds, memory=held)


def divergences(table: Table) -> Work:
    """Return the divergence of every shifted subset from the in-distribution test, with the floor of each size."""
    shifted = [population for key, population in table.whole.items() if key != ID and table.shifted]
    sizes = [matched_size(table.whole[ID].size, population.size) for population in shifted]
    rows = [2 * size for size in (*sizes, *set(sizes))]
    seconds = FIXED + DRAWS * EIGENVALUES * sum(n**3 for n in rows)
    return Work("divergences", "processor", seconds=seconds, memory=8.0 * 8 * (2 * SIZE_CAP) ** 2)


def bounds(table: Table) -> Work:
    """Return the bounds of every method and shifted subset, whose deviations and shifts are resampled."""
    influences = table.shifted * COMPONENTS + 2 * table.methods * table.shifted
    rows = FORMS * table.methods * table.shifted
    return Work(
        "bounds",
        "processor",
        seconds=FIXED + rows * ROW + influences * INFLUENCE * min(table.width, table.typical) ** 3,
        memory=2 * table.largest * BLOCK_BYTES,
    )


def convergence(table: Table) -> Work:
    """Return estimating R-EMID and its bound anew on smaller draws."""
    draws = CONVERGENCE_DRAWS * table.methods
    seconds = FIXED + draws * (DRAW + table.entries * 0.5 * ENTRY)
    return Work("smaller draws", "processor", seconds=seconds, memory=3 * table.largest * BLOCK_BYTES)


def baseline(table: Table) -> Work:
    """Return the Gaussian CLUB on embeddings, for all methods on all subsets."""
    densities = 2 * table.methods * table.entries * table.width  # the golden responses' once more for each method
    resampled = table.methods * table.scored * table.resamples * SAMPLED_PAIR
    seconds = FIXED + NETWORK + densities * DENSITY + resampled
    return Work("baseline", "processor", seconds=seconds, memory=3 * table.largest * 8)
