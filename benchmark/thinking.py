"""How a policy that thinks writes its answer: the thinking, then the response, each between tags.

The tags are those of the prompt template: its `answer_prefix` opens the thinking and its `stop` closes the response.
"""

import re
from dataclasses import dataclass

from benchmark.errors import Mistake, UserMistakes
from benchmark.prompts import PromptRenderer

_OPENING = re.compile(r"<([^<>/][^<>]*)>")
_CLOSING = re.compile(r"</([^<>]+)>")


@dataclass(frozen=True)
class ThoughtAnswer:
    """An answer taken apart."""

    reasoning: str
    response: str


@dataclass(frozen=True)
class ThinkingFormat:
    """The tags around thinking and response."""

    thinking_end: str
    """Closes the thinking, which the answer prefix of the prompt has opened."""
    response_start: str

    def write(self, reasoning: str, response: str) -> str:
        """Return the text that stands between the answer prefix and the stop string."""
        return f"{reasoning.strip()}\n{self.thinking_end}\n{self.response_start}\n{response}"

    def read(self, text: str) -> ThoughtAnswer | None:
        """Take a generated answer apart; None when it is malformed.

        Well-formed is: some thinking, closed once, nothing but white space up to the one opening of the response, and
        some response. That the response is closed is not asked for: generation stops at its end or at the limit.
        """
        reasoning, closed, rest = text.partition(self.thinking_end)
        between, opened, response = rest.partition(self.response_start)
        repeated = self.thinking_end in rest or self.response_start in reasoning + response
        if not closed or not opened or between.strip() or repeated:
            return None
        if not reasoning.strip() or not response.strip():
            return None
        return ThoughtAnswer(reasoning.strip(), response.strip())


def thinking_format(renderer: PromptRenderer, template: str) -> ThinkingFormat:
    """Return the tags that a template asks for.

    Raises:
        UserMistakes: the template's answer prefix is no opening tag, or its stop string no closing one.
    """
    chosen = renderer.templates[template]
    opening = _OPENING.fullmatch(chosen.answer_prefix.strip())
    closing = _CLOSING.fullmatch(chosen.stop)
    if opening is None or closing is None:
        problem = "its answer_prefix must be the opening tag of the thinking and its stop the closing tag of the answer"
        raise UserMistakes([Mistake(f"template {template}", problem, "such as <Thinking> and </Agent Response>")])
    return ThinkingFormat(f"</{opening[1]}>", f"<{closing[1]}>")
