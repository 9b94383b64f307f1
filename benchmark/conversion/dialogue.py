"""Conversations of any number of speakers as turns of a user and an agent.

The rule, for every data set: one character is the agent. What all others say between two of its responses is one user
query, a line for each utterance, with the speaker's name before it; consecutive utterances of the agent are one
response. The agent's last response is the golden one, and what comes behind it is left out. A scene's description
opens the first query. Without one, what the agent says before anybody else stands in the first query too, with its
name, since a dialogue begins with the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Utterance:
    """One speaker's words."""

    speaker: str | None
    """None for a user without a name, before whose words no name is put."""
    text: str
    is_person: bool = True
    """False for a narrator, of whom no persona is made."""


@dataclass(frozen=True)
class Dialogue:
    """A conversation up to the golden response."""

    turns: tuple[tuple[str, str], ...]
    """User query and agent response; the last response is the golden one."""
    persons: tuple[str, ...]
    """The other persons heard before it, in order."""
    n_behind: int
    """Utterances behind the golden response, which are left out."""


@dataclass
class _Block:
    is_response: bool
    lines: list[str]
    end: int
    """Number of utterances up to the end of the block."""


def split_dialogue(
    utterances: Sequence[Utterance], agent: str, *, opening: str = "", separator: str = ": "
) -> Dialogue | None:
    """Return a conversation as turns, or None where the agent answers nobody.

    Args:
        utterances: the conversation; empty texts are not allowed.
        agent: the speaker who is the agent.
        opening: the scene's description, or nothing.
        separator: what stands between a speaker's name and the words.
    """
    blocks = _blocks(utterances, agent, opening, separator)
    last = max((number for number, block in enumerate(blocks) if block.is_response), default=None)
    if last is None:
        return None
    texts = ["\n".join(block.lines) for block in blocks[: last + 1]]
    end = blocks[last].end
    heard = (u.speaker for u in utterances[:end] if u.is_person and u.speaker not in (None, agent))
    return Dialogue(
        turns=tuple(zip(texts[::2], texts[1::2], strict=True)),
        persons=tuple(dict.fromkeys(name for name in heard if name is not None)),
        n_behind=len(utterances) - end,
    )


def _blocks(utterances: Sequence[Utterance], agent: str, opening: str, separator: str) -> list[_Block]:
    """Return queries and responses in turn, a query first."""
    blocks = [_Block(False, [opening], 0)] if opening else []
    addressed = bool(opening)
    for end, utterance in enumerate(utterances, start=1):
        if not utterance.text.strip():
            raise ValueError(f"utterance {end} is empty; leave it out before the dialogue is split")
        addressed |= utterance.speaker != agent
        is_response = addressed and utterance.speaker == agent
        bare = is_response or utterance.speaker is None
        line = utterance.text if bare else f"{utterance.speaker}{separator}{utterance.text}"
        if not blocks or blocks[-1].is_response != is_response:
            blocks.append(_Block(is_response, [], end))
        blocks[-1].lines.append(line)
        blocks[-1].end = end
    return blocks
