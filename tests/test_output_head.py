"""The output head gives the model's own log-probabilities and never holds tokens x vocabulary in float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from likelihood_helpers import naive, random_model, with_model, worst_difference
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scoring.likelihood import Continuation, LikelihoodScorer
from scoring.models.causal_lm import CausalLM, load_causal_lm
from scoring.models.output_head import FLOAT_CHUNK, HEAD_CHUNK, OutputHead, token_log_probs
from scoring.models.resolver import locate_model

PREFIX = list(range(3, 40))
LONG = Continuation(tuple(range(40, 40 + 3 * HEAD_CHUNK + 5)))
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16, "attn_logit_softcapping": None}


class WidestFloat32(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class is untyped
    """Notes the most rows that any float32 tensor over the vocabulary had."""

    def __init__(self, vocabulary: int) -> None:
        """Watch tensors whose last dimension is the vocabulary."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run one operation and look at what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float32 and leaf.shape[-1:] == (self.vocabulary,):
                self.rows = max(self.rows, leaf.numel() // self.vocabulary)
        return result


@contextmanager
def positions_seen(layer: torch.nn.Module) -> Iterator[list[int]]:
    """Collect how many positions the output layer gets at each call."""
    seen: list[int] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[:-1].numel()))
    yield seen
    hook.remove()


def test_log_probs_of_tokens_by_hand() -> None:
    logits_T_V = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, float("-inf"), float("-inf"), 0.0]])
    found = token_log_probs(logits_T_V, torch.tensor([2, 3]))
    assert found.tolist() == pytest.approx([-1.3862944, -0.6931472], abs=1e-6)


@pytest.mark.parametrize("length", [1, FLOAT_CHUNK - 1, FLOAT_CHUNK, FLOAT_CHUNK + 1, HEAD_CHUNK, 2 * HEAD_CHUNK + 1])
def test_no_position_is_lost_where_chunks_meet(tiny_lm: CausalLM, length: int) -> None:
    row = Continuation(LONG.ids[:length])
    assert worst_difference(tiny_lm, PREFIX, [row, Continuation((7,)), row]) < 1e-4


def test_the_output_layer_sees_the_scored_positions_alone_and_few_at_a_time(tiny_lm: CausalLM) -> None:
    scorer = LikelihoodScorer(tiny_lm, batch_tokens=10**6)
    scored_late = Continuation(LONG.ids, len(LONG.ids) - 10)
    with positions_seen(tiny_lm.model.get_output_embeddings()) as seen:
        scorer.token_log_probs(PREFIX, [[LONG, Continuation((7, 8)), scored_late]])
    assert sum(seen) == len(LONG.ids) + 2 + 10
    assert max(seen) == HEAD_CHUNK


def test_float32_is_made_for_few_positions_at_a_time(tiny_model: Path) -> None:
    lm = load_causal_lm(locate_model(str(tiny_model)), dtype="bfloat16", device="cpu")
    scorer = LikelihoodScorer(lm, batch_tokens=10**6)
    with WidestFloat32(lm.model.config.vocab_size) as widest:
        scorer.token_log_probs(PREFIX, [[LONG, LONG]])
    assert widest.rows == FLOAT_CHUNK


@pytest.mark.parametrize(
    ("config", "settings", "in_chunks"),
    [
        ("LlamaConfig", {}, True),
        ("LlamaConfig", {"tie_word_embeddings": True}, True),
        ("Gemma2Config", {**GEMMA, "final_logit_softcapping": None}, True),
        ("Gemma2Config", {**GEMMA, "final_logit_softcapping": 30.0}, False),
        ("GraniteConfig", {"logits_scaling": 3.0}, False),
        ("CohereConfig", {"logit_scale": 0.5}, False),
    ],
)
def test_what_an_architecture_does_to_its_logits_is_noticed_and_kept(
    tiny_lm: CausalLM, config: str, settings: dict[str, object], in_chunks: bool
) -> None:
    model = random_model(config, len(tiny_lm.chat.tokenizer), **settings)
    assert OutputHead(model).in_chunks is in_chunks
    assert worst_difference(with_model(tiny_lm, model), PREFIX, [LONG, Continuation((7, 8, 9))]) < 1e-4


def test_the_soft_cap_of_the_logits_changes_likelihoods_here(tiny_lm: CausalLM) -> None:
    caps = (5.0, None)
    models = [random_model("Gemma2Config", 2000, **GEMMA, final_logit_softcapping=cap) for cap in caps]
    capped, free = (naive(model, PREFIX, LONG.ids) for model in models)
    assert abs(capped - free).max() > 0.1
