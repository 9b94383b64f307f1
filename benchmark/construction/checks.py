"""What every sample has to meet by itself and beside the others: rounds, language, no repetition."""

from collections.abc import Iterator

from benchmark.construction.answers import Dialogue
from benchmark.construction.languages import ENGLISH, LanguageCheck, character_texts, language_of
from benchmark.construction.settings import LANGUAGES, CheckSettings
from benchmark.construction.text_measures import SeenTexts, words
from benchmark.sample import Sample
from benchmark.subsets import subset

LONG = 8
"""Words from which an utterance is long enough to belong to one dialogue alone."""


class Checks:
    """The samples taken so far, and what another one may not repeat of them."""

    def __init__(self, settings: CheckSettings, languages: LanguageCheck) -> None:
        """No sample has been taken."""
        self.settings, self.languages = settings, languages
        self.largest_share = 0.0
        """The most that two golden responses of different dialogues have in common."""
        self._golden = SeenTexts()
        self._utterances: dict[str, str] = {}
        self._users: dict[str, str] = {}

    def take(self, sample: Sample) -> str | None:
        """Take a sample, or return why it cannot be taken."""
        fault = self._fault(sample)
        if fault is None:
            self._golden.add(sample.sample_id, sample.golden_response)
            if sample.subset in LANGUAGES:
                self._users[folded(sample.user_persona)] = sample.sample_id
            if not is_composed(sample):
                for text in long_utterances(sample):
                    self._utterances[text] = sample.sample_id
        return fault

    def _fault(self, sample: Sample) -> str | None:
        texts = [("the persona", sample.user_persona), *named_utterances(sample)]
        return (
            self.languages.fault(texts, language_of(sample.subset))
            or self.languages.fault(character_texts(sample.agent_character), ENGLISH)
            or self._fault_of_repetition(sample)
        )

    def _fault_of_repetition(self, sample: Sample) -> str | None:
        if sample.subset in LANGUAGES and (other := self._users.get(folded(sample.user_persona))):
            return f"its user is the one of {other}"
        if not is_composed(sample):
            for text in long_utterances(sample):
                if other := self._utterances.get(text):
                    return f"an utterance of it stands in {other}"
        share, other = self._golden.nearest(sample.golden_response, sample.source_sample_ids)
        if share > self.settings.most_shared:
            return f"its golden response shares {share:.0%} of its runs of words with that of {other}"
        self.largest_share = max(self.largest_share, share)
        return None


def fault_of_dialogue(dialogue: Dialogue, rounds: int, language: str, languages: LanguageCheck) -> str | None:
    """Return what is wrong with a dialogue as it was answered."""
    if len(dialogue.rounds) != rounds:
        return f"it has {len(dialogue.rounds)} rounds, not {rounds}"
    texts = [
        (f"{kind} {number}", text)
        for number, one in enumerate(dialogue.rounds, start=1)
        for kind, text in (("user_query", one.user_query), ("agent_response", one.agent_response))
    ]
    return languages.fault(texts, language)


def is_composed(sample: Sample) -> bool:
    """Tell whether a sample was composed from others."""
    return subset(sample.subset).shift == "dialogue"


def folded(text: str) -> str:
    """Return a text as texts are compared: its words alone."""
    return " ".join(words(text))


def named_utterances(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield (what it is, text) of all that is said, the golden response last."""
    for number, turn in enumerate(sample.turns, start=1):
        yield f"user query {number}", turn.user_query
        yield f"agent response {number}", turn.agent_response
    yield "the last query", sample.last_query
    yield "the golden response", sample.golden_response


def utterances(sample: Sample) -> list[str]:
    """Return all that is said, folded."""
    return [folded(text) for _, text in named_utterances(sample)]


def long_utterances(sample: Sample) -> list[str]:
    """Return what is said in eight words or more, folded; in scripts without spaces, in eight characters or more."""
    return [folded(text) for _, text in named_utterances(sample) if len(words(text)) >= LONG]
