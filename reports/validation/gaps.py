"""What an exact conditional still leaves between the scores and the information they are named after.

Population values, without sampling error: CLUB of golden responses against I(X; Y), and R-EMI as computed against
EMI, over random worlds. The model's conditional lies between the golden one (share 0) and an unrelated one (1).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmark.oracle_formulas import Floats, effective_mutual_informations, mutual_informations, population_clubs
from benchmark.oracle_worlds import WorldBatch, random_worlds
from benchmark.seeds import derive_seed
from reports.validation.output import COLOURS, Row, write_csv, write_figure

SIZES = (3, 3, 3, 5)
CONCENTRATION = 1.0
WORLDS = 4000
MODEL_ERRORS = (0.1, 0.5, 1.0)
"""Share of an unrelated conditional in the model's; the rest is the golden one."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTITIES = {
    "club_less_mi": "CLUB - I(X; Y)\ngolden responses",
    "remi_less_emi": "R-EMI - EMI",
    "remid_less_emid": "R-EMID - EMID",
}


def run_gaps(out: Path, seed: int) -> Path:
    """Write gaps.csv and gaps.svg into `out`; returns the path of the CSV (nats)."""
    drawn = random_worlds(np.random.default_rng(derive_seed(seed, "gaps")), WORLDS, SIZES, CONCENTRATION)
    rows: list[Row] = [_row("club_less_mi", 0.0, *golden_clubs(drawn))]
    for error in MODEL_ERRORS:
        mixed = (1 - error) * drawn.golden_B_U_A_D_Y + error * drawn.model_B_U_A_D_Y
        worlds = replace(drawn, model_B_U_A_D_Y=mixed)
        rows += [_row(name, error, score_B, true_B) for name, (score_B, true_B) in compared(worlds).items()]
    write_figure(out / "gaps.svg", 1, lambda axes: _draw(axes[0], rows))
    return write_csv(out / "gaps.csv", rows)


def golden_clubs(worlds: WorldBatch) -> tuple[Floats, Floats]:
    """Return the population CLUB of golden responses, and I(X; Y), under P, in nats, by world."""
    p_B_X, _, golden_B_X_Y, _ = _flat(worlds)
    return population_clubs(p_B_X, golden_B_X_Y, golden_B_X_Y), mutual_informations(p_B_X, golden_B_X_Y)


def compared(worlds: WorldBatch) -> dict[str, tuple[Floats, Floats]]:
    """Return R-EMI (under P) and R-EMID as computed, each with what it stands for, in nats, by world."""
    p_B_X, q_B_X, golden_B_X_Y, model_B_X_Y = _flat(worlds)
    remi_p_B, remi_q_B = (
        population_clubs(x, model_B_X_Y, golden_B_X_Y) - population_clubs(x, golden_B_X_Y, golden_B_X_Y)
        for x in (p_B_X, q_B_X)
    )
    emi_p_B, emi_q_B = (effective_mutual_informations(x, golden_B_X_Y, model_B_X_Y) for x in (p_B_X, q_B_X))
    return {"remi_less_emi": (remi_p_B, emi_p_B), "remid_less_emid": (remi_p_B - remi_q_B, emi_p_B - emi_q_B)}


def rank_correlation(one_B: Floats, other_B: Floats) -> float:
    """Return Spearman's correlation of two sets of values without ties."""
    ranks_2_B = np.argsort(np.argsort(np.stack([one_B, other_B]), axis=1), axis=1)
    return float(np.asarray(np.corrcoef(ranks_2_B))[0, 1])


def _flat(worlds: WorldBatch) -> tuple[Floats, Floats, Floats, Floats]:
    count, n_responses = len(worlds), worlds.golden_B_U_A_D_Y.shape[-1]
    inputs = (worlds.p_B_U_A_D.reshape(count, -1), worlds.q_B_U_A_D.reshape(count, -1))
    conditionals = (worlds.golden_B_U_A_D_Y, worlds.model_B_U_A_D_Y)
    golden_B_X_Y, model_B_X_Y = (table.reshape(count, -1, n_responses) for table in conditionals)
    return *inputs, golden_B_X_Y, model_B_X_Y


def _row(name: str, error: float, score_B: Floats, true_B: Floats) -> Row:
    gap_B = score_B - true_B
    return {
        "quantity": name,
        "model_error": error,
        "worlds": len(gap_B),
        "median_true": float(np.median(true_B)),
        **{f"q{100 * q:02.0f}": float(np.quantile(gap_B, q)) for q in QUANTILES},
        "share_positive": float((gap_B > 0).mean()),
        "share_same_sign": float((np.sign(score_B) == np.sign(true_B)).mean()),
        "rank_correlation": rank_correlation(score_B, true_B),
    }


def _draw(axes: Axes, rows: list[Row]) -> None:
    for series, (error, colour) in enumerate(zip((0.0, *MODEL_ERRORS), ("0.2", *COLOURS), strict=False)):
        own = [row for row in rows if row["model_error"] == error]
        shift = 0.22 * (series - 2) if error else 0.0
        at = np.array([list(QUANTITIES).index(str(row["quantity"])) for row in own]) + shift
        low, lower, middle, upper, high = (np.array([row[f"q{100 * q:02.0f}"] for row in own]) for q in QUANTILES)
        axes.vlines(at, low, high, color=colour, linewidth=1.5)
        axes.vlines(at, lower, upper, color=colour, linewidth=6)
        label = f"model error {error:g}" if error else None
        axes.plot(at, middle, "o", color="white", markeredgecolor=colour, label=label)
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(QUANTITIES)), list(QUANTITIES.values()))
    axes.set_ylabel("gap (nats): 5, 25, 50, 75, 95 %")
    axes.legend(loc="lower left")
