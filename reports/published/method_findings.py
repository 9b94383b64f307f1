"""The paper's second and third findings: RL is above SFT in most subsets, and methods that think are below it.

A run stores paired differences with intervals, so the average is tested by its p-value, corrected for all comparisons
of the run, and a count of subsets by the sign test. The paper prints no intervals: its subsets are counted for both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reports.published.compared import (
    SignedDifference,
    measured_differences,
    published_differences,
    published_scores,
)
from reports.published.finding import OPEN, Finding, Verdict, signs_text, verdict_of_p, verdict_of_signs
from reports.run_data import MethodKey, RunData
from reports.table import cut, interval_detail, p_text
from reports.tables.columns import AVERAGE, REFERENCE, method_label


@dataclass(frozen=True)
class Claim:
    """What the paper says of some methods against SFT."""

    key: str
    methods: Mapping[str, str]
    """The paper's methods that it is about, with the paper's names."""
    family: str | None
    """A run's methods of this family are tested too."""
    direction: Literal["above", "below"]
    words: str
    """Behind a method's name; `{sft}` stands for that of SFT."""
    on_average: bool
    """Whether it speaks of the average, or of the number of subsets."""


CLAIMS = (
    Claim("rl_above_sft", {"grpo": "RL"}, "rl", "above", "is above {sft} in most subsets.", on_average=False),
    Claim(
        "thinking_below_sft",
        {"thinking_sft": "ThinkingSFT", "thinking_rl": "ThinkingRL"},
        None,  # the family holds CoRL too, of which the paper says the opposite
        "below",
        "gains nothing by thinking: it is below {sft} on average.",
        on_average=True,
    ),
)
"""Findings 2 and 3 of the paper's section 4.2. No other place of the reports names methods."""
_BY_SUBSETS = "Two-sided sign test over subsets, indicative."
_BY_AVERAGE = "Paired difference of the averages, corrected p."


def method_findings(run: RunData, base_model: str | None) -> Iterator[Finding]:
    """Yield the findings on a base model: one for each method that a claim is about, scored or not."""
    differences = measured_differences(run, base_model)
    scored = {key.method for key in run.methods if key.base_model == base_model}
    for claim in CLAIMS:
        of_family = [m for m in sorted(scored) if claim.family and run.spec(m).get("family") == claim.family]
        for method in dict.fromkeys([*claim.methods, *of_family]):
            yield _run_finding(run, base_model, claim, method, differences.get(method, {}))


def published_method_findings(base: str) -> Iterator[Finding]:
    """Yield the same of the paper's Table 20, tested by counting subsets."""
    scores = published_scores(base)
    differences = published_differences(scores)
    for claim in CLAIMS:
        for method, name in claim.methods.items():
            n_for, n = _signs(claim, {key: value for key, value in differences[method].items() if key != AVERAGE})
            averages = f"average {scores[method][AVERAGE]:.3f} against {scores[REFERENCE][AVERAGE]:.3f}"
            evidence = f"{claim.direction.capitalize()} in {signs_text(n_for, n, 'subsets')}; {averages}."
            statement = f"{name} {claim.words.format(sft=REFERENCE.upper())}"
            yield Finding(claim.key, base, statement, verdict_of_signs(n_for, n), evidence, _BY_SUBSETS)


def _run_finding(
    run: RunData, base_model: str | None, claim: Claim, method: str, found: Mapping[str, SignedDifference]
) -> Finding:
    name = method_label(run, method) if run.spec(method) else claim.methods.get(method, method)
    statement = f"{cut(name)} {claim.words.format(sft=cut(method_label(run, REFERENCE)))}"
    test = _BY_AVERAGE if claim.on_average else _BY_SUBSETS
    if not found:
        return Finding(claim.key, base_model, statement, OPEN, _reason(run, base_model, method), test)
    n_for, n = _signs(claim, {key: one.value for key, one in found.items() if key != AVERAGE})
    average = found.get(AVERAGE)
    verdict = verdict_of_signs(n_for, n)
    if claim.on_average:
        verdict = OPEN if average is None else _verdict_of_average(claim, average)
    evidence = f"{claim.direction.capitalize()} in {signs_text(n_for, n, 'subsets')}; {_average_text(average)}."
    return Finding(claim.key, base_model, statement, verdict, evidence, test)


def _reason(run: RunData, base_model: str | None, method: str) -> str:
    """Say why there is nothing to test."""
    for needed in (method, REFERENCE):
        if MethodKey(base_model, needed) not in run.methods:
            return f"There are no scores of {cut(needed)} on this base model."
    return f"There are no differences of {cut(method)} from {REFERENCE} in scores/differences.json."


def _signs(claim: Claim, values: Mapping[str, float]) -> tuple[int, int]:
    """Return how many are as the claim says, and of how many; zeros are left out."""
    sign = 1 if claim.direction == "above" else -1
    return sum(sign * value > 0 for value in values.values()), sum(value != 0 for value in values.values())


def _verdict_of_average(claim: Claim, average: SignedDifference) -> Verdict:
    sign = 1 if claim.direction == "above" else -1
    return verdict_of_p(sign * average.value, average.adjusted_p, reliable=average.reliable)


def _average_text(average: SignedDifference | None) -> str:
    if average is None:
        return "no difference of the averages is stored"
    interval = interval_detail(average.low, average.high, average.reliable)
    shown = f"on average {average.value:z.3f} {interval}".rstrip()
    return f"{shown}, corrected p {p_text(average.adjusted_p)}"
