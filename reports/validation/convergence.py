"""How fast CLUB and R-EMI reach what they converge to, when the conditional is exact.

Estimates from N samples of a known world are compared with the population value. Their errors should fall as
N^(-1/2), at the height that the asymptotic variance of the U-statistic predicts.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmark.oracle import OracleWorld, log_prob_matrix, population_club, random_world, sample
from benchmark.oracle_formulas import Floats, outcome_marginals
from benchmark.seeds import derive_seed
from reports.validation.output import COLOURS, Row, write_csv, write_figure
from scoring.club import club_estimate

SIZES = (3, 3, 3, 5)
CONCENTRATION = 1.0
SAMPLE_COUNTS = (16, 32, 64, 128, 256, 512, 1024)
REPETITIONS = 400
QUANTITIES = {"golden": "CLUB, golden responses", "model": "CLUB, model's responses", "remi": "R-EMI"}


def run_convergence(out: Path, seed: int) -> Path:
    """Write convergence.csv and convergence.svg into `out`; returns the path of the CSV (nats)."""
    world = random_world(np.random.default_rng(derive_seed(seed, "convergence", "world")), SIZES, CONCENTRATION)
    truth = population_values(world)
    predicted = asymptotic_deviations(world)
    rows: list[Row] = []
    errors = {name: np.zeros((len(SAMPLE_COUNTS), REPETITIONS)) for name in QUANTITIES}
    for index, count in enumerate(SAMPLE_COUNTS):
        rng = np.random.default_rng(derive_seed(seed, "convergence", str(count)))
        estimates = estimate_repeatedly(world, count, REPETITIONS, rng)
        for name in QUANTITIES:
            errors[name][index] = estimates[name] - truth[name]
    for name, errors_C_R in errors.items():
        rmse_C = np.sqrt((errors_C_R**2).mean(axis=1))
        slope = fitted_exponent(np.array(SAMPLE_COUNTS), rmse_C)
        rows += [
            {
                "quantity": name,
                "population_value": truth[name],
                "n_samples": count,
                "repetitions": REPETITIONS,
                "bias": float(errors_C_R[index].mean()),
                "rmse": float(rmse_C[index]),
                "predicted_rmse": predicted[name] / count**0.5,
                "fitted_exponent": slope,
            }
            for index, count in enumerate(SAMPLE_COUNTS)
        ]
    write_figure(out / "convergence.svg", 1, lambda axes: _draw(axes[0], rows))
    return write_csv(out / "convergence.csv", rows)


def population_values(world: OracleWorld) -> dict[str, float]:
    """Return what each quantity converges to under P, in nats."""
    golden = population_club(world.p_U_A_D, world.golden_U_A_D_Y, world.golden_U_A_D_Y)
    model = population_club(world.p_U_A_D, world.model_U_A_D_Y, world.golden_U_A_D_Y)
    return {"golden": golden, "model": model, "remi": model - golden}


def estimate_repeatedly(
    world: OracleWorld, count: int, repetitions: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return each quantity's estimates from independent sets of `count` samples under P, in nats."""
    golden_R, model_R = np.zeros(repetitions), np.zeros(repetitions)
    for repetition in range(repetitions):
        codes_N_3, golden_N, model_N = sample(world, "P", count, rng)
        golden_R[repetition] = club_estimate(log_prob_matrix(world, codes_N_3, golden_N))
        model_R[repetition] = club_estimate(log_prob_matrix(world, codes_N_3, model_N))
    return {"golden": golden_R, "model": model_R, "remi": model_R - golden_R}


def asymptotic_deviations(world: OracleWorld) -> dict[str, float]:
    """Return sqrt(N) times the standard deviation of each estimate under P as N grows, in nats.

    A pair (x, y) moves CLUB by f(x, y) - E f(x, Y') - E f(X', y) to first order, where f = ln p(y | x) and X', Y'
    are independent of the pair. Golden and model's response are independent given x, so for R-EMI the variances
    given x add up and the means given x are subtracted.
    """
    p_X = world.p_U_A_D.ravel()
    golden_X_Y, model_X_Y = (table.reshape(p_X.size, -1) for table in (world.golden_U_A_D_Y, world.model_U_A_D_Y))
    means_X, variances_X = {}, {}
    for name, responses_X_Y in (("golden", golden_X_Y), ("model", model_X_Y)):
        scores_X_Y = np.log(golden_X_Y)
        influence_X_Y = scores_X_Y - scores_X_Y @ outcome_marginals(p_X, responses_X_Y)[:, None] - p_X @ scores_X_Y
        means_X[name] = (responses_X_Y * influence_X_Y).sum(axis=1)
        variances_X[name] = (responses_X_Y * influence_X_Y**2).sum(axis=1) - means_X[name] ** 2
    means_X["remi"] = means_X["model"] - means_X["golden"]
    variances_X["remi"] = variances_X["model"] + variances_X["golden"]
    return {
        name: float(np.sqrt(p_X @ variances_X[name] + p_X @ means_X[name] ** 2 - (p_X @ means_X[name]) ** 2))
        for name in means_X
    }


def fitted_exponent(counts_C: Floats, rmse_C: Floats) -> float:
    """Return the slope of ln RMSE over ln N by least squares."""
    return float(np.polyfit(np.log(counts_C), np.log(rmse_C), 1)[0])


def _draw(axes: Axes, rows: list[Row]) -> None:
    for (name, label), colour in zip(QUANTITIES.items(), COLOURS, strict=False):
        own = [row for row in rows if row["quantity"] == name]
        counts = [float(row["n_samples"]) for row in own]
        label = f"{label}: $N^{{{float(own[0]['fitted_exponent']):.2f}}}$"
        axes.loglog(counts, [float(row["rmse"]) for row in own], "o", color=colour, label=label)
        axes.loglog(counts, [float(row["predicted_rmse"]) for row in own], color=colour, linewidth=1)
    axes.set_xticks(SAMPLE_COUNTS, [str(count) for count in SAMPLE_COUNTS])
    axes.set_yticks((0.03, 0.1, 0.3), ["0.03", "0.1", "0.3"])
    axes.minorticks_off()
    axes.set_ylim(0.02, 1.5)
    axes.set_xlabel("samples N")
    axes.set_ylabel("root mean square error (nats)")
    axes.legend(loc="upper right", title="measured (lines: predicted)", alignment="left")
