"""A judge on this machine, with transformers. Its weights are in memory only while it is asked."""

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.endpoint import Outcome
from benchmark.endpoint_replies import Completion
from benchmark.prompts import Prompt
from scoring.judge.settings import LocalJudgeSettings
from scoring.models.resolver import ModelLocation


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
        self, prompts: Sequence[Prompt], *, finished: Collection[int], seed: int, stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Load the model and answer in batches that depend on all prompts; whole batches in `finished` are left out.

        Raises:
            RunFailure: the model cannot be read.
        """
        if len(set(finished)) == len(prompts):
            return
        from scoring.models.causal_lm import load_causal_lm
        from scoring.models.generation import Sampling, generate_batches

        lm = load_causal_lm(self.location, dtype=self.dtype, device=self.device)
        sampling = Sampling(self.max_tokens, 1.0, 0.0, seed, self.settings.batch_tokens)
        for batch in generate_batches(lm, prompts, sampling, finished=finished):
            for index, made in batch:
                if made.text is None:
                    room = lm.context_length - self.max_tokens
                    problem = f"a prompt of {made.prompt_tokens} tokens; the context has room for {room}"
                    yield Outcome(index, None, problem)
                else:
                    done = Completion(made.text, made.finish_reason, made.prompt_tokens, made.new_tokens)
                    yield Outcome(index, done, None)
            if stop():
                return
