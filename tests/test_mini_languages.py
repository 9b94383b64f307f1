"""Persona, dialogue and golden response of each mini sample are in the language that its subset promises."""

import re
from collections import Counter

import pytest
from mini_helpers import SIZES, groups, language_of, utterances

from benchmark import Sample
from benchmark.subsets import TRAIN_SPLIT

HAN = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"))
KANA = (("\u3040", "\u30ff"),)
HANGUL = (("\u1100", "\u11ff"), ("\u3130", "\u318f"), ("\uac00", "\ud7a3"))
FUNCTION_WORDS = {
    "English": "the and of to is you that it with for my your what at from on are were have how but not they i",
    "German": "der das und ich ist nicht ein eine den dem mit sie mir mein meine von zu auf auch wie wenn aber im",
    "Spanish": "el la los las que de y en un una se con por para lo su mi del al como más pero yo le usted te",
}
"""Frequent words of each language that are none, or rare, in the other two."""


def share(text: str, script: tuple[tuple[str, str], ...]) -> float:
    """Return which part of a text's letters belongs to a script."""
    letters = [char for char in text if char.isalpha()]
    return sum(any(first <= char <= last for first, last in script) for char in letters) / max(len(letters), 1)


def language_by_words(text: str) -> str:
    """Return which of English, German and Spanish has the most function words in a text; "" when that is a tie."""
    counts = Counter(re.findall(r"\w+", text.lower()))
    hits = {name: sum(counts[word] for word in listed.split()) for name, listed in FUNCTION_WORDS.items()}
    best = [name for name, count in hits.items() if count == max(hits.values())]
    return best[0] if len(best) == 1 else ""


def is_in(text: str, language: str) -> bool:
    """Tell whether a text is in a language, by its script or by its function words."""
    if language == "Korean":
        return share(text, HANGUL) >= 0.9
    if language == "Japanese":
        return share(text, KANA) >= 0.3 and share(text, KANA + HAN) >= 0.9
    if language == "Chinese":
        return share(text, HAN) >= 0.9 and share(text, KANA) == 0
    return language_by_words(text) == language


def parts(sample: Sample) -> dict[str, str]:
    """Return the texts that have to be in the subset's language."""
    context = " ".join([*utterances(sample)[:-2], sample.last_query])
    return {"persona": sample.user_persona, "dialogue": context, "golden response": sample.golden_response}


@pytest.mark.parametrize("name", [TRAIN_SPLIT, "id"])
def test_in_distribution_samples_are_english(name: str) -> None:
    assert [s.sample_id for s in groups()[name] if not is_in(" ".join(parts(s).values()), "English")] == []


@pytest.mark.parametrize("name", SIZES)
def test_persona_dialogue_and_golden_response_are_in_the_language_of(name: str) -> None:
    wrong = [
        (sample.sample_id, part)
        for sample in groups()[name]
        for part, text in parts(sample).items()
        if not is_in(text, language_of(sample))
    ]
    assert wrong == []
