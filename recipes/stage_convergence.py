"""The stage that estimates R-EMID and its bound anew on smaller draws of the samples (as the paper's Figure 5a).

How well the bound tells where R-EMID is large depends on how many samples both are estimated from. Drawn are the
samples of each subset; the pairs are those that were scored, as far as both of their samples were drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.run_store import write_jsonl
from benchmark.seeds import derive_seed
from benchmark.subsets import subset
from recipes.columns import GOLDEN
from recipes.scored_run import ScoredRun
from recipes.stage import StageReport
from recipes.stage_embeddings import COMPONENTS
from recipes.stage_scores import ID, ScoredMethod
from recipes.subset_pairs import subset_negatives
from scoring.calibrated_bound import calibrated_bound
from scoring.clusters import SampleClusters
from scoring.divergence import representation_jsd
from scoring.divergence_estimate import matched_size
from scoring.negatives import Negatives
from scoring.stratified import MINIMUM_SAMPLES, compare_samples

CONVERGENCE = "convergence.jsonl"
SHARES = (0.25, 0.5, 0.75, 1.0)
DRAWS = 20
"""Of each share but the whole, which is one."""


class Draw(NamedTuple):
    """A draw of samples from every subset."""

    share: float
    number: int


@dataclass(frozen=True)
class ConvergenceStage:
    """Everything that the stage's work needs."""

    run: ScoredRun

    def __call__(self, folder: Path) -> StageReport:
        """Write one row a draw, method and shifted subset that has both estimates, in the calibrated bound's unit."""
        rows = list(self._rows()) if ID in self.run.test else []
        write_jsonl(folder / CONVERGENCE, rows)
        return StageReport(counts={"rows": len(rows)})

    def _rows(self) -> Iterator[dict[str, object]]:
        bounds = {key: self._bounds(key) for key in self.run.test if key != ID}
        for method in self.run.methods:
            remi = {key: self._remi(method, key) for key in self.run.test}
            for draw in self._draws():
                for key in bounds:
                    in_distribution, shifted, bound = remi[ID][draw], remi[key][draw], bounds[key][draw]
                    if in_distribution is not None and shifted is not None and bound is not None:
                        yield {
                            "share": draw.share,
                            "draw": draw.number,
                            "base_model": method.base_model,
                            "method": method.method,
                            "subset": key,
                            "shift": subset(key).shift,
                            "n_samples": len(self._members("test", key, len(self.run.test[key]), draw)),
                            "remid": in_distribution - shifted,
                            "bound": bound,
                        }

    @staticmethod
    def _draws() -> Iterator[Draw]:
        for share in SHARES:
            yield from (Draw(share, number) for number in range(1 if share == 1.0 else DRAWS))

    def _members(self, kind: str, key: str, n: int, draw: Draw, size: int | None = None) -> NDArray[np.int64]:
        """Return which of n samples are drawn: the draw's share of them, or `size`."""
        generator = np.random.default_rng(derive_seed(self.run.seed, "convergence", kind, key, *map(str, draw)))
        return np.sort(generator.permutation(n)[: round(draw.share * n) if size is None else size])

    def _remi(self, method: ScoredMethod, key: str) -> dict[Draw, float | None]:
        """Return R-EMI a token on each draw; None where too few samples are left."""
        golden, model, negatives = self.run.block(GOLDEN, key), self.run.block(method.column, key), self._negatives[key]
        kept_N, gained_N_N = golden.scored_N & model.scored_N, model.means_N_N - golden.means_N_N
        found: dict[Draw, float | None] = {}
        for draw in self._draws():
            members = self._members("test", key, len(self.run.test[key]), draw)
            weights = self._clusters.weights([self.run.test[key][i] for i in members])
            folds_M = None if negatives.folds_N is None else negatives.folds_N[members]
            mask_M_M = negatives.mask_N_N[np.ix_(members, members)]
            compared = compare_samples(kept_N[members], mask_M_M, weights, folds_M)
            gained_M_M = gained_N_N[np.ix_(members, members)]
            found[draw] = None if compared.club is None else compared.club.estimate(compared.square(gained_M_M))
        return found

    def _bounds(self, key: str) -> dict[Draw, float | None]:
        """Return the calibrated bound by each draw's divergences, of as many samples on both sides; None of too few."""
        return {draw: self._bound(key, draw) for draw in self._draws()}

    def _bound(self, key: str, draw: Draw) -> float | None:
        size = matched_size(*(round(draw.share * len(self.run.whole_test[name])) for name in (ID, key)))
        if size < MINIMUM_SAMPLES:
            return None
        members = {name: self._members("whole", name, len(self.run.whole_test[name]), draw, size) for name in (ID, key)}
        drawn = {name: {c: rows[members[name]] for c, rows in self.run.vectors[name].items()} for name in (ID, key)}
        jsd = {f"jsd_{name}": representation_jsd(drawn[ID][name], drawn[key][name]) for name in COMPONENTS}
        return calibrated_bound(**jsd)

    @cached_property
    def _negatives(self) -> dict[str, Negatives]:
        estimator = self.run.estimator()
        return {
            key: subset_negatives(s, self.run.settings, self.run.seed, estimator) for key, s in self.run.test.items()
        }

    @cached_property
    def _clusters(self) -> SampleClusters:
        """Two resamples, since none is used: an estimate alone is taken of each draw."""
        samples = [sample for samples in self.run.test.values() for sample in samples]
        return SampleClusters(samples, resamples=2, seed=self.run.seed)
