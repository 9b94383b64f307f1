"""The stage that scores responses under the estimator: a block of pairs for each column and subset.

A column is the golden responses or one method's. Its blocks lie in a folder of its own, keyed by what they depend
on, so that adding a method costs only that method's column; a block is kept as soon as it is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import read_jsonl
from benchmark.sample import Sample
from recipes.environment import Compute
from recipes.schema import ScoringSettings
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_responses import RESPONSES
from scoring.estimator import read_estimator
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.pair_matrix import CandidateResponse, load_block, pair_blocks, save_block


@dataclass(frozen=True)
class Column:
    """One column group: where its responses come from and where its blocks go."""

    name: str
    responses: Path | None
    """Folder of the stage that generated them; None for the golden ones."""
    blocks: Path

    def candidates(self, samples: Sequence[Sample]) -> list[CandidateResponse]:
        """Return the responses to the samples; one cut by the length limit gets no end-of-turn token."""
        if self.responses is None:
            return [CandidateResponse(sample.golden_response, ended=True) for sample in samples]
        rows = {row["sample_id"]: row for row in read_jsonl(self.responses / RESPONSES)}
        chosen = [rows[sample.sample_id] for sample in samples]
        return [CandidateResponse(row["response"], ended=row["finish_reason"] in ("stop", None)) for row in chosen]


def score_columns(
    estimator_folder: Path,
    columns: Sequence[Column],
    test: Mapping[str, Sequence[Sample]],
    settings: ScoringSettings,
    compute: Compute,
    progress: Progress,
    folder: Path,
) -> StageReport:
    """Score every column that has no block yet, subset by subset, each input encoded once for all of them."""
    estimator = read_estimator(estimator_folder / ESTIMATOR)
    lm: CausalLM | None = None
    tokens = 0
    with progress.task("likelihoods", sum(map(len, test.values()))) as advance:
        for key, samples in test.items():
            missing = [column for column in columns if not (column.blocks / f"{key}.npz").is_file()]
            if not missing:
                advance(len(samples))
                continue
            lm = lm or load_causal_lm(estimator.base_location(), dtype=compute.dtype, device=compute.device)
            prompts = [estimator.prompt(sample) for sample in samples]
            candidates = {column.name: column.candidates(samples) for column in missing}
            made = pair_blocks(lm, prompts, candidates, batch_tokens=settings.batch_tokens, advance=advance)
            for column in missing:
                save_block(column.blocks / f"{key}.npz", made[column.name])
            tokens += int(next(iter(made.values())).prefix_tokens_N.sum())
            tokens += sum(int(block.tokens_N.sum()) * len(samples) for block in made.values())
    blocks = [load_block(column.blocks / f"{key}.npz") for column in columns for key in test]
    return StageReport(
        tokens=tokens,
        counts={
            "pairs": sum(block.n_scored_pairs for block in blocks),
            "unscored": sum(int((~block.scored_N).sum()) for block in blocks),
        },
    )
