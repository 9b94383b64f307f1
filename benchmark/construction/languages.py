"""In which language a text is: identified offline by py3langid, a statistical identifier whose model ships with it.

Chinese written in other varieties than Mandarin counts as Chinese. Short texts are not judged: names and
exclamations look alike in many languages.
"""

from collections.abc import Callable, Iterable
from functools import cache

from benchmark.construction.settings import LANGUAGES
from benchmark.errors import Mistake, UserMistakes
from benchmark.sample import AgentCharacter

ENGLISH = "English"
CODES = {
    ENGLISH: {"en"},
    "German": {"de"},
    "Spanish": {"es"},
    "Chinese": {"zh", "yue", "wuu"},
    "Japanese": {"ja"},
    "Korean": {"ko"},
}
FEWEST_LETTERS = 20
"""Letters below which a text is not judged."""
DENSE = 3
"""Letters that a character of an Asian script counts as."""

Identify = Callable[[str], str]
"""Returns the ISO 639 code of a text's language."""


def language_of(subset: str) -> str:
    """Return the language of a subset's personas and dialogues, by its English name."""
    return subset.capitalize() if subset in LANGUAGES else ENGLISH


@cache
def identifier() -> Identify:
    """Return the identifier, its results remembered.

    Raises:
        UserMistakes: py3langid is not installed.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]
    except ImportError:
        problem = "needs py3langid, which is not installed"
        remedy = "install it (pip install py3langid), or set checks.languages: false"
        raise UserMistakes([Mistake("checks.languages", problem, remedy)]) from None
    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    return cache(lambda text: str(model.classify(text)[0]))


def character_texts(character: AgentCharacter) -> list[tuple[str, str]]:
    """Return what of a character is judged, with its name: titles and dates may be in any language."""
    return [
        ("the character's background", character.character_background),
        ("the character's personality", character.character_personality),
    ]


class LanguageCheck:
    """Finds texts in another language than they should be in."""

    def __init__(self, identify: Identify | None) -> None:
        """None finds nothing wrong anywhere."""
        self.identify = identify
        self.judged = 0
        """Texts that were long enough to be judged."""

    def fault(self, texts: Iterable[tuple[str, str]], language: str) -> str | None:
        """Return which of the named texts is not in the language; None if all are, or are too short to tell."""
        if self.identify is None:
            return None
        for name, text in texts:
            if not _is_long_enough(text):
                continue
            self.judged += 1
            code = self.identify(text)
            if code not in CODES[language]:
                return f"{name} is not in {language} but looks like '{code}'"
        return None


def _is_long_enough(text: str) -> bool:
    return sum(DENSE if char >= "\u1100" else 1 for char in text if char.isalpha()) >= FEWEST_LETTERS
