"""The oracle against numbers worked out by hand and plain loops, and CLUB estimates against the oracle."""

import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark import oracle
from benchmark.oracle import OracleWorld, population_club
from reports.validation.convergence import (
    asymptotic_deviations,
    estimate_repeatedly,
    fitted_exponent,
    population_values,
    run_convergence,
)
from reports.validation.gaps import run_gaps
from scoring.club import club_estimate

LN2 = math.log(2)
PUBLISHED_STUDIES = Path(__file__).parent.parent / "docs" / "validation"


def world(seed: int = 0, sizes: tuple[int, int, int, int] = (2, 3, 2, 4)) -> OracleWorld:
    return oracle.random_world(np.random.default_rng(seed), sizes, 0.7)


def fields_of(some: OracleWorld) -> dict[str, NDArray[np.float64]]:
    return {name: getattr(some, name).copy() for name in OracleWorld.__dataclass_fields__}


def cells(some: OracleWorld) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, some.p_U_A_D.shape)))


def looped_mutual_information(px: NDArray[np.float64], conditional: NDArray[np.float64]) -> float:
    """ln p(x, y) / (p(x) p(y)) summed over all pairs, written without any of the oracle's formulas."""
    inputs = list(itertools.product(*map(range, px.shape)))
    total = 0.0
    for y in range(conditional.shape[-1]):
        marginal = sum(px[x] * conditional[x][y] for x in inputs)
        for x in inputs:
            joint = px[x] * conditional[x][y]
            if joint > 0:
                total += joint * math.log(joint / (px[x] * marginal))
    return total


def looped_club(px: NDArray[np.float64], responses: NDArray[np.float64], scorer: NDArray[np.float64]) -> float:
    inputs = list(itertools.product(*map(range, px.shape)))
    total = 0.0
    for x, y in itertools.product(inputs, range(responses.shape[-1])):
        total += px[x] * responses[x][y] * math.log(scorer[x][y])
        for other in inputs:
            total -= px[x] * px[other] * responses[other][y] * math.log(scorer[x][y])
    return total


@pytest.mark.parametrize(
    ("p", "expected"),
    [([1.0, 0.0], 0.0), ([0.5, 0.25, 0.25], 1.5 * LN2), ([[0.25, 0.25], [0.25, 0.25]], 2 * LN2)],
)
def test_entropy_by_hand(p: list[float], expected: float) -> None:
    assert oracle.entropy(np.array(p)) == pytest.approx(expected, abs=1e-15)


def test_divergences_by_hand() -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert oracle.kl_divergence(p, q) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert oracle.total_variation(p, q) == pytest.approx(0.25)
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert oracle.js_divergence(one, other) == pytest.approx(LN2)
    assert oracle.js_divergence(one, p) == pytest.approx(0.5 * (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * LN2))
    assert oracle.js_divergence(p, p) == 0
    assert oracle.kl_divergence(p, one) == math.inf
    assert oracle.kl_divergence(one, p) == pytest.approx(LN2)


def test_mutual_information_of_a_binary_symmetric_channel() -> None:
    flip = 0.1
    channel = np.array([[1 - flip, flip], [flip, 1 - flip]])
    expected = LN2 + flip * math.log(flip) + (1 - flip) * math.log(1 - flip)
    assert oracle.mutual_information(np.array([0.5, 0.5]), channel) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_information_equals_plain_loops(seed: int) -> None:
    some = world(seed)
    for px, name in ((some.p_U_A_D, "P"), (some.q_U_A_D, "Q")):
        golden = looped_mutual_information(px, some.golden_U_A_D_Y)
        model = looped_mutual_information(px, some.model_U_A_D_Y)
        assert oracle.mutual_information(px, some.golden_U_A_D_Y) == pytest.approx(golden, abs=1e-12)
        assert oracle.emi(some, name) == pytest.approx(model - golden, abs=1e-12)
    assert oracle.emid(some) == pytest.approx(oracle.emi(some, "P") - oracle.emi(some, "Q"), abs=1e-15)


@pytest.mark.parametrize("seed", range(4))
def test_population_club_and_remi_equal_plain_loops(seed: int) -> None:
    some = world(seed)
    golden = looped_club(some.q_U_A_D, some.golden_U_A_D_Y, some.golden_U_A_D_Y)
    model = looped_club(some.q_U_A_D, some.model_U_A_D_Y, some.golden_U_A_D_Y)
    assert population_club(some.q_U_A_D, some.golden_U_A_D_Y, some.golden_U_A_D_Y) == pytest.approx(golden)
    assert oracle.population_remi(some, "Q") == pytest.approx(model - golden)


@pytest.mark.parametrize("seed", range(6))
def test_club_is_information_plus_the_divergence_of_product_from_joint(seed: int) -> None:
    some = world(seed, (3, 2, 2, 5))
    px, golden = some.p_U_A_D.ravel(), some.golden_U_A_D_Y.reshape(-1, 5)
    joint, product = px[:, None] * golden, px[:, None] * (px @ golden)
    information = oracle.mutual_information(px, golden)
    expected = information + oracle.kl_divergence(product, joint)
    assert population_club(px, golden, golden) == pytest.approx(expected, abs=1e-12)
    assert expected > information


@pytest.mark.parametrize("seed", range(6))
def test_club_under_another_scorer_is_off_by_two_divergences_and_may_be_negative(seed: int) -> None:
    some = world(seed, (3, 2, 2, 5))
    px, model = some.p_U_A_D.ravel(), some.model_U_A_D_Y.reshape(-1, 5)
    scored = px[:, None] * some.golden_U_A_D_Y.reshape(-1, 5)
    joint, product = px[:, None] * model, px[:, None] * (px @ model)
    gap = oracle.kl_divergence(product, scored) - oracle.kl_divergence(joint, scored)
    club = population_club(px, model, some.golden_U_A_D_Y.reshape(-1, 5))
    assert club == pytest.approx(oracle.mutual_information(px, model) + gap, abs=1e-12)


def test_club_is_negative_where_the_model_answers_the_wrong_way_round() -> None:
    px, channel = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]])
    assert population_club(px, channel, channel) == pytest.approx(0.8 * math.log(9) / 2)
    assert population_club(px, channel[::-1], channel) == pytest.approx(-0.8 * math.log(9) / 2)
    assert oracle.mutual_information(px, channel[::-1]) == pytest.approx(oracle.mutual_information(px, channel))


def test_a_scorer_that_does_not_look_at_its_input_brings_club_to_zero() -> None:
    some = world(1)
    blind = np.broadcast_to(some.golden_U_A_D_Y[0, 0, 0], some.golden_U_A_D_Y.shape)
    assert population_club(some.p_U_A_D, some.golden_U_A_D_Y, blind) == pytest.approx(0, abs=1e-15)


def test_estimates_are_right_in_expectation_off_the_diagonal_and_shrunk_with_it() -> None:
    """All 256 samples of two pairs are enumerated with their probabilities: no simulation."""
    some = world(3, (2, 2, 1, 2))
    pairs = [(x, y, some.p_U_A_D[x] * some.golden_U_A_D_Y[x][y]) for x in cells(some) for y in range(2)]
    expected = {"off_diagonal": 0.0, "all": 0.0}
    for (x, y, weight), (other_x, other_y, other_weight) in itertools.product(pairs, pairs):
        matrix = oracle.log_prob_matrix(some, np.array([x, other_x]), np.array([y, other_y]))
        for name in expected:
            expected[name] += weight * other_weight * club_estimate(matrix, pairs=name)  # type: ignore[arg-type]
    population = population_club(some.p_U_A_D, some.golden_U_A_D_Y, some.golden_U_A_D_Y)
    assert expected["off_diagonal"] == pytest.approx(population)
    assert expected["all"] == pytest.approx(population / 2)


def test_estimates_converge_as_the_square_root_of_the_samples() -> None:
    """The exponent has a standard error of about 0.02 here, an RMSE one of 4 % of itself."""
    some = oracle.random_world(np.random.default_rng(11), (3, 3, 3, 5), 1.0)
    truth, predicted, counts = population_values(some), asymptotic_deviations(some), np.array([32, 64, 128, 256, 512])
    errors: dict[str, list[float]] = {name: [] for name in truth}
    for count in counts:
        estimates = estimate_repeatedly(some, int(count), 300, np.random.default_rng([5, count]))
        for name in truth:
            errors[name].append(float(np.sqrt(((estimates[name] - truth[name]) ** 2).mean())))
    for name in truth:
        assert fitted_exponent(counts, np.array(errors[name])) == pytest.approx(-0.5, abs=0.06)
        assert errors[name][-1] == pytest.approx(predicted[name] / 512**0.5, rel=0.15)


def test_samples_have_the_worlds_frequencies_and_repeat_with_the_seed() -> None:
    some = world(2)
    codes, golden, model = oracle.sample(some, "Q", 200_000, np.random.default_rng(4))
    again = oracle.sample(some, "Q", 200_000, np.random.default_rng(4))
    assert all(np.array_equal(one, other) for one, other in zip((codes, golden, model), again, strict=True))
    for responses, conditional in ((golden, some.golden_U_A_D_Y), (model, some.model_U_A_D_Y)):
        counted = np.zeros(conditional.shape)
        np.add.at(counted, (*codes.T, responses), 1 / 200_000)
        assert np.abs(counted - some.q_U_A_D[..., None] * conditional).max() < 0.004


def test_impossible_outcomes_are_never_drawn() -> None:
    parity = oracle.parity_counterexample()
    codes, golden, model = oracle.sample(parity, "P", 5000, np.random.default_rng(0))
    assert (codes.sum(axis=1) % 2 == 0).all()
    assert np.array_equal(model, codes[:, 0])
    assert 0.4 < golden.mean() < 0.6


def test_log_prob_matrix_entry_by_entry() -> None:
    some = world(5)
    codes, golden, _ = oracle.sample(some, "P", 6, np.random.default_rng(1))
    matrix = oracle.log_prob_matrix(some, codes, golden)
    for i, j in itertools.product(range(6), range(6)):
        assert matrix[i, j] == math.log(some.golden_U_A_D_Y[tuple(codes[i])][golden[j]])


def test_random_worlds_have_full_support_and_repeat_with_the_seed() -> None:
    worlds = oracle.random_worlds(np.random.default_rng(8), 50, (2, 3, 2, 4), 0.05)
    again = oracle.random_worlds(np.random.default_rng(8), 50, (2, 3, 2, 4), 0.05)
    for one, other in zip(worlds, again, strict=True):
        for name, table in fields_of(one).items():
            assert table.min() > 0
            assert np.array_equal(table, fields_of(other)[name])


def test_shift_of_the_coupling_alone_costs_two_bits_worth() -> None:
    parity = oracle.parity_counterexample()
    assert oracle.emi(parity, "P") == pytest.approx(LN2)
    assert oracle.emi(parity, "Q") == pytest.approx(-LN2)
    assert oracle.emid(parity) == pytest.approx(2 * LN2)
    for p, q in zip(oracle.input_marginals(parity.p_U_A_D), oracle.input_marginals(parity.q_U_A_D), strict=True):
        assert np.array_equal(p, q)


@pytest.mark.parametrize("size", [2, 7, 100])
def test_naming_the_persona_costs_the_logarithm_of_their_number(size: int) -> None:
    assert oracle.emid(oracle.alphabet_counterexample(size)) == pytest.approx(math.log(size))


def unnormalised(tables: dict[str, NDArray[np.float64]]) -> None:
    tables["golden_U_A_D_Y"][1, 0, 0, 0] += 1e-6


def negative(tables: dict[str, NDArray[np.float64]]) -> None:
    tables["q_U_A_D"][0, 0, 0] -= 2
    tables["q_U_A_D"][0, 0, 1] += 2


def not_a_number(tables: dict[str, NDArray[np.float64]]) -> None:
    tables["p_U_A_D"][0, 0, 0] = math.nan


def unlike(tables: dict[str, NDArray[np.float64]]) -> None:
    tables["q_U_A_D"] = np.full((2, 2, 2), 1 / 8)


def flat(tables: dict[str, NDArray[np.float64]]) -> None:
    tables["p_U_A_D"] = tables["p_U_A_D"].ravel()


@pytest.mark.parametrize("spoil", [unnormalised, negative, not_a_number, unlike, flat])
def test_what_is_no_world_is_refused(spoil: Callable[[dict[str, NDArray[np.float64]]], None]) -> None:
    tables = fields_of(world())
    spoil(tables)
    with pytest.raises(ValueError, match="U_A_D"):
        OracleWorld(**tables)


def test_what_does_not_fit_together_is_refused() -> None:
    some = world()
    with pytest.raises(ValueError, match="use 'P' or 'Q'"):
        oracle.emi(some, "R")
    with pytest.raises(ValueError, match="does not fit"):
        oracle.mutual_information(some.p_U_A_D.ravel(), some.golden_U_A_D_Y)
    with pytest.raises(ValueError, match="cannot be compared"):
        oracle.js_divergence(some.p_U_A_D, some.p_U_A_D.ravel())
    with pytest.raises(ValueError, match="positive"):
        oracle.random_world(np.random.default_rng(0), (2, 2, 2, 2), 0.0)
    with pytest.raises(ValueError, match="at least 2"):
        oracle.alphabet_counterexample(1)


@pytest.mark.parametrize("study", [run_gaps, pytest.param(run_convergence, marks=pytest.mark.slow)])
def test_the_published_numbers_of_a_study_are_those_it_makes(
    study: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    made = study(tmp_path, 0)
    assert made.with_suffix(".svg").read_text().startswith("<?xml")
    with made.open() as file, (PUBLISHED_STUDIES / made.name).open() as published:
        rows, expected = list(csv.reader(file)), list(csv.reader(published))
    assert rows[0] == expected[0]
    assert len(rows) == len(expected) > 5
    for row, old in zip(rows[1:], expected[1:], strict=True):
        assert row[0] == old[0]
        assert [float(cell) for cell in row[1:]] == pytest.approx([float(cell) for cell in old[1:]], rel=1e-4, abs=1e-8)
