"""How long prompts and answers are, in tokens of one model, measured on the texts of a population."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import Sample
from recipes.cost.population import Population
from recipes.cost.tokens import TokenCounter
from recipes.cost.traces import Traces, recorded_traces

END_OF_TURN = 1
MARK = "\ue000"
"""Stands in for a text whose place in a prompt is asked for."""
SLOTS = {"reasoning": "", "candidate_response": "", "context_seed": ""}


def expected_longest(lengths: Sequence[float], rows: int) -> float:
    """Return the expected length of the longest of so many sequences, drawn from these lengths with replacement."""
    count, ordered = len(lengths), sorted(lengths)
    return sum(x * ((i / count) ** rows - ((i - 1) / count) ** rows) for i, x in enumerate(ordered, start=1))


@dataclass(frozen=True)
class Around:
    """A prompt with a text in it that differs between rows: tokens before it and behind it."""

    before: float
    behind: float


@dataclass(frozen=True)
class Lengths:
    """Lengths of prompts and answers under one tokenizer and one set of templates, each measured once."""

    counter: TokenCounter
    renderer: PromptRenderer
    _known: dict[tuple[str, tuple[Sample, ...]], list[int]] = field(default_factory=dict)

    def prompts(self, template: str, population: Population) -> list[int]:
        """Return the tokens of each shown sample's prompt; slots for generated texts are left empty."""
        key = template, population.shown
        if key not in self._known:
            prompts = [self.renderer.render(template, sample, **SLOTS) for sample in population.shown]
            self._known[key] = [self.counter.of_prompt(prompt) for prompt in prompts]
        return self._known[key]

    def prompt(self, template: str, population: Population) -> float:
        """Return the mean tokens of a prompt."""
        return fmean(self.prompts(template, population))

    def around(self, template: str, slot: str, population: Population) -> Around:
        """Return the mean tokens of a prompt before and behind one of its slots; the others are left empty."""
        pairs = [self._split(self.renderer.render(template, s, **{**SLOTS, slot: MARK})) for s in population.shown]
        return Around(fmean(before for before, _ in pairs), fmean(behind for _, behind in pairs))

    def golden(self, population: Population) -> float:
        """Return the mean tokens of a golden response alone."""
        return fmean(self._of_golden(population))

    def response(self, template: str, population: Population) -> float:
        """Return the mean tokens of a golden response as an answer to a template: with its stop string and end."""
        return self.golden(population) + self.stop(template)

    def stop(self, template: str) -> int:
        """Return the tokens behind an answer: the template's stop string and the end of the turn."""
        return self.counter.count(self.renderer.answer(template, "")) + END_OF_TURN

    def example(self, template: str, population: Population) -> float:
        """Return the mean tokens of a solved example in a chat: the query as the template has it, and its answer."""
        system = [len(self.renderer.render(template, s, **SLOTS).messages) > 1 for s in population.shown]
        heads = [self._system(s, template) if has else 0 for s, has in zip(population.shown, system, strict=True)]
        return self.prompt(template, population) - fmean(heads) + self.response(template, population)

    @cached_property
    def traces(self) -> Traces:
        """How long a teacher's reasoning is."""
        return recorded_traces(self.counter, self.renderer)

    def _of_golden(self, population: Population) -> list[int]:
        key = "", population.shown
        if key not in self._known:
            self._known[key] = [self.counter.count(sample.golden_response) for sample in population.shown]
        return self._known[key]

    def _split(self, prompt: Prompt) -> tuple[int, int]:
        whole = self.counter.of_prompt(prompt)
        behind = prompt.messages[-1].content.partition(MARK)[2]
        tail = self.counter.count(behind) + self.counter.count(prompt.answer_prefix)
        return whole - tail, tail

    def _system(self, sample: Sample, template: str) -> int:
        return self.counter.count(self.renderer.render(template, sample, **SLOTS).messages[0].content)
