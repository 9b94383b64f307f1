"""One sample with every method's response, chosen by a rule that is printed with it (as the paper's Figure 11)."""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.run_data import MethodKey, Row


@dataclass(frozen=True)
class CaseStudy:
    """A sample, its responses, and why it was chosen."""

    rule: str
    """How it was chosen, in a sentence."""
    sample: Row
    """As it stands in `samples.jsonl`."""
    responses: Mapping[MethodKey, Row]
    """In the run's order of methods, as in the responses' files."""
    contributions: Mapping[MethodKey, float]
    """What the sample adds to each method's R-EMI on its subset, in nats a token; methods without one are left out."""
