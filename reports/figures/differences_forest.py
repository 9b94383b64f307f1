"""Each method's average difference from SFT with its interval, filled where it is significant after correction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.estimates import Estimate, draw_estimates, view, view_words
from reports.figures.marks import Mark, legend_above, marker, name_rows, names_width, place_mark, zero_line
from reports.figures.words import base_words, caption, interval_words, method_words
from reports.house_style import Chart, house_style
from reports.run_data import TOKEN, MethodKey, Row, RunData
from reports.table import Value, interval_text, p_words

REFERENCE = "sft"
"""The paper's own method of comparison."""
NEEDS = "Differences from SFT are not drawn: scores/differences.json has no average difference between SFT and another."
SIGNIFICANT = 0.05
"""After Holm's correction over all pairs of methods, subsets and averages of a base model."""


@dataclass(frozen=True)
class Difference:
    """A method's average R-EMI less that of SFT, in nats a token."""

    key: MethodKey
    value: float
    ends: tuple[float, float] | None
    row: Row
    """Of `differences.json`, where the two may stand the other way round."""

    @property
    def significant(self) -> bool:
        """Whether it is after correction; not where there is no p-value."""
        p = self.row["adjusted_p"]
        return p is not None and p < SIGNIFICANT


def differences_forest(run: RunData) -> Chart | None:
    """Draw a panel a base model, a row a method, and the numbers beside it."""
    found = list(_differences(run))
    if not found:
        return None
    estimates = [_estimate(one) for one in found]
    limits = view(estimates)
    with house_style():
        figure = _draw(run, found, limits)
    n_significant = sum(one.significant for one in found)
    reference = method_words(run, REFERENCE)
    said = [
        f"R-EMI of each method less that of {reference}, averaged over the subsets, in nats a token; right of zero is "
        f"better than {reference}. Filled where significant at {SIGNIFICANT} after Holm's correction over all pairs of "
        f"methods, subsets and averages: {n_significant} of {len(found)}.",
        interval_words([one.row for one in found]),
        "Where an interval cannot be relied on, nor can the test." if _any_unreliable(found) else "",
        view_words(estimates, limits),
    ]
    return Chart(
        name="differences_forest",
        title=f"Average difference from {reference}",
        caption=caption(run, said),
        figure=figure,
        data=tuple(_numbers(one) for one in found),
        sources=("scores/differences.json",),
    )


def _differences(run: RunData) -> Iterator[Difference]:
    rows = run.rows("differences", unit=TOKEN, subset="average")
    for key in run.methods:
        for row in rows:
            pair = row["first"], row["second"]
            if (
                row["base_model"] == key.base_model
                and set(pair) == {key.method, REFERENCE}
                and row["difference"] is not None
            ):
                sign = 1 if row["second"] == REFERENCE else -1
                ends = None if row["ci_low"] is None else sorted((sign * row["ci_low"], sign * row["ci_high"]))
                yield Difference(key, sign * row["difference"], None if ends is None else (ends[0], ends[1]), row)


def _estimate(one: Difference) -> Estimate:
    return Estimate(one.value, one.ends, not one.significant)


def _any_unreliable(found: Sequence[Difference]) -> bool:
    return any(one.row["ci_low"] is not None and not one.row["interval_reliable"] for one in found)


def _draw(run: RunData, found: Sequence[Difference], limits: tuple[float, float]) -> Figure:
    panels = [own for base in run.base_models if (own := [one for one in found if one.key.base_model == base])]
    heights = [0.4 + 0.22 * len(own) for own in panels]
    width = 5.6 + names_width([method_words(run, one.key.method) for one in found])
    figure = Figure(figsize=(width, 0.8 + sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights).ravel()
    for axes, own in zip(grid, panels, strict=True):
        name_rows(axes, [method_words(run, one.key.method) for one in own])
        zero_line(axes)
        mark = place_mark(run.base_models.index(own[0].key.base_model))
        draw_estimates(axes, [_estimate(one) for one in own], list(range(len(own))), mark, limits)
        _write_numbers(axes, own)
        if len(run.base_models) > 1:
            axes.set_title(base_words(own[0].key.base_model))
    grid[-1].set_xlabel(f"R-EMI less that of {method_words(run, REFERENCE)} (nats a token)")
    grey = Mark("0.3", "o")
    entries = [("significant after correction", marker(grey)), ("not significant", marker(grey, hollow=True))]
    legend_above(figure, entries)
    return figure


def _write_numbers(axes: Axes, found: Sequence[Difference]) -> None:
    """Write each value with its interval and corrected p-value right of the axes."""
    for place, one in enumerate(found):
        p = one.row["adjusted_p"]
        said = [f"{one.value:+.3f}", interval_text(*(one.ends or (None, None))), "" if p is None else p_words(p)]
        where = (1.02, place)
        axes.annotate(
            "  ".join(filter(None, said)), where, xycoords=("axes fraction", "data"), va="center", fontsize=7.5
        )


def _numbers(one: Difference) -> dict[str, Value]:
    low, high = one.ends or (None, None)
    return {
        "base_model": one.key.base_model,
        "method": one.key.method,
        "reference": REFERENCE,
        "difference": one.value,
        "ci_low": low,
        "ci_high": high,
        "interval_reliable": one.row["interval_reliable"],
        "adjusted_p": one.row["adjusted_p"],
        "significant": one.significant,
    }
