"""RoleBench (Wang et al., 2023, RoleLLM; `ZenMoore/RoleBench` on the hub): questions to a role, with its answers.

Files such as `rolebench-eng/instruction-generalization/role_specific/test.jsonl` are read, one at a time, since a
folder mixes training and test: lines of `role`, `question` and `generated`. Descriptions come from `profiles-eng/` or
`profiles-zh/` of the same download: `desc.json` (role -> text) and, for the works that roles come from, `scripts.json`.

- `generated` is a list of candidates; the first is the golden response and the others are left out.
- A response that only says in parentheses that there is none is not converted.
- There is one question and no other speaker: a persona cannot be made, the user has to give one.
- `rolegpt_baseline.jsonl` holds a model's answers and is refused.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.conversion.dialogue import Utterance
from benchmark.conversion.draft import ConversionSettings, Draft
from benchmark.conversion.json_source import read_json_source
from benchmark.conversion.tally import Tally
from benchmark.errors import Mistake, UserMistakes
from benchmark.user_lines import read_user_lines

HAS_OTHER_SPEAKERS = False
DESCRIPTIONS, SCRIPTS = "desc.json", "scripts.json"
BASELINE = "rolegpt_baseline"
_LANGUAGE_FOLDERS = {"rolebench-eng": "profiles-eng", "rolebench-zh": "profiles-zh"}
_ROW = ("role", "question", "generated")
_NO_RESPONSE = re.compile(r"\(no\b[^()]*\)", re.IGNORECASE)


def drafts(path: Path, settings: ConversionSettings, tally: Tally) -> Iterator[Draft]:
    """Yield a draft for each line of a file.

    Raises:
        UserMistakes: a folder or the baseline's file is named, or the lines or the descriptions cannot be read.
    """
    if path.is_dir() or path.stem == BASELINE:
        problem = "is a folder" if path.is_dir() else "holds a model's answers, not golden ones"
        raise UserMistakes([Mistake(str(path), problem, "name one train.jsonl or test.jsonl")])
    descriptions_file = settings.profiles or _descriptions_file(path)
    descriptions = _texts(descriptions_file)
    scripts_file = descriptions_file.with_name(SCRIPTS)
    scripts = _texts(scripts_file) if scripts_file.is_file() else {}
    for number, row in read_user_lines(path, tally.not_converted):
        where = f"{path}:{number}"
        tally.count_unread(row, _ROW)
        role, question, answer = row.get("role"), row.get("question"), _first(row.get("generated"), tally)
        reason = _fault(role, question, answer, descriptions)
        if reason:
            tally.refuse(where, reason)
            continue
        yield Draft(
            where=where,
            name=f"{_name(path)}-{number}",
            agent=str(role),
            character={
                "character_name": str(role),
                "character_source": scripts.get(str(role), ""),
                "character_background": descriptions[str(role)],
            },
            utterances=(Utterance(None, str(question).strip()), Utterance(str(role), str(answer).strip())),
        )


def _first(generated: object, tally: Tally) -> object:
    """Return the first candidate; the others are counted."""
    candidates = generated if isinstance(generated, list) else [generated]
    if len(candidates) > 1:
        tally.changes["further candidate responses left out"] += len(candidates) - 1
    return candidates[0] if candidates else None


def _fault(role: object, question: object, answer: object, descriptions: Mapping[str, str]) -> str:
    """Return why a line cannot be converted, or nothing."""
    for name, value in (("role", role), ("question", question), ("generated", answer)):
        if not isinstance(value, str) or not value.strip():
            return f"{name} is missing or holds no text"
    if role not in descriptions:
        return f"the descriptions have none of {role}"
    if _NO_RESPONSE.fullmatch(str(answer).strip()):
        return f"the response only says that there is none: {answer}"
    return ""


def _name(path: Path) -> str:
    """Return a file's name in sample IDs: its way from the folder of its language, as far as it lies in one."""
    parts = path.resolve().with_suffix("").parts
    starts = [number for number, part in enumerate(parts) if part in _LANGUAGE_FOLDERS]
    return "-".join(parts[starts[-1] :] if starts else ("rolebench", parts[-1]))


def _descriptions_file(path: Path) -> Path:
    """Return `desc.json` of the file's language in the same download.

    Raises:
        UserMistakes: the file does not lie in such a download, or the descriptions are not there.
    """
    for folder in path.resolve().parents:
        if folder.name in _LANGUAGE_FOLDERS:
            found = folder.parent / _LANGUAGE_FOLDERS[folder.name] / DESCRIPTIONS
            if found.is_file():
                return found
    problem = f"has no {DESCRIPTIONS} of its language beside rolebench-eng or rolebench-zh"
    raise UserMistakes([Mistake(str(path), problem, f"name RoleBench's {DESCRIPTIONS} as the profiles")])


def _texts(path: Path) -> dict[str, str]:
    """Return the members of an object that are texts; UserMistakes where the file holds no object."""
    content = read_json_source(path).content
    if not isinstance(content, dict):
        raise UserMistakes([Mistake(str(path), "is not an object of role -> text")])
    return {role: text.strip() for role, text in content.items() if isinstance(text, str) and text.strip()}
