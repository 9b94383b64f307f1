"""How often and how closely each form of the upper bound holds: in random worlds, under search, in known extremes."""

from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmark.oracle_bounds import BoundTerms, bound_terms
from benchmark.oracle_formulas import Floats
from benchmark.oracle_worlds import alphabet_counterexample, parity_counterexample, random_worlds
from benchmark.seeds import derive_seed
from reports.validation.forms import FORMS, bounds
from reports.validation.output import COLOURS, Row, write_csv, write_figure
from reports.validation.search import climb

RANDOM_SIZES = ((2, 2, 2, 2), (2, 2, 2, 8), (3, 3, 3, 5), (4, 3, 2, 20), (2, 2, 2, 100))
CONCENTRATIONS = (0.1, 0.3, 1.0, 3.0)
WORLDS_A_SETTING = 1000
SEARCH_SIZES = ((2, 2, 2, 2), (2, 2, 1, 2), (2, 2, 2, 4), (3, 2, 2, 3))
RESTARTS = 32
STEPS = 3000
ALPHABET = 2000
QUANTILES = (0.05, 0.5, 0.95)
BROKEN = 1e-9
"""EMID must be above the bound by more than this, in nats, to count: less is rounding."""
LABELS = {
    "theorem": "Theorem 3.4",
    "restated": "C.2 as restated",
    "separate_maxima": "C.2, separate maxima",
    "corrected": "corrected",
}

Compared = dict[str, tuple[Floats, Floats]]
"""Form -> EMID and bound of every world, in nats."""


def run_bounds(out: Path, seed: int) -> Path:
    """Write bounds.csv and bounds.svg into `out`; returns the path of the CSV."""
    by_chance, searched = compare_at_random(seed), compare_under_search(seed)
    known = {"parity": parity_counterexample(), "alphabet": alphabet_counterexample(ALPHABET)}
    rows = _rows("random", by_chance) + _rows("search", searched)
    for name, world in known.items():
        rows += _rows(name, compare(bound_terms(world.as_batch())))
    write_figure(out / "bounds.svg", 2, lambda axes: _draw(axes, by_chance, searched))
    return write_csv(out / "bounds.csv", rows)


def compare(terms: BoundTerms) -> Compared:
    """Return EMID and every form of the bound."""
    return {form: (terms.emid_B, bounds(form, terms)) for form in FORMS}


def compare_at_random(seed: int) -> Compared:
    """Compare in worlds of the prior, equally many for each pair of sizes and concentration."""
    parts = []
    for sizes, concentration in product(RANDOM_SIZES, CONCENTRATIONS):
        rng = np.random.default_rng(derive_seed(seed, "bounds", "random", str(sizes), str(concentration)))
        parts.append(compare(bound_terms(random_worlds(rng, WORLDS_A_SETTING, sizes, concentration))))
    return _joined(parts)


def compare_under_search(seed: int) -> Compared:
    """Compare where hill climbing against that very form ended, one entry a restart."""
    found: Compared = {}
    for form in FORMS:
        parts = []
        for sizes in SEARCH_SIZES:
            rng = np.random.default_rng(derive_seed(seed, "bounds", "search", str(sizes)))
            parts.append({form: compare(bound_terms(climb(form, sizes, RESTARTS, STEPS, rng)))[form]})
        found |= _joined(parts)
    return found


def _joined(parts: list[Compared]) -> Compared:
    return {
        form: (np.concatenate([part[form][0] for part in parts]), np.concatenate([part[form][1] for part in parts]))
        for form in parts[0]
    }


def _rows(worlds: str, compared: Compared) -> list[Row]:
    rows: list[Row] = []
    for form, (emid_B, bound_B) in compared.items():
        costly = emid_B > 0
        ratio = _looseness(emid_B, bound_B)
        rows.append(
            {
                "worlds": worlds,
                "form": form,
                "count": len(emid_B),
                "broken": int((emid_B > bound_B + BROKEN).sum()),
                "emid_positive": int(costly.sum()),
                "largest_excess": float((emid_B - bound_B).max()),
                **{f"bound_over_emid_q{100 * q:02.0f}": float(np.quantile(ratio, q)) for q in QUANTILES},
            }
        )
    return rows


def _looseness(emid_B: Floats, bound_B: Floats) -> Floats:
    """Return bound / EMID where EMID is above zero."""
    costly = emid_B > 0
    return np.asarray(bound_B[costly] / emid_B[costly])


def _draw(axes: list[Axes], by_chance: Compared, searched: Compared) -> None:
    chance_axes, search_axes = axes
    for place, (form, colour) in enumerate(zip(FORMS, COLOURS, strict=True)):
        low, middle, high = np.quantile(_looseness(*by_chance[form]), QUANTILES)
        chance_axes.hlines(place, low, high, color=colour, linewidth=5)
        chance_axes.plot(middle, place, "o", color="white", markeredgecolor=colour, markersize=8)
        ratios = _looseness(*searched[form])
        heights = place + np.linspace(-0.3, 0.3, len(ratios))
        search_axes.plot(ratios, heights, "o", color=colour, markersize=3)
    for panel, title in ((chance_axes, "Random worlds: 5, 50, 95 %"), (search_axes, "Worlds that search ended at")):
        panel.axvline(1, color="0.4", linewidth=1, zorder=0)
        panel.set_xscale("log")
        panel.set_xlabel("bound / EMID (below 1: broken)")
        panel.set_ylim(len(FORMS) - 0.5, -0.5)
        panel.set_yticks(range(len(FORMS)), [LABELS[form] for form in FORMS])
        panel.set_title(title)
    search_axes.set_yticklabels([])
