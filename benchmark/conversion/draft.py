"""What every data set is read into before it becomes rows of the benchmark, and the step from one to the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.conversion.dialogue import Dialogue, Utterance, split_dialogue
from benchmark.conversion.tally import NOT_GIVEN, Tally
from benchmark.conversion.target import Target
from benchmark.rows import CHARACTER_FIELDS, RowReader
from benchmark.user_lines import HALF_CHARACTER, has_half_character


@dataclass(frozen=True)
class ConversionSettings:
    """What the user says about a conversion."""

    target: Target
    persona: str | None = None
    """The user persona of every sample; None to make each from the other speakers."""
    profiles: Path | None = None
    """The file of character profiles, where it is not in its usual place."""
    domain: str | None = None
    """The domain of every character."""


@dataclass(frozen=True)
class Draft:
    """One conversation with its agent."""

    where: str
    """File and line."""
    name: str
    """Unique in the data set; what the sample's ID ends with."""
    agent: str
    """The speaker who is the agent."""
    character: Mapping[str, str]
    """Those fields of `agent_character` that the data set has."""
    utterances: tuple[Utterance, ...]
    opening: str = ""
    separator: str = ": "
    profiles: Mapping[str, str] = field(default_factory=dict)
    """Other speaker -> who that is."""


def make_row(
    draft: Draft, settings: ConversionSettings, used: Mapping[str, str], tally: Tally
) -> dict[str, Any] | None:
    """Return a conversation as a row of the benchmark's schema, or None after recording why it cannot be one.

    Args:
        draft: the conversation.
        settings: of the conversion.
        used: sample_ID -> where it stands, of those that are taken.
        tally: of the conversion.
    """
    dialogue = split_dialogue(draft.utterances, draft.agent, opening=draft.opening, separator=draft.separator)
    if dialogue is None:
        tally.refuse(draft.where, f"{draft.agent} answers nobody")
        return None
    persona = _persona(draft, dialogue, settings)
    if not persona:
        reason = "nobody else is heard before the golden response, so no persona can be made"
        tally.refuse(draft.where, f"{reason}; give the persona's text")
        return None
    row = _row(draft, dialogue, persona, settings)
    if row["sample_ID"] in used:
        tally.refuse(draft.where, f"its sample_ID {row['sample_ID']} is used in {used[row['sample_ID']]}")
        return None
    if has_half_character(json.dumps(row, ensure_ascii=False)):
        tally.refuse(draft.where, HALF_CHARACTER)
        return None
    reader = RowReader(row, settings.target.split, draft.where)
    if reader.sample() is None:
        for fault in reader.faults:
            tally.refuse(draft.where, fault.where.rpartition(": ")[2] + f" {fault.problem}")
        return None
    _count(draft, dialogue, settings, tally)
    return row


def _row(draft: Draft, dialogue: Dialogue, persona: str, settings: ConversionSettings) -> dict[str, Any]:
    *before, (last_query, golden) = dialogue.turns
    context = [part for query, answer in before for part in ({"user_query": query}, {"agent_response": answer})]
    row: dict[str, Any] = {
        "sample_ID": f"{settings.target.key}-{draft.name}",
        "user_persona": persona,
        "agent_character": {name: _character(draft, settings).get(name, NOT_GIVEN) for name in CHARACTER_FIELDS},
        "dialogue_context": [*context, {"user_query": last_query}],
        "agent_golden_response": golden,
    }
    return row if settings.target.tag is None else row | {"subset_tag": settings.target.tag}


def _character(draft: Draft, settings: ConversionSettings) -> dict[str, str]:
    """Return the fields of the agent that are known."""
    named = {} if settings.domain is None else {"character_domain": settings.domain}
    return {key: text for key, text in ({**draft.character, **named}).items() if text.strip()}


def _persona(draft: Draft, dialogue: Dialogue, settings: ConversionSettings) -> str:
    """Return the user's text, or a paragraph for each other speaker: the name, and the profile where there is one."""
    if settings.persona is not None:
        return settings.persona
    known = ((name, draft.profiles.get(name, "").strip()) for name in dialogue.persons)
    return "\n\n".join(f"{name}{draft.separator}{profile}" if profile else name for name, profile in known)


def _count(draft: Draft, dialogue: Dialogue, settings: ConversionSettings, tally: Tally) -> None:
    """Count what was filled, made and left out for a row that is kept."""
    known = _character(draft, settings)
    tally.filled.update(f"agent_character.{name}" for name in CHARACTER_FIELDS if name not in known)
    if dialogue.n_behind:
        tally.changes["utterances behind the golden response left out"] += dialogue.n_behind
    if settings.persona is None and not all(draft.profiles.get(name, "").strip() for name in dialogue.persons):
        tally.changes["personas with a speaker's name alone, since there is no profile"] += 1
