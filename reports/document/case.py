"""The case study as the template reads it."""

from typing import Any

from reports.case_study import CaseStudy
from reports.document.texts import language, one_line, prose
from reports.figures.words import subset_words
from reports.run_data import MethodKey, RunData

LONGEST, LONGEST_FIELD, LONGEST_REASONING = 1_500, 700, 400
"""Characters of a text, of a field of the character and of a method's reasoning."""
MOST_TURNS = 6
"""Of the dialogue before the last query; earlier ones are counted."""
FIELDS = {
    "character_name": "Name",
    "character_domain": "Domain",
    "character_source": "Source",
    "basic_character_information": "Basic information",
    "character_background": "Background",
    "character_personality": "Personality",
}
"""Of an agent character, in the order in which they are read."""


def case_item(run: RunData, case: CaseStudy) -> dict[str, Any]:
    """Return the sample with the golden and all methods' responses; long texts are cut, which is said."""
    sample = case.sample
    turns = sample["turns"]
    earlier = len(turns) - MOST_TURNS
    return {
        "kind": "case",
        "wide": False,
        "rule": f"{case.rule} Sample {one_line(sample['sample_id'], 80)}, {subset_words(sample['subset'])}.",
        "persona": {"label": "User persona", **_passage(sample["user_persona"])},
        "character": {"label": "Agent character", "fields": _fields(sample["agent_character"])},
        "earlier": f"{earlier} earlier turns of the dialogue are left out." if earlier > 0 else "",
        "turns": [*_turns(turns[-MOST_TURNS:]), _turn(sample["last_query"], agent=False)],
        "golden": {"label": "Golden response", **_passage(sample["golden_response"])},
        "responses": [_response(run, case, key) for key in case.responses],
    }


def _passage(text: str, most: int = LONGEST) -> dict[str, Any]:
    shown = prose(text, most)
    return {"text": shown, "lang": language(shown)}


def _fields(character: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, **_passage(character[key], LONGEST_FIELD)} for key, name in FIELDS.items() if character.get(key)
    ]


def _turns(turns: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [
        _turn(turn[key], agent=key == "agent_response") for turn in turns for key in ("user_query", "agent_response")
    ]


def _turn(text: str, *, agent: bool) -> dict[str, Any]:
    return {"agent": agent, "speaker": "Agent" if agent else "User", **_passage(text)}


def _response(run: RunData, case: CaseStudy, key: MethodKey) -> dict[str, Any]:
    row = case.responses[key]
    contribution = case.contributions.get(key)
    ending = row.get("finish_reason") or "stop"
    return {
        "label": one_line(run.label(key), 80),
        "contribution": "not scored" if contribution is None else f"{contribution:+.3f} nats a token",
        "reasoning": _passage(row["reasoning"], LONGEST_REASONING) if row.get("reasoning") else None,
        "response": _passage(row["response"] or "(empty)"),
        "ending": "" if ending == "stop" else f"Ended by: {one_line(ending, 80)}.",
    }
