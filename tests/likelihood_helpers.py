"""What the tests of likelihoods share: a naive forward pass, tiny random models, and blocks made row by row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.prompts import Prompt
from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.pair_matrix import CandidateResponse, PairBlock, score_row, stack_rows
from scoring.pair_tokens import ColumnTokens, ExactTokens

TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.3,
    "bos_token_id": None,
}


def naive(model: Any, prefix: Sequence[int], ids: Sequence[int]) -> NDArray[np.float64]:  # noqa: ANN401
    """Return log p of each of `ids` by one plain forward pass of prefix and response, nothing shared or padded."""
    with torch.inference_mode():
        logits_T_V = model(torch.tensor([[*prefix, *ids]])).logits[0, len(prefix) - 1 : -1]
    log_probs_T_V = logits_T_V.double().log_softmax(-1)
    return np.array([float(log_probs_T_V[k, token]) for k, token in enumerate(ids)])


def worst_difference(lm: CausalLM, prefix: Sequence[int], responses: Sequence[Continuation], **changes: Any) -> float:  # noqa: ANN401
    """Return the largest difference of a token's log p from the naive forward pass, in nats.

    `changes` may hold `batch_tokens` and `reference`, the model of the naive pass.
    """
    scorer = LikelihoodScorer(lm, batch_tokens=changes.get("batch_tokens", 10**6))
    (found,) = scorer.token_log_probs(prefix, [responses])
    reference = changes.get("reference", lm.model)
    pairs = zip(found, responses, strict=True)
    return max(float(np.abs(values - naive(reference, prefix, row.ids)).max()) for values, row in pairs)


def random_model(config_class: str, vocabulary: int, **settings: object) -> Any:  # noqa: ANN401
    """Return a random model of an architecture, two layers of width 32, in evaluation mode."""
    import transformers

    attention = {key: settings.pop(key) for key in ("attn_implementation",) if key in settings}
    config = getattr(transformers, config_class)(**{**TINY, "vocab_size": vocabulary, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config, **attention).eval()


def with_model(lm: CausalLM, model: Any) -> CausalLM:  # noqa: ANN401
    """Return the same tokenizer and limits around another model."""
    return CausalLM(model, lm.chat, lm.context_length, lm.device)


def make_blocks(
    lm: CausalLM, prompts: Sequence[Prompt], kind: type = ExactTokens, **columns: Sequence[CandidateResponse]
) -> dict[str, PairBlock]:
    """Score all pairs of the prompts with each column."""
    wanted_N_N = np.ones((len(prompts), len(prompts)), dtype=bool)
    encoded: Mapping[str, ColumnTokens] = {n: kind(lm, prompts, given, wanted_N_N) for n, given in columns.items()}
    scorer = LikelihoodScorer(lm, batch_tokens=512)
    rows = [
        score_row(scorer, {name: tokens.row(i) for name, tokens in encoded.items()}, i, len(prompts))
        for i in range(len(prompts))
    ]
    return {name: stack_rows([row[name] for row in rows]) for name in columns}


def same_block(one: PairBlock, other: PairBlock) -> bool:
    """Tell whether two blocks hold the same bits."""
    arrays = [(b.sums_N_N, b.tokens_N_N, np.concatenate(b.own_tokens)) for b in (one, other)]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(*arrays, strict=True))
