"""Models that rewards are likelihoods under: the base in training with a frozen adapter or none, or one of its own.

One copy of the weights serves the model in training and those that reward it, wherever all are adapters on one base.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch

from rpm_methods.merged_adapter import in_float32, merged, without_adapters
from scoring.likelihood import REWARD_SETTING, LikelihoodScorer
from scoring.models.causal_lm import CausalLM
from scoring.models.chat import ChatTokenizer


class RewardModel(Protocol):
    """Something that scores while it is lent."""

    scorer: LikelihoodScorer

    def lent(self, model: Any) -> Any:  # noqa: ANN401 - a context manager
        """Given the model in training, return the context in which `scorer` may be used."""


class SharedBase:
    """A scorer on the base that is in training: with one of the adapters beside it, or with none."""

    scorer: LikelihoodScorer

    def __init__(
        self, chat: ChatTokenizer, context_length: int, *, adapter: str | None, batch_tokens: int, float32: bool
    ) -> None:
        """Prepare.

        Args:
            chat: tokenizer of the base.
            context_length: of the base, in tokens.
            adapter: name of a frozen adapter; None for the base itself.
            batch_tokens: memory setting of the scorer.
            float32: whether to compute in float32 whatever the format of the weights is.
        """
        self.chat, self.context_length, self.adapter = chat, context_length, adapter
        self.batch_tokens, self.float32 = batch_tokens, float32

    @contextmanager
    def lent(self, model: Any) -> Iterator[None]:  # noqa: ANN401 - a PEFT model
        """Let the scorer be used."""
        with ExitStack() as stack:
            if self.float32:
                stack.enter_context(in_float32(model))
            changed = without_adapters(model) if self.adapter is None else merged(model, self.adapter)
            bare = stack.enter_context(changed)
            lm = CausalLM(bare, self.chat, self.context_length, torch.device(bare.device))
            self.scorer = LikelihoodScorer(lm, batch_tokens=self.batch_tokens, setting=REWARD_SETTING)
            yield


class OwnWeights:
    """A scorer with weights of its own, where no adapter on the base in training gives the model that is asked for."""

    def __init__(self, lm: CausalLM, *, batch_tokens: int) -> None:
        """Take a model."""
        self.scorer = LikelihoodScorer(lm, batch_tokens=batch_tokens, setting=REWARD_SETTING)

    @contextmanager
    def lent(self, model: Any) -> Iterator[None]:  # noqa: ANN401 - a PEFT model
        """Let the scorer be used."""
        yield
