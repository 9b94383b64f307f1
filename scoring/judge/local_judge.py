"""A judge on this machine, with transformers. Its weights are in memory only while it is asked."""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.endpoint import Gate, Outcome
from benchmark.endpoint_replies import Completion
from benchmark.prompts import Prompt
from benchmark.spending import Spent
from scoring.judge.settings import LocalJudgeSettings
from scoring.models.resolver import ModelLocation

BATCH = -1
"""The place that batches have at the gate, one after another."""


@dataclass(frozen=True)
class LocalJudge:
    """Decodes greedily, batch by batch."""

    settings: LocalJudgeSettings
    location: ModelLocation
    dtype: str
    """ "bfloat16" or "float32"."""
    device: str

    remote = False

    @property
    def name(self) -> str:
        """What it is called in all files."""
        return self.settings.label

    @property
    def max_tokens(self) -> int:
        """Most tokens of an answer."""
        return self.settings.max_tokens

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on."""
        return {"kind": "local", "judge": self.name, "model": self.location.fingerprint, "dtype": self.dtype}

    def ask(
        self, prompts: Sequence[Prompt], *, finished: Collection[int], seed: int, gate: Gate
    ) -> Generator[Outcome, None, None]:
        """Load the model and answer in batches that depend on all prompts; whole batches in `finished` are left out.

        The gate is passed once a batch, with what a full one costs.

        Raises:
            RunFailure: the model cannot be read.
        """
        left = set(range(len(prompts))) - set(finished)
        if not left:
            return
        from scoring.models.causal_lm import load_causal_lm
        from scoring.models.generation import Sampling, generate_batches
        from scoring.models.out_of_memory import out_of_memory_names

        lm = load_causal_lm(self.location, dtype=self.dtype, device=self.device)
        sampling = Sampling(self.max_tokens, 1.0, 0.0, seed, self.settings.batch_tokens)
        batches = generate_batches(lm, prompts, sampling, finished=finished)
        while left:
            gate(BATCH, self._most(max(self.settings.batch_tokens, lm.context_length)))
            with out_of_memory_names("batch_tokens of the judge", doing="judging"):
                batch = next(batches)
            for index, made in batch:
                left.discard(index)
                if made.text is None:
                    room = lm.context_length - self.max_tokens
                    problem = f"a prompt of {made.prompt_tokens} tokens; the context has room for {room}"
                    yield Outcome(index, None, problem)
                else:
                    done = Completion(made.text, made.finish_reason, made.prompt_tokens, made.new_tokens)
                    yield Outcome(index, done, None)

    def _most(self, tokens: int) -> Spent:
        """Return the dearest that so many tokens can be."""
        prices = self.settings.prices
        if prices is not None and prices.prompt > prices.completion:
            return Spent(prompt_tokens=tokens)
        return Spent(completion_tokens=tokens)
