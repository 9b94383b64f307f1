"""One model that thinks and answers, seen as the two models of co-evolution: a thinker, and an answerer behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.prompts import Prompt, PromptRenderer
from benchmark.sample import Sample
from benchmark.thinking import ThinkingFormat, thinking_format
from scoring.sampling import Rollout

TEMPLATE = "response_thinking"


@dataclass(frozen=True)
class ThinkingPrompts:
    """The prompts of both halves of an answer, under the template of ThinkingSFT and ThinkingRL."""

    renderer: PromptRenderer
    form: ThinkingFormat

    def thinking(self, sample: Sample) -> Prompt:
        """Return the prompt that is answered by thinking alone: it stops where the thinking is closed."""
        return replace(self.renderer.render(TEMPLATE, sample), stop=self.form.thinking_end)

    def response(self, sample: Sample, thinking: str) -> Prompt:
        """Return the prompt that is answered by the response alone: the thinking stands before it, closed."""
        prompt = self.renderer.render(TEMPLATE, sample)
        return replace(prompt, answer_prefix=prompt.answer_prefix + self.form.write(thinking, ""))

    def closed_thinking(self, rollout: Rollout) -> str | None:
        """Return the thinking of a rollout; None where it is malformed: empty, never closed, or with a tag in it."""
        if rollout.finish_reason != "stop":
            return None
        return self.usable(rollout.text)

    def usable(self, thinking: str) -> str | None:
        """Return thinking without space around it; None where an answer with it would be malformed."""
        read = self.form.read(self.form.write(thinking, "some response"))
        return None if read is None else read.reasoning

    def answers(self, samples: Sequence[Sample], thoughts: Sequence[str]) -> list[str]:
        """Return the whole answers that are imitated: thinking, then golden response."""
        pairs = zip(samples, thoughts, strict=True)
        return [self.form.write(thinking, sample.golden_response) for sample, thinking in pairs]


def thinking_prompts(renderer: PromptRenderer) -> ThinkingPrompts:
    """Return the prompts of a renderer's templates; UserMistakes when the template has no tags."""
    return ThinkingPrompts(renderer, thinking_format(renderer, TEMPLATE))
