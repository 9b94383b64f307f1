"""What the model is asked for at each step, and how an answer is read: as data, whole and validated, or refused."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark.user_lines import has_half_character


class FaultyAnswer(ValueError):
    """An answer that cannot be used; the message says why, without quoting it."""


def _whole_text(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    if has_half_character(text) or any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise ValueError("holds half of a character or a control character")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


Text = Annotated[str, AfterValidator(_whole_text)]
Line = Annotated[str, AfterValidator(_whole_text), AfterValidator(_one_line)]


class Answer(BaseModel):
    """Base of all answers: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Proposal(Answer):
    """A character that a user might like to meet."""

    category: Line
    character_name: Line
    character_description: Text
    explanation: Text


class Proposals(Answer):
    """Characters for one seed persona (Table 4, first prompt)."""

    characters: list[Proposal]


class Profile(Answer):
    """A character's description (Table 4, second prompt)."""

    character_source: Text
    basic_character_information: Text
    character_background: Text
    character_personality: Text


class Kind(Answer):
    """Whether a character is real (Table 4, third prompt)."""

    kind: Literal["real", "fictional"]


class Variants(Answer):
    """Users of five languages (Table 5, part 1)."""

    german: Text
    spanish: Text
    chinese: Text
    japanese: Text
    korean: Text

    def text(self, language: str) -> str:
        """Return the persona of a language, named by its subset key."""
        text: str = getattr(self, language)
        return text


class Expansion(Answer):
    """A user in six respects (Table 5, part 2)."""

    interests: Text
    values: Text
    knowledge: Text
    habits: Text
    communication: Text
    culture: Text

    def text(self) -> str:
        """Return the six parts, a paragraph each."""
        return "\n".join(getattr(self, name) for name in type(self).model_fields)


class Exchange(Answer):
    """A query with the response to it."""

    user_query: Text
    agent_response: Text


class Dialogue(Answer):
    """The rounds of a dialogue (Tables 6 and 7)."""

    rounds: list[Exchange]


class WordVariants(Answer):
    """Candidates of a changed last query, each with its answer (Table 7, word level, part 1)."""

    variants: list[Exchange]


class WordChoice(Answer):
    """The number of the chosen candidate and the final answer to it (Table 7, word level, part 2)."""

    choice: int = Field(strict=True)
    agent_response: Text


AnswerT = TypeVar("AnswerT", bound=Answer)


def read_answer(text: str, model: type[AnswerT]) -> AnswerT:
    """Return the one JSON object of a text as an answer of this kind.

    Text around the object, or a fence, does no harm; a second object with keys of the answer does.

    Raises:
        FaultyAnswer: there is not exactly one such object, or it does not have the schema.
    """
    keys = set(model.model_fields)
    found = [candidate for candidate in _outermost_objects(text) if keys & set(candidate)]
    if len(found) != 1:
        count = f"{len(found)} JSON objects" if found else "no complete JSON object"
        raise FaultyAnswer(f"it holds {count} with {', '.join(model.model_fields)}")
    try:
        return model.model_validate(found[0])
    except ValidationError as error:
        raise FaultyAnswer("; ".join(_problem(detail) for detail in error.errors(include_url=False))) from None


def response_format(name: str, model: type[Answer]) -> dict[str, Any]:
    """Return the field of a request that asks an endpoint for this schema."""
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": model.model_json_schema()}}


def _problem(detail: Any) -> str:  # noqa: ANN401 - pydantic's error
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":  # the key is the model's own text: shown as JSON, cut
        return f"{json.dumps(place)[:80]} was not asked for"
    return f"{place}: {detail['msg'].removeprefix('Value error, ')}"


def _outermost_objects(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects in a text that lie in no other. Objects that name a key twice are none.

    Behind an object that is nested without end nothing more is looked for: that would take time without end too.
    """
    found: list[dict[str, Any]] = []
    start = text.find("{")
    while start >= 0:
        try:
            value, end = _DECODER.raw_decode(text, start)
            found.append(value)
        except RecursionError:
            break
        except ValueError:
            end = start + 1
        start = text.find("{", end)
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_pairs)
