"""A judge at an OpenAI-compatible endpoint."""

import os
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

from benchmark.endpoint import Endpoint, Gate, Outcome
from benchmark.endpoint_replies import struck_out
from benchmark.prompts import Prompt
from scoring.judge.judges import LazyPrompts
from scoring.judge.settings import EndpointJudgeSettings


class EndpointJudge:
    """Asks over HTTP, many prompts at a time."""

    remote = True

    def __init__(self, settings: EndpointJudgeSettings, *, sleep: Callable[[float], object] | None = None) -> None:
        """Read URL and key from the environment; UserMistakes as `Endpoint` has them. `sleep` as there."""
        Endpoint(settings)  # finds faults of the environment before anything runs
        self._settings, self._sleep = settings, sleep
        self._key = os.environ.get(settings.api_key_variable, "").strip() or None
        self.name = settings.label
        self.max_tokens = settings.max_tokens

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on."""
        return self._settings.identity()

    def ask(
        self, prompts: Sequence[Prompt], *, finished: Collection[int], seed: int, gate: Gate
    ) -> Generator[Outcome, None, None]:
        """Ask in parallel; what is under way when the gate raises is still yielded.

        Raises:
            RunFailure: as `Endpoint.ask`.
        """
        wanted = [index for index in range(len(prompts)) if index not in finished]
        endpoint = Endpoint(self._settings, sleep=self._sleep, gate=lambda place, most: gate(wanted[place], most))
        left = LazyPrompts(len(wanted), lambda place: prompts[wanted[place]])
        with closing(endpoint.ask(left, seed=seed)) as outcomes:
            for outcome in outcomes:
                yield self._cleaned(replace(outcome, index=wanted[outcome.index]))

    def _cleaned(self, outcome: Outcome) -> Outcome:
        """Return the outcome without the key, in case the endpoint says it back: answers are kept in files."""
        if outcome.completion is None:
            return outcome
        text = struck_out(outcome.completion.text, self._key)
        return replace(outcome, completion=replace(outcome.completion, text=text))
