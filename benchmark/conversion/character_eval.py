"""CharacterEval (Tu et al., 2024; `morecry/CharacterEval`): Chinese dialogues of novels and scripts, with profiles.

`test_data.jsonl` is, despite its name, one JSON list of objects with `id`, `role`, `novel_name` and `context`;
`character_profiles.json` beside it holds an object, or a text, for each role. The folder with both can be named instead
of the file.

- The agent is `role`.
- A line of `context` is one utterance: the speaker's name, a full-width colon, the words. A line without the colon goes
  on with the utterance before it.
- The data set holds no reference response: its contexts end before the response that is to be written. So the golden
  response is the role's last one within the context, and what comes behind it is left out.
- Of a profile, fields about personality and about the past go where the benchmark has them, all others into the basic
  information, a line each under their own names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.conversion.dialogue import Utterance
from benchmark.conversion.draft import ConversionSettings, Draft
from benchmark.conversion.json_source import JsonSource, read_json_source
from benchmark.conversion.tally import Tally
from benchmark.errors import Mistake, UserMistakes

HAS_OTHER_SPEAKERS = True
DIALOGUES, PROFILES = "test_data.jsonl", "character_profiles.json"
COLON = "："
_ROW = ("id", "role", "novel_name", "context")
_PERSONALITY = ("性格", "人物性格", "角色性格", "性格特点", "性格特征")
_BACKGROUND = ("经历", "人物经历", "角色经历", "主要经历", "生平", "人物生平", "背景", "人物背景", "角色背景")


def drafts(path: Path, settings: ConversionSettings, tally: Tally) -> Iterator[Draft]:
    """Yield a draft for each dialogue of the file or of the folder's file.

    Raises:
        UserMistakes: the dialogues or the profiles cannot be read or have another layout.
    """
    file = path / DIALOGUES if path.is_dir() else path
    source = read_json_source(file, (None,))
    if not isinstance(source.content, list):
        raise UserMistakes([Mistake(str(file), "is not a JSON list of dialogues", f"name CharacterEval's {DIALOGUES}")])
    profiles_file = settings.profiles or file.parent / PROFILES
    profiles = read_json_source(profiles_file).content
    if not isinstance(profiles, dict):
        raise UserMistakes([Mistake(str(profiles_file), "is not an object of role -> profile")])
    fields = {role: _profile_fields(profile) for role, profile in profiles.items()}
    for index, row in enumerate(source.content):
        found = _draft(source, index, row, fields, tally)
        if found is not None:
            yield found


def _draft(
    source: JsonSource, index: int, row: object, profiles: Mapping[str, Mapping[str, str]], tally: Tally
) -> Draft | None:
    """Return the draft of a dialogue, or None after recording why there is none."""
    where = source.where(index)
    content = row if isinstance(row, dict) else {}
    role, context, novel = content.get("role"), content.get("context"), content.get("novel_name")
    if not isinstance(role, str) or not isinstance(context, str):
        tally.refuse(where, "role or context is missing or no text")
        return None
    if not profiles.get(role):
        tally.refuse(where, f"the profiles have none of {role}")
        return None
    utterances = _utterances(context)
    if utterances is None:
        tally.refuse(where, f"the context does not begin with a name and '{COLON}'")
        return None
    tally.count_unread(content, _ROW)
    return Draft(
        where=where,
        name=f"charactereval-{content.get('id', index)}",
        agent=role,
        character={
            **profiles[role],
            "character_name": role,
            "character_source": novel if isinstance(novel, str) else "",
        },
        utterances=tuple(utterances),
        separator=COLON,
        profiles={name: "\n".join(fields.values()) for name, fields in profiles.items()},
    )


def _utterances(context: str) -> list[Utterance] | None:
    """Return the utterances with words, or None where the first line has no speaker."""
    found: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, context.split("\n"))):
        name, colon, words = line.partition(COLON)
        if colon and name.strip():
            found.append((name.strip(), words.strip()))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}".strip())
        else:
            return None
    return [Utterance(name, words) for name, words in found if words]


def _profile_fields(profile: object) -> dict[str, str]:
    """Return a profile in the benchmark's fields; nothing where it holds no text."""
    if isinstance(profile, str):
        return {"character_background": profile.strip()} if profile.strip() else {}
    lines: dict[str, list[str]] = {}
    for key, value in profile.items() if isinstance(profile, dict) else ():
        text = _text(value)
        if text and key in _PERSONALITY:
            lines.setdefault("character_personality", []).append(text)
        elif text and key in _BACKGROUND:
            lines.setdefault("character_background", []).append(text)
        elif text:
            lines.setdefault("basic_character_information", []).append(f"{key}{COLON}{text}")
    return {name: "\n".join(texts) for name, texts in lines.items()}


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a profile holds
    """Return a profile's value as text: lists and objects as what they hold, in order."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return "；".join(f"{key}{COLON}{text}" for key, held in value.items() if (text := _text(held)))
    if isinstance(value, list):
        return "、".join(text for held in value if (text := _text(held)))
    return "" if value is None else str(value)
