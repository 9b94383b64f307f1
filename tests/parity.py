"""How far two engines' greedy answers agree: up to the first divergence, unless a tie explains it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from scoring.models.causal_lm import CausalLM
from scoring.models.generation import Batch, Generation

TIE = 0.05
"""Nats: two tokens whose log-probabilities are no further apart are as good as each other to rounding."""


@dataclass
class Agreement:
    """What a comparison of greedy answers found."""

    agreeing: int = 0
    """Tokens before a first divergence, or of answers that are the same."""
    compared: int = 0
    """These, and all from a divergence on that no tie explains. Tokens from a tie on are not compared."""
    identical: int = 0
    """Answers."""
    gaps: list[float] = field(default_factory=list)
    """At each first divergence, how far apart the two tokens are for the reference, in nats."""

    @property
    def share(self) -> float:
        """Agreeing tokens among those compared."""
        return self.agreeing / self.compared

    def add(self, reference: Sequence[int], other: Sequence[int], score: Callable[[], torch.Tensor]) -> None:
        """Compare an answer with the reference's.

        Args:
            reference: its tokens.
            other: the other engine's.
            score: gives the reference's log-probabilities at each of the other's tokens, as its decoding sees them,
                shape (tokens, vocabulary); asked where the two part.
        """
        pairs = enumerate(zip(reference, other, strict=False))
        place = next((at for at, (one, two) in pairs if one != two), None)
        if place is None and len(reference) == len(other):
            self.identical += 1
            self.agreeing += len(reference)
            self.compared += len(reference)
            return
        assert place is not None, "equal tokens, and yet one answer goes on"
        scores_T_V = score()
        gap = abs(float(scores_T_V[place, reference[place]] - scores_T_V[place, other[place]]))
        self.gaps.append(gap)
        self.agreeing += place
        self.compared += place if gap <= TIE else len(reference)


def logits_behind(lm: CausalLM, prompt: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    """Return the logits at the place of each token, shape (tokens, vocabulary)."""
    with torch.inference_mode():
        inputs = torch.tensor([[*prompt, *tokens]])
        return lm.model(inputs, logits_to_keep=len(tokens) + 1).logits[0, :-1].float()  # type: ignore[no-any-return]


def damped(logits_T_V: torch.Tensor, prompt: Sequence[int], tokens: Sequence[int], penalty: float) -> torch.Tensor:
    """Return log-probabilities as decoding sees them: after the penalty on all tokens that came before each place."""
    seen_T_V = torch.zeros_like(logits_T_V, dtype=torch.bool)
    for place in range(len(tokens)):
        seen_T_V[place, torch.tensor([*prompt, *tokens[:place]])] = True
    lower_T_V = torch.where(logits_T_V > 0, logits_T_V / penalty, logits_T_V * penalty)
    return torch.where(seen_T_V, lower_T_V, logits_T_V).log_softmax(dim=1)


def by_index(batches: Sequence[Batch]) -> dict[int, Generation]:
    """Return the answers of all batches."""
    return {index: answer for batch in batches for index, answer in batch}
