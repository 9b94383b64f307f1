"""The three forms of the bound for texts: by hand, where a term is missing, and their intervals by brute force."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from divergence_helpers import Floats, weighted_divergence

from scoring.bootstrap import ClusterBootstrap, SubsetWeights
from scoring.bound_forms import BoundEstimate, Shift, calibrated_form, corrected_form, theorem_form
from scoring.bound_terms import Deviation, EntropyTerms, HHatRule, response_deviation, shift_resamples
from scoring.calibrated_bound import PAPER_EMBEDDING, calibration
from scoring.divergence import representation_jsd
from scoring.resamples import Resamples

ENTROPIES = EntropyTerms(of_sums=3.0, golden=2.0, model=2.5)
NAMES = ("user", "character", "dialogue")
MOVES: dict[str, Floats] = {
    name: np.random.default_rng(k).normal(scale=1e-3, size=(3, 4)) for k, name in enumerate(NAMES)
}


def row(raw: float | None, null: float | None = 0.0, part: float | None = None) -> dict[str, Any]:
    removed = None if raw is None or null is None else raw - null
    return {"raw": raw, "null_mean": null, "bias_removed": removed, "part": part}


def shift(*, joint: Mapping[str, Any] | None = None, **raw: float | None) -> Shift:
    """Return divergences 0.25, 0.16 and 0.01 with floors 0.16, 0.21 and 0, or others."""
    values = {"user": 0.25, "character": 0.16, "dialogue": 0.01, **raw}
    floors = {"user": 0.16, "character": 0.21, "dialogue": 0.0}
    parts = {"user": 0.01, "character": 0.007, "dialogue": 0.003}
    rows = {name: row(values[name], floors[name], parts[name]) for name in NAMES}
    resamples = {name: Resamples(-1.0, MOVES[name]) for name in NAMES}  # their estimate, over all rows, is not shown
    return Shift(rows, joint or row(0.02, 0.015), resamples)


def deviation(jsd: float) -> Deviation:
    return Deviation(jsd, Resamples(jsd, np.full((3, 4), 1e-4)))


def theorem(
    entropies: EntropyTerms | None = ENTROPIES,
    on_id: float | None = 0.0006,
    on_subset: float | None = 0.001,
    rule: HHatRule = "max",
    **raw: float | None,
) -> BoundEstimate:
    found = [None if jsd is None else deviation(jsd) for jsd in (on_id, on_subset)]
    return theorem_form(shift(joint=None, **raw), entropies, *found, rule=rule)


def corrected(
    entropies: EntropyTerms | None = ENTROPIES, on_id: float | None = 0.005, on_subset: float | None = 0.6
) -> BoundEstimate:
    found = [None if jsd is None else deviation(jsd) for jsd in (on_id, on_subset)]
    return corrected_form(shift(), entropies, *found, log_n_responses=10.0)


def test_the_theorem_by_hand() -> None:
    found = theorem()
    assert found.bound == pytest.approx(math.sqrt(2 / 3) * 3.0 * (0.5 + 0.4 + 0.1) + 8 * 0.2)  # 0.0016 ** 0.25 is 0.2
    assert found.bound_bias_removed == pytest.approx(math.sqrt(2 / 3) * 3.0 * (0.3 + 0.0 + 0.1) + 8 * 0.2)
    assert (found.form, found.unit, found.h_hat) == ("theorem", "nats_per_response", 3.0)
    assert found.delta == pytest.approx(0.0016)
    assert found.jsd == {"user": 0.25, "character": 0.16, "dialogue": 0.01}
    assert found.jsd_null == pytest.approx(0.37 / 3)


def test_resamples_of_the_theorem_by_hand() -> None:
    found = theorem()
    assert found.resamples is not None
    assert found.resamples.estimate == pytest.approx(found.bound)
    roots = MOVES["user"] / (2 * 0.5) + MOVES["character"] / (2 * 0.4) + MOVES["dialogue"] / (2 * 0.1)
    fourth_root = 0.25 * 0.0016**-0.75 * 2e-4
    expected = math.sqrt(2 / 3) * 3.0 * roots + 8 * fourth_root
    assert found.resamples.deviations_3_B == pytest.approx(expected)


def test_the_label_says_which_entropy_was_taken() -> None:
    assert "H-hat is the largest sum of" in theorem(rule="max").label
    assert "H-hat is the 0.95 quantile of the sum of" in theorem(rule="q95").label
    assert all(theorem(rule=rule).label.startswith("Theorem 3.4 as written") for rule in ("max", "q95"))


@pytest.mark.parametrize("missing", [{"entropies": None}, {"on_id": None}, {"on_subset": None}])
def test_without_one_term_neither_theorem_nor_corrected_form_has_a_bound(missing: dict[str, None]) -> None:
    for found in (theorem(**missing), corrected(**missing)):  # type: ignore[arg-type]
        assert (found.bound, found.bound_bias_removed, found.resamples) == (None, None, None)
        assert (found.h_hat is None) == ("entropies" in missing)
        assert (found.delta is None) == ("entropies" not in missing)


def test_without_divergences_no_form_has_a_number() -> None:
    nothing = {name: row(None, None) for name in NAMES}
    empty = Shift(nothing, row(None, None), {name: Resamples(0.0, MOVES[name]) for name in NAMES})
    terms = ENTROPIES, deviation(0.1), deviation(0.1)
    for found in (
        theorem_form(empty, *terms, rule="max"),
        calibrated_form(empty, "x"),
        corrected_form(empty, *terms, log_n_responses=10.0),
    ):
        assert (found.bound, found.bound_bias_removed, found.jsd_null, found.resamples) == (None, None, None, None)
        assert set(found.jsd.values()) <= {None}


def test_a_bound_whose_roots_are_nearly_zero_stands_without_an_interval() -> None:
    assert theorem(dialogue=0.0).bound is not None
    assert theorem(dialogue=0.0).resamples is None
    assert theorem(on_id=0.0, on_subset=0.0).resamples is None
    assert theorem(on_id=0.0).resamples is not None


def test_the_calibrated_form_by_hand() -> None:
    line, found = calibration(), calibrated_form(shift(), "minilm")
    assert found.bound == pytest.approx(line.intercept + line.slope * 1.0)
    assert (found.form, found.unit) == ("calibrated", "nats_per_token")
    assert (found.h_hat, found.delta, found.bound_bias_removed) == (None, None, None)
    assert found.resamples is not None
    assert found.resamples.estimate == pytest.approx(found.bound)
    roots = MOVES["user"] / (2 * 0.5) + MOVES["character"] / (2 * 0.4) + MOVES["dialogue"] / (2 * 0.1)
    assert found.resamples.deviations_3_B == pytest.approx(line.slope * roots)


def test_the_calibrated_form_is_called_so_with_the_papers_embedding_alone() -> None:
    assert calibrated_form(shift(), "minilm").label.startswith("uncalibrated")
    assert calibrated_form(shift(), PAPER_EMBEDDING).label.startswith("calibrated on the published Table 12, presuming")


def test_the_corrected_form_by_hand() -> None:
    """Variations: sqrt(2 * 0.005) is 0.1, and sqrt(1.2) is cut to 1, where entropies can differ by ln |Y|."""
    found = corrected()
    continuity = 0.1 * math.log(math.exp(10) - 1) - 0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    assert found.bound == pytest.approx(4.5 * 0.2 + continuity + 10.0)
    assert found.bound_bias_removed == pytest.approx(4.5 * 0.1 + continuity + 10.0)
    assert (found.form, found.unit, found.resamples) == ("corrected", "nats_per_response", None)
    assert (found.h_hat, found.jsd_null) == (4.5, 0.015)
    assert found.delta == pytest.approx(0.605)
    assert found.label.startswith("diagnostic, no bound")
    assert found.jsd == {"user": 0.01, "character": 0.007, "dialogue": 0.003}


def test_a_joint_divergence_below_its_floor_counts_as_none() -> None:
    terms = ENTROPIES, deviation(0.0), deviation(0.0)
    found = corrected_form(shift(joint=row(0.02, 0.5)), *terms, log_n_responses=10.0)
    assert found.bound == pytest.approx(4.5 * 0.2)
    assert found.bound_bias_removed == 0.0


# Intervals


def sample_weights(weights: SubsetWeights, clustering: int) -> Floats:
    chosen = weights.clusterings[clustering]
    return chosen.weights_K_B[chosen.codes_N]


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    """Return embeddings of 90 and 80 samples, clearly apart, and one draw of crossed weights for both."""
    rng = np.random.default_rng(7)
    codes = rng.integers(0, [40, 50], size=(170, 2)).T
    bootstrap = ClusterBootstrap(*codes, resamples=300, seed=1)
    weights = bootstrap.weights(*codes[:, :90]), bootstrap.weights(*codes[:, 90:])
    inputs = {
        name: (rng.normal(size=(90, 4)), rng.normal(size=(80, 4)) + (k + 1) * np.eye(4)[k])
        for k, name in enumerate(NAMES)
    }
    golden = [rng.normal(size=(size, 4)) for size in (90, 80)]
    model = [rows + 1.5 * np.eye(4)[0] + 0.5 * rng.normal(size=rows.shape) for rows in golden]
    return {"weights": weights, "inputs": inputs, "golden": golden, "model": model}


@pytest.fixture(scope="module")
def estimate(world: dict[str, Any]) -> BoundEstimate:
    inputs, weights = world["inputs"], world["weights"]
    rows = {name: row(representation_jsd(*pair)) for name, pair in inputs.items()}
    resamples = {name: shift_resamples(*pair, *weights) for name, pair in inputs.items()}
    deviations = [response_deviation(*args) for args in zip(world["model"], world["golden"], weights, strict=True)]
    return theorem_form(Shift(rows, row(0.5), resamples), ENTROPIES, *deviations, rule="max")


@pytest.mark.parametrize("clustering", [0, 1, 2])
def test_the_theorems_interval_is_as_wide_as_recomputing_the_bound_on_every_resample_makes_it(
    world: dict[str, Any], estimate: BoundEstimate, clustering: int
) -> None:
    w_id, w_subset = (sample_weights(weights, clustering) for weights in world["weights"])
    bounds = []
    for w, v in zip(w_id.T, w_subset.T, strict=True):
        roots = [math.sqrt(weighted_divergence(P, Q, w, v)) for P, Q in world["inputs"].values()]
        pairs = zip(world["model"], world["golden"], (w, v), strict=True)
        delta = sum(weighted_divergence(model, golden, u, u) for model, golden, u in pairs)
        bounds.append(math.sqrt(2 / 3) * 3.0 * sum(roots) + 8 * delta**0.25)
    assert estimate.resamples is not None
    first_order = estimate.resamples.deviations_3_B[clustering].std()
    assert first_order == pytest.approx(np.std(bounds), rel=0.2)
