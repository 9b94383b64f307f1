"""The cold start: what both models first learn from a teacher's reasoning (appendix D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.sample import Sample
from corl.copying import copied_share
from scoring.reasoning_text import ReasoningReader


@dataclass(frozen=True)
class ColdStart:
    """Samples with what is learned from their traces."""

    samples: tuple[Sample, ...]
    targets: Mapping[str, str]
    """Sample ID -> what the generator learns to write."""
    echoes: Mapping[str, float]
    """Sample ID -> share of the golden response that the teacher's features repeat, of traces that were left out."""

    def without(self, goldens: set[str]) -> "ColdStart":
        """Return the cold start without samples that have one of these golden responses."""
        kept = tuple(sample for sample in self.samples if sample.golden_response not in goldens)
        return ColdStart(kept, self.targets, self.echoes)


def cold_start(
    samples: Sequence[Sample], traces: Mapping[str, str], reader: ReasoningReader, copying_limit: float
) -> ColdStart:
    """Return what can be learned from traces.

    A teacher sees the golden response. Features that repeat it would teach the policy model to copy what at estimation
    time nobody can foretell, so such traces are left out and counted.

    Args:
        samples: those that have a trace.
        traces: sample ID -> whole reasoning.
        reader: knows what the generator is to write.
        copying_limit: largest share of the golden response's word sequences that features may repeat.

    Raises:
        UserMistakes: all traces without features; or none is left.
    """
    targets = {sample.sample_id: reader.target(traces[sample.sample_id]) for sample in samples}
    problem = f"the reasoning has no closed fenced block with features behind {reader.form.marker}"
    lacking = [Mistake(f"training sample {name}", problem) for name, target in targets.items() if target is None]
    if lacking:
        raise UserMistakes(lacking)
    learned = {name: target for name, target in targets.items() if target is not None}
    shares = {s.sample_id: copied_share(reader.shown(learned[s.sample_id]).text, s.golden_response) for s in samples}
    echoes = {name: share for name, share in shares.items() if share > copying_limit}
    kept = tuple(sample for sample in samples if sample.sample_id not in echoes)
    if not kept:
        problem = f"all {len(samples)} traces repeat more than {copying_limit:.0%} of the golden response"
        remedy = "take a teacher that describes the response instead of quoting it, or raise config.copying_limit"
        raise UserMistakes([Mistake("the teacher's reasoning", problem, remedy)])
    return ColdStart(kept, learned, echoes)
