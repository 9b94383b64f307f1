"""How long a teacher's reasoning is, by the traces that were recorded for the mini benchmark."""

import json
from dataclasses import dataclass
from statistics import fmean

from benchmark.loading import BUNDLED
from benchmark.prompts import PromptRenderer
from benchmark.thinking import thinking_format
from recipes.cost.tokens import TokenCounter
from scoring.reasoning_text import reasoning_reader

FEATURES = "reasoning_features"
"""The template under which the features of the ideal response alone are written."""
THINKING = "response_thinking"


@dataclass(frozen=True)
class Traces:
    """Mean tokens of a reasoning for one sample."""

    whole: float
    features: float
    """Of the part that describes the ideal response, which policies think and policy models are shown."""
    tags: float
    """That a policy writes between its thinking and its response."""

    def written(self, template: str) -> float:
        """Return the tokens that a generator writes under a template."""
        return self.features if template == FEATURES else self.whole


def recorded_traces(counter: TokenCounter, renderer: PromptRenderer) -> Traces:
    """Return the lengths of the recorded traces under a tokenizer; `renderer` decides about tags."""
    lines = (BUNDLED["mini"] / "reasoning.jsonl").read_text(encoding="utf-8").splitlines()
    traces = [json.loads(line)["reasoning"] for line in lines]
    reader = reasoning_reader(PromptRenderer(), FEATURES)  # the traces are in the bundled form
    features = [reader.target(trace) or "" for trace in traces]
    return Traces(
        whole=fmean(map(counter.count, traces)),
        features=fmean(map(counter.count, features)),
        tags=counter.count(thinking_format(renderer, THINKING).write("", "")),
    )
