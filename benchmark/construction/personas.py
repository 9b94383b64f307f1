"""Step 2: users of five languages for pairs of a persona and a real person, in two parts.

Part 1 sketches all five for one pair, part 2 makes a fuller portrait of each that is wanted. Both are kept together as
the user's persona, in the user's language.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.construction.answers import Expansion, Variants
from benchmark.construction.asking import Asker, Question, Step
from benchmark.construction.cast import REAL, Cast, Pair
from benchmark.construction.languages import LanguageCheck, language_of
from benchmark.construction.settings import LANGUAGES
from benchmark.prompts import render_character

VARIANTS = Step("variants", "users of five languages sketched", Variants)
EXPANSIONS = Step("expansions", "users of five languages portrayed", Expansion)


@dataclass(frozen=True)
class _Sketch:
    name: str
    text: str
    pair: Pair


class Personas:
    """Pairs with users of other languages, by subset key, made when they are wanted."""

    def __init__(self, asker: Asker, cast: Cast, languages: LanguageCheck) -> None:
        """Nothing is asked yet."""
        self.pairs: dict[str, list[Pair]] = {language: [] for language in LANGUAGES}
        self._asker, self._cast, self._check = asker, cast, languages
        self._sketches: dict[str, deque[_Sketch]] = {language: deque() for language in LANGUAGES}
        self._used = 0
        """Real pairs that sketches have been asked for."""

    def ensure(self, wanted: Mapping[str, int]) -> None:
        """Make users until each language has as many as wanted, or there are no pairs left."""
        asked_for = [language for language in LANGUAGES if wanted.get(language)]
        while short := {key: n for key in asked_for if (n := wanted[key] - len(self.pairs[key])) > 0}:
            lacking = max(n - len(self._sketches[key]) for key, n in short.items())
            if lacking > 0 and self._sketch(lacking, asked_for):
                continue
            waiting = {key: min(n, len(self._sketches[key])) for key, n in short.items()}
            if not any(waiting.values()):
                return
            self._portray({key: [self._sketches[key].popleft() for _ in range(n)] for key, n in waiting.items()})

    def _sketch(self, lacking: int, languages: list[str]) -> bool:
        """Sketch users for the next pairs; False where there are no more."""
        self._cast.ensure({REAL: self._used + lacking})
        pairs = self._cast.pairs[REAL][self._used : self._used + lacking]
        self._used += len(pairs)
        answers = self._asker.ask(VARIANTS, {pair.name: self._sketch_question(pair, languages) for pair in pairs})
        for pair in pairs:
            if pair.name in answers:
                for key in LANGUAGES:
                    self._sketches[key].append(_Sketch(f"{key} {pair.name}", answers[pair.name].text(key), pair))
        return bool(pairs)

    def _sketch_question(self, pair: Pair, languages: list[str]) -> Question[Variants]:
        prompt = self._asker.prompts.render(
            VARIANTS.name, agent_character=render_character(pair.character), user_persona=pair.persona
        )
        return Question(prompt, lambda answer: self._fault_of_variants(answer, languages))

    def _fault_of_variants(self, answer: Variants, languages: list[str]) -> str | None:
        """Return which of the wanted languages is missed."""
        for key in languages:
            if fault := self._check.fault([(key, answer.text(key))], language_of(key)):
                return fault
        return None

    def _portray(self, sketches: Mapping[str, list[_Sketch]]) -> None:
        """Make portraits of sketches and pairs of both together."""
        questions = {s.name: self._portrait_question(s, language_of(key)) for key in sketches for s in sketches[key]}
        answers = self._asker.ask(EXPANSIONS, questions)
        for key, listed in sketches.items():
            for sketch in listed:
                if sketch.name in answers:
                    persona = f"{sketch.text}\n{answers[sketch.name].text()}"
                    self.pairs[key].append(Pair(sketch.name, persona, sketch.pair.character))

    def _portrait_question(self, sketch: _Sketch, language: str) -> Question[Expansion]:
        prompt = self._asker.prompts.render(EXPANSIONS.name, user_persona=sketch.text, language=language)
        return Question(prompt, lambda a: self._check.fault(a.model_dump().items(), language))
