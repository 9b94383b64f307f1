"""One row of a file in RPGBench's schema -> a Sample, or the list of everything that is wrong with it."""

from dataclasses import fields
from typing import Any, TypeGuard

from benchmark.errors import Mistake, nearest
from benchmark.sample import AgentCharacter, Sample, Turn
from benchmark.subsets import subset_for_tag, tags_of
from benchmark.user_lines import HALF_CHARACTER, has_half_character

CHARACTER_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(AgentCharacter))
ROW_FIELDS: tuple[str, ...] = (
    "sample_ID",
    "user_persona",
    "agent_character",
    "dialogue_context",
    "agent_golden_response",
    "subset_tag",
    "source_sample_IDs",
)


class RowReader:
    """Reads one row and collects its faults; `sample()` is None when there was any."""

    def __init__(self, row: object, split: str, where: str) -> None:
        """`where` names file, split and index, as faults quote it."""
        self.split = split
        self.where = where
        self.faults: list[Mistake] = []
        self.row: dict[str, Any] = row if isinstance(row, dict) else {}
        if not isinstance(row, dict):
            self._fault("the row", f"is {_type_name(row)}, not an object")
        elif _is_text(row.get("sample_ID")):
            self.where = f"{where} ({row['sample_ID']})"

    def sample(self) -> Sample | None:
        """Return the row as a Sample, or None after recording its faults."""
        if self.faults:
            return None
        sample_id = self._text(self.row, "sample_ID")
        persona = self._text(self.row, "user_persona")
        character = self._character()
        utterances = self._utterances()
        golden = self._text(self.row, "agent_golden_response")
        subset = self._subset()
        sources = self._sources()
        if has_half_character("".join(unused_fields(self.row))):
            self._fault("a field's name", HALF_CHARACTER, "rename the field, or leave it out")
        if self.faults or character is None:
            return None
        return Sample(
            sample_id=sample_id,
            split=self.split,
            subset=subset,
            user_persona=persona,
            agent_character=character,
            turns=tuple(Turn(*pair) for pair in zip(utterances[:-1:2], utterances[1::2], strict=True)),
            last_query=utterances[-1],
            golden_response=golden,
            source_sample_ids=sources,
        )

    def _fault(self, field: str, problem: str, remedy: str = "") -> None:
        self.faults.append(Mistake(f"{self.where}: {field}", problem, remedy))

    def _text(self, holder: dict[str, Any], key: str, field: str | None = None) -> str:
        value = holder.get(key)
        name = field or key
        if key not in holder:
            self._fault(name, "is missing")
        elif not isinstance(value, str):
            self._fault(name, f"is {_type_name(value)}, not a string")
        elif not value.strip():
            self._fault(name, "is empty")
        elif has_half_character(value):
            self._fault(name, HALF_CHARACTER, "cut texts between characters")
        else:
            return value.strip()
        return ""

    def _character(self) -> AgentCharacter | None:
        if "agent_character" not in self.row:
            self._fault("agent_character", "is missing")
            return None
        raw = self.row["agent_character"]
        if not isinstance(raw, dict):
            self._fault("agent_character", f"is {_type_name(raw)}, not an object")
            return None
        values = {key: self._text(raw, key, f"agent_character.{key}") for key in CHARACTER_FIELDS}
        return AgentCharacter(**values)

    def _utterances(self) -> list[str]:
        """Return the texts of the context in order: query, response, …, query."""
        if "dialogue_context" not in self.row:
            self._fault("dialogue_context", "is missing")
            return []
        raw = self.row["dialogue_context"]
        if not isinstance(raw, list):
            self._fault("dialogue_context", f"is {_type_name(raw)}, not a list")
            return []
        if not raw:
            self._fault("dialogue_context", "is empty")
            return []
        texts = [self._utterance(index, item) for index, item in enumerate(raw)]
        if len(raw) % 2 == 0:
            self._fault("dialogue_context", "does not end with a user_query")
        return texts

    def _utterance(self, index: int, item: object) -> str:
        expected = "user_query" if index % 2 == 0 else "agent_response"
        name = f"dialogue_context[{index}]"
        if not isinstance(item, dict):
            self._fault(name, f"is {_type_name(item)}, not an object")
            return ""
        if expected not in item:
            found = ", ".join(map(str, item)) or "nothing"
            self._fault(name, f"holds {found} where {expected} is due (queries and responses alternate)")
            return ""
        return self._text(item, expected, f"{name}.{expected}")

    def _subset(self) -> str:
        tags = tags_of(self.split)
        tag = self.row.get("subset_tag")
        if not tags:
            if tag not in (None, "", self.split):
                self._fault("subset_tag", f"is {tag!r}, but split {self.split} has no subsets")
            return "id"
        if "subset_tag" not in self.row:
            self._fault("subset_tag", "is missing", f"one of {', '.join(tags)}")
            return ""
        if not isinstance(tag, str):
            self._fault("subset_tag", f"is {_type_name(tag)}, not a string")
            return ""
        found = subset_for_tag(self.split, tag)
        if found is None:
            self._fault("subset_tag", f"'{tag}' is unknown in split {self.split}", nearest(tag, tags))
            return ""
        return found.key

    def _sources(self) -> tuple[str, ...]:
        raw = self.row.get("source_sample_IDs", [])
        if not isinstance(raw, list) or not all(_is_text(item) for item in raw):
            self._fault("source_sample_IDs", "is not a list of sample IDs")
            return ()
        if has_half_character("".join(raw)):
            self._fault("source_sample_IDs", HALF_CHARACTER, "name the samples as they are named")
        return tuple(raw)


def unused_fields(row: object) -> list[str]:
    """Return the names of a row's fields that nothing here reads."""
    return [str(key) for key in row if key not in ROW_FIELDS] if isinstance(row, dict) else []


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _type_name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
