"""The stages that score responses under the estimator: one block of pairs a subset, kept as soon as it is made."""

from collections.abc import Mapping, Sequence
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
from scoring.pair_matrix import CandidateResponse, PairBlock, load_block, pair_block, save_block

TestSamples = Mapping[str, Sequence[Sample]]


def score_golden(
    estimator_folder: Path,
    test: TestSamples,
    settings: ScoringSettings,
    compute: Compute,
    progress: Progress,
    folder: Path,
) -> StageReport:
    """Score the golden responses of each subset under all its inputs."""
    golden = {s.sample_id: CandidateResponse(s.golden_response, ended=True) for rows in test.values() for s in rows}
    return _score("golden responses", golden, estimator_folder, test, settings, compute, progress, folder)


def score_responses(
    estimator_folder: Path,
    responses_folder: Path,
    test: TestSamples,
    settings: ScoringSettings,
    compute: Compute,
    progress: Progress,
    folder: Path,
) -> StageReport:
    """Score one method's responses; one cut by the length limit is scored without an end-of-turn token."""
    rows = read_jsonl(responses_folder / RESPONSES)
    given = {
        row["sample_id"]: CandidateResponse(row["response"], ended=row["finish_reason"] in ("stop", None))
        for row in rows
    }
    title = f"responses of {rows[0]['method']}" if rows else "responses"
    return _score(title, given, estimator_folder, test, settings, compute, progress, folder)


def _score(
    title: str,
    responses: Mapping[str, CandidateResponse],
    estimator_folder: Path,
    test: TestSamples,
    settings: ScoringSettings,
    compute: Compute,
    progress: Progress,
    folder: Path,
) -> StageReport:
    estimator = read_estimator(estimator_folder / ESTIMATOR)
    lm: CausalLM | None = None
    blocks: list[PairBlock] = []
    with progress.task(f"likelihoods of {title}", sum(map(len, test.values()))) as advance:
        for key, samples in test.items():
            path = folder / f"{key}.npz"
            if not path.is_file():
                lm = lm or load_causal_lm(estimator.base_location(), dtype=compute.dtype, device=compute.device)
                prompts = [estimator.prompt(sample) for sample in samples]
                candidates = [responses[sample.sample_id] for sample in samples]
                block = pair_block(lm, prompts, candidates, batch_tokens=settings.batch_tokens, advance=advance)
                save_block(path, block)
            else:
                advance(len(samples))
            blocks.append(load_block(path))
    return StageReport(
        tokens=sum(int(block.tokens_N.sum()) * len(block.tokens_N) for block in blocks),
        counts={
            "pairs": sum(int((block.sums_N_N == block.sums_N_N).sum()) for block in blocks),
            "unscored": sum(int((~block.scored_N).sum()) for block in blocks),
        },
    )
