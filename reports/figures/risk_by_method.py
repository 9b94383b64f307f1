"""The largest bound of each shift by method (the paper's Figure 7 and more), split into the terms that add up to it.

Both drawn forms are a constant plus a multiple of each component's root divergence, so the terms add up as they stand.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from reports.figures.marks import Entries, Mark, legend_above, marker, name_rows, names_width
from reports.figures.words import SHIFTS, UNITS, caption, counted, interval_words, key_words, span_words, subset_words
from reports.house_style import COLOURS, HATCHES, Chart, house_style
from reports.run_data import MethodKey, Row, RunData
from reports.table import Value
from scoring.bound import remid_upper_bound
from scoring.calibrated_bound import calibrated_bound

NEEDS = "Risk by method is not drawn: scores/bounds.json has no bound of the calibrated form or of Theorem 3.4."
FORMS = {"calibrated": "Calibrated form", "theorem": "Theorem 3.4 as written"}
"""Forms drawn, one below the other; the corrected one is a diagnostic."""
TERMS = ("constant", "user", "character", "dialogue")
TERM_WORDS = {
    "constant": "constant (Theorem 3.4: 8 Δ^(1/4))",
    **{
        name: f"divergence of the {words}"
        for name, words in zip(TERMS[1:], ("user", "character", "dialogue"), strict=True)
    },
}
TERM_COLOURS = dict(zip(TERMS, ("0.8", *COLOURS[:3]), strict=True))
TERM_HATCHES = dict(zip(TERMS, HATCHES, strict=False))
EVERY = "every method"
ROOM = 1.3
"""Length of the x axis, in lengths of the longest bar: behind it stands the subset's name."""
CASING = withStroke(linewidth=3, foreground="white")
BIAS_REMOVED = Mark("#000000", "D")


@dataclass(frozen=True)
class Risk:
    """The largest bound over a shift's subsets for one method and form."""

    key: MethodKey
    row: Row
    """Of `bounds.json`."""
    terms: Mapping[str, float] | None
    """Constant and components, which add up to the bound; None where those of the file do not."""

    @property
    def drawn(self) -> tuple[object, ...]:
        """Everything that is drawn of it."""
        names = ("subset", "bound", "bound_ci_low", "bound_ci_high", "bound_bias_removed")
        return (*(self.row[name] for name in names), *(self.terms or {}).items())


def risk_by_method(run: RunData) -> Chart | None:
    """Draw both forms of the bound; where a form is the same for every method, one bar stands for all."""
    risks = {form: _risks(run, form) for form in FORMS}
    risks = {form: found for form, found in risks.items() if found}
    if not risks:
        return None
    with house_style():
        figure = _draw(run, risks)
    return Chart(
        name="risk_by_method",
        title="Largest bound on R-EMID by method and shift",
        caption=caption(run, _said(risks)),
        figure=figure,
        data=tuple(_numbers(form, risk) for form, found in risks.items() for risk in found),
        sources=("scores/bounds.json",),
    )


def bound_terms(row: Row) -> dict[str, float] | None:
    """Return the terms of a bound in its unit; None where one is missing or they do not add up to the bound."""
    divergences = {name: row[f"jsd_{name}"] for name in TERMS[1:]}
    if None in (*divergences.values(), row["bound"]):
        return None
    form: Callable[..., float] = calibrated_bound
    if row["form"] == "theorem":
        if row["h_hat"] is None or row["delta"] is None:
            return None
        form = partial(remid_upper_bound, h_hat=row["h_hat"], delta=row["delta"])
    nothing = dict.fromkeys((f"jsd_{name}" for name in divergences), 0.0)
    try:
        constant = form(**nothing)
        alone = {name: form(**{**nothing, f"jsd_{name}": value}) for name, value in divergences.items()}
    except ValueError:  # a divergence out of its range
        return None
    terms = {"constant": constant, **{name: value - constant for name, value in alone.items()}}
    return terms if math.isclose(sum(terms.values()), row["bound"], rel_tol=1e-6) else None


def _risks(run: RunData, form: str) -> list[Risk]:
    found = []
    rows = [row for row in run.rows("bounds", form=form) if row["bound"] is not None]
    for key in run.methods:
        for shift in SHIFTS:
            own = [row for row in rows if (row["base_model"], row["method"], row["shift"]) == (*key, shift)]
            if own:
                largest = max(own, key=lambda row: row["bound"])
                found.append(Risk(key, largest, bound_terms(largest)))
    return found


def _is_common(risks: Sequence[Risk]) -> bool:
    """Whether a form says the same of every method, of which there are several."""
    by_key: dict[MethodKey, list[object]] = {}
    for risk in risks:
        by_key.setdefault(risk.key, []).append((risk.row["shift"], risk.drawn))
    return len(by_key) > 1 and all(drawn == next(iter(by_key.values())) for drawn in by_key.values())


def _row_names(run: RunData, risks: Sequence[Risk]) -> list[str]:
    keys = dict.fromkeys(risk.key for risk in risks)
    return [EVERY] if _is_common(risks) else [key_words(run, key) for key in keys]


def _draw(run: RunData, risks: Mapping[str, Sequence[Risk]]) -> Figure:
    names = {form: _row_names(run, found) for form, found in risks.items()}
    shifts = [shift for shift in SHIFTS if any(r.row["shift"] == shift for found in risks.values() for r in found)]
    heights = [0.7 + 0.2 * len(rows) for rows in names.values()]
    width = names_width([name for rows in names.values() for name in rows]) + 2.1 * len(shifts)
    figure = Figure(figsize=(0.5 + width, 0.9 + sum(heights)), layout="constrained")
    grid = figure.subplots(len(risks), len(shifts), sharex="row", squeeze=False, height_ratios=heights)
    for line, (form, found) in zip(grid, risks.items(), strict=True):
        shown = [risk for risk in found if names[form] != [EVERY] or risk.key == found[0].key]
        order = list(dict.fromkeys(risk.key for risk in shown))
        for axes, shift in zip(line, shifts, strict=True):
            own = [risk for risk in shown if risk.row["shift"] == shift]
            name_rows(axes, names[form])
            _draw_bars(axes, own, [order.index(risk.key) for risk in own])
            axes.set_title(f"{FORMS[form] if axes is line[0] else ''}\n{SHIFTS[shift]}")
            axes.set_xlabel(UNITS[found[0].row["unit"]])
            axes.tick_params(labelleft=axes is line[0])
            axes.set_xlim(0, ROOM * max(map(_end, shown)) or 1.0)
    legend_above(figure, _entries(risks), columns=2)
    return figure


def _draw_bars(axes: Axes, risks: Sequence[Risk], heights: Sequence[int]) -> None:
    """Draw the stacked terms, the interval as a whisker, the bias-removed value, and the subset's name behind."""
    for height, risk in zip(heights, risks, strict=True):
        left = 0.0
        for name, width in (risk.terms or {}).items():
            axes.barh(height, width, 0.7, left, color=TERM_COLOURS[name], hatch=TERM_HATCHES[name], edgecolor="white")
            left += width
        if risk.terms is None:
            axes.barh(height, risk.row["bound"], 0.7, color="white", edgecolor="0.3")
        low, high = risk.row["bound_ci_low"], risk.row["bound_ci_high"]
        if low is not None:
            axes.hlines(height, low, high, color="black", linewidth=1.2, path_effects=[CASING])
        if risk.row["bound_bias_removed"] is not None:
            less_floor = axes.scatter(risk.row["bound_bias_removed"], height, s=16, marker=BIAS_REMOVED.marker)
            less_floor.set(facecolor="white", edgecolor="black", clip_on=False, zorder=3)
        where = (_end(risk), height)
        axes.annotate(
            subset_words(risk.row["subset"]), where, (3, 0), textcoords="offset points", va="center", fontsize=6.5
        )


def _end(risk: Risk) -> float:
    return max(float(risk.row["bound"]), float(risk.row["bound_ci_high"] or 0.0))


def _entries(risks: Mapping[str, Sequence[Risk]]) -> Entries:
    every = [risk for found in risks.values() for risk in found]
    entries: Entries = []
    if any(risk.terms for risk in every):
        for name in TERMS:
            patch = Patch(facecolor=TERM_COLOURS[name], hatch=TERM_HATCHES[name], edgecolor="white")
            entries.append((TERM_WORDS[name], patch))
    if any(risk.terms is None for risk in every):
        entries.append(("not split", Patch(facecolor="white", edgecolor="0.3")))
    if any(risk.row["bound_bias_removed"] is not None for risk in every):
        entries.append(("floor of finite samples removed", marker(BIAS_REMOVED, hollow=True)))
    return entries


def _numbers(form: str, risk: Risk) -> dict[str, Value]:
    names = ("shift", "subset", "bound", "bound_ci_low", "bound_ci_high", "interval_reliable", "bound_bias_removed")
    terms = {f"term_{name}": None if risk.terms is None else risk.terms[name] for name in TERMS}
    fixed = {"form": form, "unit": risk.row["unit"], "base_model": risk.key.base_model, "method": risk.key.method}
    return {**fixed, **{name: risk.row[name] for name in (*names, "h_hat", "delta")}, **terms}


def _said(risks: Mapping[str, Sequence[Risk]]) -> list[str]:
    every = [risk for found in risks.values() for risk in found]
    said = [
        "For each method and shift the largest bound over the shift's subsets, which is named behind the bar; lower is "
        "better.",
    ]
    if any(risk.terms for risk in every):
        said.append(
            "The parts of a bar are the form's own terms and add up to it: a constant and a multiple of the root of "
            "each component's divergence (user persona, agent character, dialogue context)."
        )
    if found := risks.get("calibrated"):
        same = "; it sees the inputs alone, so it is the same for every method" if _is_common(found) else ""
        said.append(f"The calibrated form is in nats a token ({found[0].row['label']}){same}.")
    if found := risks.get("theorem"):
        said.append(_theorem_words(found))
    whole = sum(risk.terms is None for risk in every)
    said.append(
        f"{counted(whole, 'bound')} not split, as the terms in the file do not add up to the bound." if whole else ""
    )
    said.append(interval_words([risk.row for risk in every], low="bound_ci_low"))
    return said


def _theorem_words(risks: Sequence[Risk]) -> str:
    terms = []
    for sign, name in (("Ĥ", "h_hat"), ("Δ", "delta")):
        values = [risk.row[name] for risk in risks if risk.row[name] is not None]
        if values:
            terms.append(f"{sign} is {span_words(values, '.4g')} nats")
    return (
        "Theorem 3.4 as written is in nats a response, 8 Δ^(1/4) and √(2/3) Ĥ √D for each component"
        + "".join(f"; {term}" for term in terms)
        + ". Diamonds are the bound with the floor that finite samples give taken from each D."
    )
