"""The stage that writes log p of every token of every response behind its own input, for those who ask for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.run_store import read_json, write_jsonl
from benchmark.sample import Sample
from recipes.columns import GOLDEN, Column, all_candidates
from recipes.stage import StageReport
from recipes.stage_estimator import ESTIMATOR
from recipes.stage_likelihoods import BLOCKS
from scoring.block_files import BlockFiles
from scoring.estimator import read_estimator
from scoring.models.causal_lm import load_chat

TOKENS = "tokens.jsonl"


def write_tokens(
    estimator_folder: Path,
    likelihoods_folder: Path,
    run_folder: Path,
    columns: Sequence[Column],
    test: Mapping[str, Sequence[Sample]],
    folder: Path,
) -> StageReport:
    """Write a line a column and sample: its scored tokens as the estimator's tokenizer has them, with log p in nats.

    The golden responses stand there as method null. Samples that were not scored have no line.
    """
    chat = load_chat(read_estimator(estimator_folder / ESTIMATOR).base_location())
    folders = read_json(likelihoods_folder / BLOCKS)
    rows: list[dict[str, Any]] = []
    responses = all_candidates(columns, [sample for samples in test.values() for sample in samples])
    for name, given in responses.items():
        for key, samples in test.items():
            block = BlockFiles(run_folder / folders[name][key]).load()
            for sample, log_probs in zip(samples, block.own_tokens, strict=True):
                if not len(log_probs):
                    continue
                response = given[sample.sample_id]
                ids = chat.encode_answer(response.text or "", ended=response.ended)
                rows.append(
                    {
                        "sample_id": sample.sample_id,
                        "method": None if name == GOLDEN else name,
                        "tokens": chat.spelled(ids),
                        "log_probs": log_probs.tolist(),
                    }
                )
    write_jsonl(folder / TOKENS, rows)
    return StageReport(counts={"rows": len(rows)})
