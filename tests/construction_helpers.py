"""A scripted model that answers every step of a build, as a function of the prompt alone, with faults where wanted.

Its texts are sentences of the mini benchmark, drawn by a hash of the prompt: real language, hardly ever the same twice,
and the same whenever, and in whatever order, a prompt is asked.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from endpoint_helpers import Asked, FakeServer, Reply, answer
from mini_helpers import language_of, mini, utterances

from benchmark.construction import Builder, BuildSettings
from benchmark.construction.languages import CODES
from benchmark.construction.settings import SHIFT_DOMAINS

STEPS = {
    '{"characters"': "characters",
    '{"character_source"': "profiles",
    '{"kind"': "kinds",
    '{"german"': "variants",
    '{"interests"': "expansions",
    "exactly four rounds": "dialogues",
    "exactly eight rounds": "turn_level",
    '{"variants"': "word_candidates",
    '{"choice"': "word_choice",
}
"""What only the prompt of a step holds -> the step."""
SIXTY = {
    "train": 20,
    "id": 10,
    **dict.fromkeys(("german", "spanish", "chinese", "japanese", "korean"), 2),
    **dict.fromkeys(("literature", "film", "theater", "gaming"), 3),
    "turn_level": 4,
    "word_level": 4,
}
"""Sixty samples over all splits."""
CAN_IDENTIFY = find_spec("py3langid") is not None
"""Whether languages can be checked here."""
Script = Callable[[Asked], Reply]


def settings(url: str, counts: Mapping[str, int] = SIXTY, **changes: Any) -> BuildSettings:  # noqa: ANN401
    """Return settings of a build at a scripted server; `endpoint` adds to those of the endpoint."""
    endpoint = {"model": "scribe", "base_url": url, "parallel": 4, **changes.pop("endpoint", {})}
    checks = {"languages": CAN_IDENTIFY, **changes.pop("checks", {})}
    return BuildSettings.model_validate({"endpoint": endpoint, "counts": dict(counts), "checks": checks, **changes})


def builder(url: str, folder: Path, counts: Mapping[str, int] = SIXTY, **changes: Any) -> Builder:  # noqa: ANN401
    """Return a builder that does not wait between attempts."""
    return Builder(settings(url, counts, **changes), folder, sleep=lambda _: None)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# ---- reading a prompt ----


def question(asked: Asked) -> str:
    """Return what was asked for first: before a repair that is not the last message."""
    return str(asked.body["messages"][0]["content"])


def is_repair(asked: Asked) -> bool:
    return len(asked.body["messages"]) > 1


def step_of(asked: Asked) -> str:
    return next(step for mark, step in STEPS.items() if mark in question(asked))


def block(text: str, title: str) -> str:
    """Return what stands between the quotes under a heading."""
    found = re.search(rf'## {re.escape(title)}\n"""\n(.*?)\n"""', text, re.DOTALL)
    assert found, title
    return found[1]


def digest(text: str, *more: object) -> int:
    return int.from_bytes(hashlib.sha256("\x1f".join((text, *map(str, more))).encode()).digest()[:6], "big")


# ---- writing answers ----


@cache
def sentences(language: str) -> tuple[str, ...]:
    """Return the sentences of a language in the mini benchmark that are not too short."""
    texts = [text for sample in mini() if language_of(sample) == language for text in utterances(sample)]
    found = [part.strip() for text in texts for part in re.findall(r"[^.!?。！？]+[.!?。！？]+", text)]
    shortest = 12 if language in ("Chinese", "Japanese", "Korean") else 40
    return tuple(sorted({part for part in found if len(part) >= shortest and '"' not in part}))


def write(language: str, text: str, *place: object, count: int = 3) -> str:
    """Return sentences that depend on a prompt and a place in its answer."""
    return " ".join(random.Random(digest(text, *place)).sample(sentences(language), count))


def language_in(text: str) -> str:
    return next(language for language in CODES if re.search(rf"(in|Write in) {language}\b", text))


def characters(text: str) -> dict[str, Any]:
    names = re.findall(r"^- ([^:]+): ", text, re.MULTILINE)
    return {"characters": [_proposal(name, digest(text, name)) for name in names]}


def _proposal(category: str, number: int) -> dict[str, str]:
    first, last = ("Ada", "Bela", "Cora", "Dario", "Edda", "Falk", "Gita"), ("Merrow", "Nagy", "Osei", "Pohl", "Quist")
    name = f"{first[number % 7]} {last[number // 7 % 5]} {'IVXLC'[number // 35 % 5]} of {category}"
    return {
        "category": category,
        "character_name": name,
        "character_description": f"{name} is known everywhere.",
        "explanation": "They would get on.",
    }


def profiles(text: str) -> dict[str, Any]:
    keys = (
        "character_source",
        "basic_character_information",
        "character_background",
        "character_personality",
    )
    return {key: f"{block(text, 'Name')}: {write('English', text, key, count=1)}" for key in keys}


def kinds(text: str) -> dict[str, Any]:
    return {"kind": "fictional" if any(f"Domain: {domain}\n" in text for domain in SHIFT_DOMAINS) else "real"}


def variants(text: str) -> dict[str, Any]:
    return {language.lower(): write(language, text, language) for language in CODES if language != "English"}


def expansions(text: str) -> dict[str, Any]:
    keys = ("interests", "values", "knowledge", "habits", "communication", "culture")
    return {key: write(language_in(text), text, key, count=1) for key in keys}


def dialogues(text: str) -> dict[str, Any]:
    return {"rounds": [_exchange(language_in(text), text, number) for number in range(4)]}


def _exchange(language: str, text: str, place: object) -> dict[str, str]:
    return {
        "user_query": write(language, text, "query", place, count=2),
        "agent_response": write(language, text, "response", place),
    }


def turn_level(text: str) -> dict[str, Any]:
    one, other = (
        re.findall(r"^User Query \d+: (.*)$", block(text, f"Dialogue {number}"), re.MULTILINE) for number in (1, 2)
    )
    mixed = [query for pair in zip(one, other, strict=True) for query in pair][:7]
    rounds = [{"user_query": q, "agent_response": write("English", text, "response", q)} for q in mixed]
    return {"rounds": [*rounds, _exchange("English", text, "last")]}


def word_candidates(text: str) -> dict[str, Any]:
    words = block(text, "Last Query").split()
    made = []
    for number in range(5):
        place = digest(text, number) % len(words)
        changed = [*words[:place], f"lanterns{number}", *words[place + 1 :]]
        made.append({"user_query": " ".join(changed), "agent_response": write("English", text, "variant", number)})
    return {"variants": made}


def word_choice(text: str) -> dict[str, Any]:
    return {"choice": 1, "agent_response": write("English", text, "choice")}


WRITERS: dict[str, Callable[[str], dict[str, Any]]] = {
    writer.__name__: writer
    for writer in (
        characters,
        profiles,
        kinds,
        variants,
        expansions,
        dialogues,
        turn_level,
        word_candidates,
        word_choice,
    )
}


def content(asked: Asked) -> dict[str, Any]:
    """Return a good answer as plain data."""
    return WRITERS[step_of(asked)](question(asked))


def scripted(asked: Asked) -> Reply:
    """Answer well."""
    return answer(json.dumps(content(asked), ensure_ascii=False))


def cut(asked: Asked) -> Reply:
    """Answer with the first half of a good answer, as at a length limit."""
    text = json.dumps(content(asked), ensure_ascii=False)
    return answer(text[: len(text) // 2], finish_reason="length")


def with_faults(asked: Asked) -> Reply:
    """Answer about half of the prompts badly at first: overloaded, broken, slow, cut, of another schema."""
    if is_repair(asked):
        return answer("Sorry.") if digest(question(asked)) % 41 == 0 else scripted(asked)
    kind = digest(question(asked), "fault") % 12
    if digest(question(asked)) % 41 == 0:
        return answer("I would rather not.")
    if asked.number == 1 and kind < 3:
        return (Reply(429, headers={"Retry-After": "0"}), Reply(500, "<html>"), Reply(0))[kind]
    if kind == 3:
        return Reply(body=scripted(asked).body, seconds=0.15)
    if kind == 4:
        return cut(asked)
    if kind == 5:
        return answer(json.dumps({"reply": content(asked)}))
    if kind == 6:
        return answer(f"Gladly:\n```json\n{json.dumps(content(asked), ensure_ascii=False, indent=1)}\n```\nDone.")
    return scripted(asked)


def asked_by_step(server: FakeServer) -> dict[str, int]:
    counts: dict[str, int] = {}
    for asked in server.asked:
        counts[step_of(asked)] = counts.get(step_of(asked), 0) + 1
    return counts
