"""The pair matrix against one padded forward a pair: ratios measured in one run, printed as JSON.

`python -m scoring.bench` takes about six minutes on two cores. The slow way also serves as the check: pairs scored
both ways must agree. Times are wall times of a shared machine, so only the ratios say something.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.loading import load_benchmark
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.memory import device_peak_bytes, release_memory, reset_peak_memory
from scoring.models.precision import choose_dtype, default_device, device_name, matrix_rate, synchronize
from scoring.models.resolver import locate_model

PREFIX_TOKENS = (450, 550)
RESPONSE_TOKENS = (40, 60)
PADDED_BATCH = 4
SEED = 0


@dataclass(frozen=True)
class Workload:
    """Inputs and responses as tokens."""

    prefixes: list[list[int]]
    responses: list[list[int]]

    def first(self, count: int) -> "Workload":
        """Return the first samples."""
        return Workload(self.prefixes[:count], self.responses[:count])


def make_workload(lm: CausalLM, count: int) -> Workload:
    """Return inputs of about 500 and responses of about 50 tokens, cut from the mini benchmark's texts."""
    texts = [turn.agent_response for sample in load_benchmark("mini") for turn in sample.turns]
    ids = [token for text in texts for token in lm.chat.encode_text(text)]
    rng = random.Random(SEED)

    def cut(lengths: tuple[int, int]) -> list[int]:
        length = rng.randint(*lengths)
        start = rng.randrange(len(ids) - length)
        return ids[start : start + length]

    return Workload([cut(PREFIX_TOKENS) for _ in range(count)], [cut(RESPONSE_TOKENS) for _ in range(count)])


class PairScorer(Protocol):
    """What ways of scoring have in common."""

    def token_log_probs(
        self, prefix: Sequence[int], groups: Sequence[Sequence[Continuation]]
    ) -> list[list[NDArray[np.float64]]]:
        """Return log p of every scored token of each continuation of each group, in nats."""


def score_all_pairs(scorer: PairScorer, work: Workload) -> NDArray[np.float64]:
    """Return mean log p a token of every pair, shape (N, N), each input encoded once."""
    group = [Continuation(tuple(ids)) for ids in work.responses]
    return np.array([[v.mean() for v in scorer.token_log_probs(prefix, [group])[0]] for prefix in work.prefixes])


def score_padded(lm: CausalLM, work: Workload, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Return mean log p a token of some pairs by one padded forward pass a batch of four: the reference."""
    means: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(pairs), PADDED_BATCH):
            batch = [(work.prefixes[i], work.responses[j]) for i, j in pairs[start : start + PADDED_BATCH]]
            width = max(len(prefix) + len(response) for prefix, response in batch)
            rows = [[*x, *y, *[lm.chat.pad_id] * (width - len(x) - len(y))] for x, y in batch]
            mask = [[1] * (len(x) + len(y)) + [0] * (width - len(x) - len(y)) for x, y in batch]
            ids_B_L = torch.tensor(rows, device=lm.device)
            logits_B_L_V = lm.model(ids_B_L, attention_mask=torch.tensor(mask, device=lm.device)).logits
            log_probs_B_L_V = logits_B_L_V.float().log_softmax(-1)
            for row, (x, y) in enumerate(batch):
                places = torch.arange(len(x) - 1, len(x) + len(y) - 1, device=lm.device)
                chosen = log_probs_B_L_V[row, places, torch.tensor(y, device=lm.device)]
                means.append(float(chosen.mean()))
    return np.array(means)


def model_operations(lm: CausalLM, work: Workload) -> float:
    """Return the operations of the model for all pairs, two a multiplication with its addition.

    Counted are the products with weights (the output layer for response tokens alone) and attention; the rest is
    small.
    """
    config = lm.model.config
    head_weights = config.vocab_size * config.hidden_size
    tied = config.tie_word_embeddings
    weights = sum(p.numel() for p in lm.model.parameters()) - head_weights * (1 if tied else 2)
    heads = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    prefixes, responses = [len(ids) for ids in work.prefixes], [len(ids) for ids in work.responses]
    new = sum(prefixes) + len(prefixes) * sum(responses)
    seen = sum(p * p / 2 for p in prefixes) + sum(t * (p + t / 2) for p in prefixes for t in responses)
    scored = len(prefixes) * sum(responses)
    return float(2 * weights * new + 2 * head_weights * scored + 4 * heads * config.num_hidden_layers * seen)


def bench(model: str, *, samples: int, sizes: Sequence[int], padded_pairs: int, batch_tokens: int) -> dict[str, Any]:
    """Return all measurements; seconds of wall time, bytes, operations a second, nats a token."""
    device = default_device()
    dtype = choose_dtype("auto", device)
    lm = load_causal_lm(locate_model(model), dtype=dtype, device=device)
    scorer = LikelihoodScorer(lm, batch_tokens=batch_tokens)
    work = make_workload(lm, max([samples, *sizes]))
    measured = compare_ways(scorer, work.first(samples), padded_pairs)
    growth = [growth_row(scorer, work.first(size)) for size in sizes]
    return {
        "model": model,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "samples": samples,
        **measured,
        "growth": growth,
        "growth_exponents": _exponents(growth),
    }


def compare_ways(scorer: LikelihoodScorer, work: Workload, padded_pairs: int) -> dict[str, Any]:
    """Score all pairs of a workload, and some of them by padded rows too; return rates, their ratio and differences."""
    lm, device, samples = scorer.lm, scorer.lm.device.type, len(work.prefixes)
    score_all_pairs(scorer, work.first(2))  # warms up
    rate = matrix_rate(lm.model.dtype, device)
    release_memory()
    reset_peak_memory()
    matrix, seconds = timed(lambda: score_all_pairs(scorer, work))
    peak = device_peak_bytes(device)
    pairs = _spread_pairs(samples, padded_pairs)
    score_padded(lm, work, pairs[:PADDED_BATCH])  # warms up
    reference, padded_seconds = timed(lambda: score_padded(lm, work, pairs))
    rate = max(rate, matrix_rate(lm.model.dtype, device))
    differences = np.abs(reference - np.array([matrix[i, j] for i, j in pairs]))
    packed_rate, padded_rate = samples**2 / seconds, len(pairs) / padded_seconds
    operations = model_operations(lm, work)
    return {
        "padded": {"pairs": len(pairs), "seconds": padded_seconds, "pairs_per_second": padded_rate},
        "packed": {"pairs": samples**2, "seconds": seconds, "pairs_per_second": packed_rate},
        "speedup": packed_rate / padded_rate,
        "matrix_rate": rate,
        "operations": operations,
        "share_of_matrix_rate": operations / seconds / rate,
        "peak_memory": peak,
        "largest_difference_a_token": float(differences.max()),
        "mean_difference_a_token": float(differences.mean()),
    }


def growth_row(scorer: LikelihoodScorer, work: Workload) -> dict[str, float]:
    """Return the seconds for N samples: of encoding the inputs, and of the responses behind them."""
    _, prefix_seconds = timed(lambda: [scorer.token_log_probs(prefix, []) for prefix in work.prefixes])
    _, seconds = timed(lambda: score_all_pairs(scorer, work))
    return {
        "samples": len(work.prefixes),
        "seconds": seconds,
        "prefix_seconds": prefix_seconds,
        "pair_seconds": seconds - prefix_seconds,
    }


def _exponents(growth: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """Return the slopes of log seconds over log N: about 1 for the inputs and 2 for the pairs."""
    if len(growth) < 2:
        return None
    sizes = np.log([row["samples"] for row in growth])
    parts = ("prefix_seconds", "pair_seconds")
    return {part: float(np.polyfit(sizes, np.log([row[part] for row in growth]), 1)[0]) for part in parts}


def _spread_pairs(samples: int, count: int) -> list[tuple[int, int]]:
    rng = random.Random(SEED)
    every = [(i, j) for i in range(samples) for j in range(samples)]
    return sorted(rng.sample(every, min(count, len(every))))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the seconds it took, what it left a GPU to do included."""
    device = "cuda" if torch.cuda.is_initialized() else "cpu"  # type: ignore[no-untyped-call]
    synchronize(device)
    start = time.perf_counter()
    result = work()
    synchronize(device)
    return result, time.perf_counter() - start


def main() -> None:
    """Run the measurements and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="packaged name, folder or hub id")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--sizes", type=int, nargs="*", default=[6, 12, 24, 48], help="numbers of samples")
    parser.add_argument("--padded-pairs", type=int, default=48, help="pairs that are scored the slow way too")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    given = parser.parse_args()
    found = bench(
        given.model,
        samples=given.samples,
        sizes=given.sizes,
        padded_pairs=given.padded_pairs,
        batch_tokens=given.batch_tokens,
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
