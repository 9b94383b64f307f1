"""The paper's three findings (section 4.2), tested on a run and on the paper's own numbers.

The first is tested twice: on the bound, which the paper reads it off, and on R-EMID, which is bounded. The rules of the
verdicts are in `reports.published.finding`. Published numbers have no intervals: directions are counted.
"""

from collections.abc import Iterator

from reports.published.compared import PUBLISHED_BASES
from reports.published.finding import Finding
from reports.published.method_findings import method_findings, published_method_findings
from reports.published.shift_findings import (
    bound_finding,
    loss_finding,
    published_bound_finding,
    published_loss_finding,
)
from reports.run_data import RunData


def run_findings(run: RunData) -> tuple[Finding, ...]:
    """Return the findings on each of the run's base models; what cannot be tested says why."""
    return tuple(finding for base in run.base_models for finding in _of_base(run, base))


def published_findings() -> tuple[Finding, ...]:
    """Return the findings on each of the paper's base models, from its Tables 12 and 20; no run is needed."""
    return tuple(finding for base in PUBLISHED_BASES for finding in _of_published_base(base))


def _of_base(run: RunData, base_model: str | None) -> Iterator[Finding]:
    yield bound_finding(run, base_model)
    yield loss_finding(run, base_model)
    yield from method_findings(run, base_model)


def _of_published_base(base: str) -> Iterator[Finding]:
    yield published_bound_finding(base)
    yield published_loss_finding(base)
    yield from published_method_findings(base)
