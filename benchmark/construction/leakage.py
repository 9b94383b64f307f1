"""What the training split may not share with the tests: the last turn of none, users and characters of a shift."""

from collections.abc import Iterable

from benchmark.construction.checks import folded, is_composed, long_utterances, utterances
from benchmark.sample import Sample
from benchmark.subsets import subset


class Leakage:
    """The training samples, as test samples are held against them."""

    def __init__(self, train: Iterable[Sample]) -> None:
        """Take all training samples."""
        self._utterances: set[str] = set()
        self._personas: set[str] = set()
        self._characters: set[str] = set()
        self._ids: set[str] = set()
        for sample in train:
            self._ids.add(sample.sample_id)
            self._utterances.update(utterances(sample))
            self._personas.add(folded(sample.user_persona))
            self._characters.add(folded(sample.agent_character.character_name))

    def fault(self, sample: Sample) -> str | None:
        """Return what of a test sample was trained on, None if nothing was.

        A composed sample may hold turns of training dialogues, but not all of them, and never as its end.
        """
        shift = subset(sample.subset).shift
        if shift == "user" and folded(sample.user_persona) in self._personas:
            return "its persona is in the training split"
        if shift == "character" and folded(sample.agent_character.character_name) in self._characters:
            return "its character is in the training split"
        if folded(sample.golden_response) in self._utterances:
            return "its golden response is in the training split"
        if folded(sample.last_query) in self._utterances:
            return "its last query is in the training split"
        if is_composed(sample):
            trained = set(sample.source_sample_ids) <= self._ids
            return "it is composed of training dialogues alone" if trained else None
        shared = set(long_utterances(sample)) & self._utterances
        return "an utterance of it is in the training split" if shared else None
