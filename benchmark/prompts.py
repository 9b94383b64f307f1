"""The one renderer that makes every prompt, of every method and of the estimator."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.sample import AgentCharacter, Sample, Turn
from benchmark.templating import Template, TemplateReader


@dataclass(frozen=True)
class Message:
    """One chat message; role is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """What a model is given: chat messages, and the opening of its answer."""

    messages: tuple[Message, ...]
    answer_prefix: str = ""
    stop: str = ""


class PromptRenderer:
    """Renders samples into prompts by the project's templates or a user's own."""

    def __init__(self, folder: str | Path | None = None) -> None:
        """Read the templates; a `folder` of YAML files replaces the bundled ones of the same names.

        Raises:
            UserMistakes: unknown files, fields or slots, missing slots, unreadable files.
        """
        self.templates = TemplateReader(Path(folder) if folder is not None else None).read_all()

    def render(self, name: str, sample: Sample, **extra: str) -> Prompt:
        """Render the template `name` for a sample; `extra` fills slots that the sample does not (reasoning, …)."""
        template = self.templates[name]
        system, user = template.fill(sample_slots(sample) | extra)
        messages = (Message("system", system.strip()),) if system.strip() else ()
        return Prompt((*messages, Message("user", user.rstrip("\n"))), template.answer_prefix, template.stop)

    def render_with_examples(self, name: str, sample: Sample, examples: Sequence[Sample]) -> Prompt:
        """Render a prompt whose chat begins with solved examples, each as `name` renders it, with its answer."""
        prompt = self.render(name, sample)
        shots: list[Message] = []
        for example in examples:
            query = self.render(name, example).messages[-1]
            answer = self.answer(name, example.golden_response)
            shots += [query, Message("assistant", prompt.answer_prefix + answer)]
        head, last = prompt.messages[:-1], prompt.messages[-1]
        return Prompt((*head, *shots, last), prompt.answer_prefix, prompt.stop)

    def answer(self, name: str, response: str) -> str:
        """Return the text that follows the answer prefix when `response` is the answer."""
        stop = self.templates[name].stop
        return f"{response}\n{stop}" if stop else response

    def content_hash(self, *names: str) -> str:
        """SHA-256 over the named templates (all of them if none is named)."""
        chosen: list[Template] = [self.templates[name] for name in sorted(names or self.templates)]
        return hashlib.sha256("".join(t.content_hash for t in chosen).encode()).hexdigest()


def sample_slots(sample: Sample) -> dict[str, str]:
    """Return the slots that a sample fills: persona, character, dialogue context and golden response."""
    return {
        "user_persona": sample.user_persona,
        "agent_character": render_character(sample.agent_character),
        "dialogue_context": render_dialogue(sample.turns, sample.last_query),
        "golden_response": sample.golden_response,
    }


def render_character(character: AgentCharacter) -> str:
    """Return the six fields of a character, a labelled line each."""
    return "\n".join(
        (
            f"Name: {character.character_name}",
            f"Domain: {character.character_domain}",
            f"Source: {character.character_source}",
            f"Basic information: {character.basic_character_information}",
            f"Background: {character.character_background}",
            f"Personality: {character.character_personality}",
        )
    )


def render_dialogue(turns: Sequence[Turn], last_query: str) -> str:
    """Return numbered "User Query k" / "Agent Response k" lines and an open last agent line."""
    lines: list[str] = []
    for number, turn in enumerate(turns, start=1):
        lines += [
            f"User Query {number}: {turn.user_query}",
            f"Agent Response {number}: {turn.agent_response}",
        ]
    last = len(turns) + 1
    return "\n".join((*lines, f"User Query {last}: {last_query}", f"Agent Response {last}:"))
