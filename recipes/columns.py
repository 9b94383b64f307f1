"""The columns of a table of pairs: the golden responses, and those of each method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.run_store import read_jsonl
from benchmark.sample import Sample
from scoring.pair_matrix import CandidateResponse

GOLDEN = "(golden)"
"""Name of the golden responses' column; no method can have it."""


@dataclass(frozen=True)
class Column:
    """A method's responses: what they are called in this run, and the file that holds them."""

    name: str
    responses: Path

    def candidates(self) -> dict[str, CandidateResponse]:
        """Return the responses by sample ID; one cut by the length limit gets no end-of-turn token."""
        return {
            row["sample_id"]: CandidateResponse(row["response"], ended=row["finish_reason"] in ("stop", None))
            for row in read_jsonl(self.responses)
        }


def all_candidates(columns: Sequence[Column], samples: Iterable[Sample]) -> dict[str, dict[str, CandidateResponse]]:
    """Return column name -> sample ID -> response, the golden responses first."""
    golden = {sample.sample_id: CandidateResponse(sample.golden_response, ended=True) for sample in samples}
    return {GOLDEN: golden, **{column.name: column.candidates() for column in columns}}
