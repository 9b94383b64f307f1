"""What a reasoning generator writes, and the part of it that the policy model is shown.

A template either asks for the whole reasoning, whose features stand behind a marker (`reasoning`), or gives the
marker itself as the opening of the answer, so that what is written is the features (`reasoning_features`).
"""

import re
from dataclasses import dataclass

from benchmark.prompts import PromptRenderer
from scoring.text_rewards import ReasoningFormat, features_part, reasoning_format

TEMPLATES = ("reasoning", "reasoning_features")
"""The templates under which a reasoning generator can be asked."""

_FENCE_LINE = re.compile(r"^[ \t]*```", re.MULTILINE)


@dataclass(frozen=True)
class ShownReasoning:
    """The r of log p(y | x, r)."""

    text: str
    marked: bool
    """False where there was no marker, so that the whole text is shown, as the released code does."""


@dataclass(frozen=True)
class ReasoningReader:
    """Takes apart what a generator writes under one template."""

    template: str
    form: ReasoningFormat
    opening: str
    """What the prompt gives of the answer."""
    stop: str

    @property
    def marker_is_given(self) -> bool:
        """Whether the prompt opens the features, so that the answer holds nothing else."""
        return self.form.marker in self.opening

    def whole(self, text: str, *, ended: bool) -> str:
        """Return an answer with the opening that was given and, if it ended, its stop string: for rewards of form."""
        return f"{self.opening}{text}\n{self.stop if ended else ''}"

    def shown(self, text: str) -> ShownReasoning:
        """Return what the policy model sees of an answer: the features, or all of it where they are not marked.

        Features that the length limit cut count as marked.
        """
        if self.marker_is_given:
            return ShownReasoning(text.strip(), marked=True)
        _, marker, features = text.rpartition(self.form.marker)
        if not marker:
            return ShownReasoning(text.strip(), marked=False)
        return ShownReasoning(_FENCE_LINE.split(features)[0].strip(), marked=True)

    def target(self, trace: str) -> str | None:
        """Return what the generator learns to write, from a whole trace; None where it lacks the features."""
        features = features_part(trace, self.form) or None
        return features if features is None or self.marker_is_given else trace.strip()


def reasoning_reader(renderer: PromptRenderer, template: str) -> ReasoningReader:
    """Return the reader for a template of the generator.

    Raises:
        UserMistakes: the template asks for no marked features.
    """
    chosen = renderer.templates[template]
    return ReasoningReader(template, reasoning_format(renderer, template), chosen.answer_prefix, chosen.stop)
