"""The page of an ablation: a table like the paper's Table 1 with intervals, the differences, and what they rest on."""

from collections.abc import Iterator, Mapping, Sequence

from tabulate import tabulate

from benchmark.published import PublishedPerplexity, published_perplexity
from corl.ablation import GROUPS, Ablation
from corl.ablation_variants import FULL, VARIANTS
from reports.table import MISSING, p_text
from scoring.statistics import RELIABLE_CLUSTERS, Interval

HEADINGS = {"id": "ID", "user": "User shift", "character": "Character shift", "dialogue": "Dialogue shift"}
PUBLISHED = {FULL: "corl", "without_corl": "without_corl", "without_reasoning": "without_reasoning"}
"""Variants that the paper's Table 1 has, and their names there."""
THE_PAPERS = (
    "Table 1 of the paper: another model, other data, fitted on the splits that it is measured on; no intervals"
)
CURVES = (
    "Phase by phase: 0.n is phase n of the cold start, k.n that of iteration k; supervised phases are shaded. Held-out "
    "perplexity is that of some responses on which nothing is trained: in the generator's phases behind reasoning that "
    "it writes anew, in the policy model's behind reasoning that stays."
)
LABELS = {variant.name: variant.label for variant in VARIANTS}


def published_rows() -> Iterator[PublishedPerplexity]:
    """Yield the rows of the paper's Table 1 in the order of the variants that they belong to."""
    by_name = {row.variant: row for row in published_perplexity()}
    yield from (by_name[name] for name in PUBLISHED.values())


def as_markdown(ablation: Ablation, facts: Mapping[str, object], figures: Sequence[str]) -> str:
    """Return the page: perplexities, differences, what was shown, what the variants are, curves from relative paths."""
    groups = list(dict.fromkeys(one.group for one in ablation.perplexities))
    used = ", ".join(str(number) for number in ablation.folds)
    parts = [
        "# Does co-evolution help?",
        f"Perplexity a token of golden responses that nothing was trained on, lower is better, with 95 % intervals. "
        f"Base model: {facts['base_model']}. Folds used: {used} of {facts['n_folds']}. "
        f"Samples: {ablation.compared} of {ablation.held_out} held out{_left_out(ablation)}.",
        _perplexity_table(ablation, groups),
        f"(p) {THE_PAPERS}. Only the order of its rows can be compared with that of the rows above.",
        _interval_note(ablation),
        "## Differences",
        f"Log-perplexity of {LABELS[FULL]} less that of the other variant on the same samples, in nats a token: below "
        "0 where co-evolution is better. p is adjusted by Holm over the whole table; – stands where two variants are "
        "the same on every sample or where there are too few samples.",
        _difference_table(ablation, groups),
        "## What the policy models were shown",
        "Copied: the share of the golden response's word sequences that stand in the reasoning. Where a variant with a "
        "lower perplexity copies more, its gain may be copying.",
        _reasoning_table(ablation),
        "## Variants",
        "\n".join(f"- {variant.label} (`{variant.name}`): {variant.description}" for variant in VARIANTS),
        *(["## Notes", "\n".join(f"- {note}" for note in ablation.notes)] if ablation.notes else []),
        *(["## While it trained", CURVES] if figures else []),
        *(f"![Curves of the training of one fold]({path})" for path in figures),
    ]
    return "\n\n".join(parts) + "\n"


def _left_out(ablation: Ablation) -> str:
    if ablation.compared == ablation.held_out:
        return ""
    counts = ", ".join(f"{n} of {LABELS[name]}" for name, n in ablation.unscored.items() if n)
    return f"; the others do not fit the context under some variant ({counts}) and are left out of all"


def _perplexity_table(ablation: Ablation, groups: Sequence[str]) -> str:
    found = {(one.variant, one.group): one for one in ablation.perplexities}
    rows = [
        [variant.label, *(_cell(found[variant.name, g].perplexity, found[variant.name, g].interval) for g in groups)]
        for variant in VARIANTS
    ]
    names = {published: LABELS[own] for own, published in PUBLISHED.items()}
    for row in published_rows():
        rows.append([f"*(p) {names[row.variant]}*", *(f"*{row.perplexity[GROUPS[group]]:.3f}*" for group in groups)])
    return _table(["Variant", *(HEADINGS[group] for group in groups)], rows)


def _interval_note(ablation: Ablation) -> str:
    note = (
        "Intervals: two-way clustered by persona and character, on the logarithm. They say how much the draw of "
        "samples matters, not how much another run of the trainings would; each variant was trained once a fold."
    )
    if all(one.interval is None or one.interval.reliable for one in ablation.perplexities):
        return note
    return f"{note} Those marked ° are unreliable: they rest on fewer than {RELIABLE_CLUSTERS} personas or characters."


def _difference_table(ablation: Ablation, groups: Sequence[str]) -> str:
    found = {(one.second, one.group): one for one in ablation.differences}
    rows = []
    for name in dict.fromkeys(one.second for one in ablation.differences):
        of = [found[name, group] for group in groups]
        rows.append([LABELS[name], *(f"{_cell(d.difference, d.interval)}, p {p_text(d.adjusted_p)}" for d in of)])
    return _table(["Compared with", *(HEADINGS[group] for group in groups)], rows)


def _reasoning_table(ablation: Ablation) -> str:
    heads = ["Variant", "Copied, mean", "Copied, most", "Words", "Unmarked", "Empty", "Cut by length", "No room"]
    counted = ("unmarked", "empty", "cut_by_length", "prompt_too_long")
    rows = [
        [
            LABELS[one.variant],
            *(f"{value:.3f}" for value in (one.copied_share, one.copied_share_max, one.shown_words)),
            *(str(one.counts[key]) for key in counted),
        ]
        for one in ablation.reasoning
    ]
    return _table(heads, rows)


def _cell(value: float | None, found: Interval | None) -> str:
    if value is None or found is None:
        return _number(value)
    return f"{value:.3f} [{found.low:.3f}, {found.high:.3f}]{'' if found.reliable else '°'}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True)
