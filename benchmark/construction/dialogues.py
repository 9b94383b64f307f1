"""Step 3, first part: dialogues of four rounds from context seeds, in-distribution and for user and character shift.

The last round's response is the golden one. A dialogue that is too much like one that is there, or in the wrong
language, is set aside, and another takes its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.construction.answers import Dialogue, Exchange
from benchmark.construction.asking import Asker, Question, Step
from benchmark.construction.cast import REAL, Cast, Pair
from benchmark.construction.checks import Checks, fault_of_dialogue
from benchmark.construction.contexts import ContextSeeds
from benchmark.construction.languages import language_of
from benchmark.construction.personas import Personas
from benchmark.construction.settings import LANGUAGES
from benchmark.prompts import render_character
from benchmark.sample import Sample, Turn
from benchmark.subsets import subset

ID = "id"
"""The pool of in-distribution dialogues, for training and test together."""
ROUNDS = 4
DIALOGUES = Step("dialogues", "dialogues written", Dialogue)
NO_CONTEXT = "its user has talked about every context seed; give more of them"


@dataclass(frozen=True)
class _Candidate:
    pool: str
    pair: Pair
    context: str

    @property
    def name(self) -> str:
        return f"{self.pool}: {self.pair.name}, {self.context}"


class Dialogues:
    """Samples by pool, written when they are wanted. Their names are not yet those of the benchmark."""

    def __init__(
        self, asker: Asker, cast: Cast, personas: Personas, contexts: ContextSeeds, checks: Checks, per_pair: int
    ) -> None:
        """Nothing is asked yet; `per_pair` in-distribution dialogues are made of each pair."""
        self.samples: dict[str, list[Sample]] = {}
        self._asker, self._cast, self._personas, self._contexts = asker, cast, personas, contexts
        self._checks, self._per_pair = checks, per_pair
        self._taken: dict[str, int] = {}

    def ensure(self, wanted: Mapping[str, int]) -> None:
        """Write dialogues until each pool has as many as wanted, or there are no pairs or contexts left."""
        self.samples = {pool: self.samples.get(pool, []) for pool in {**self.samples, **wanted}}
        while short := {pool: n for pool, count in wanted.items() if (n := count - len(self.samples[pool])) > 0}:
            candidates, exhausted = self._next(short)
            if candidates:
                self._write(candidates)
            if exhausted == set(short) and not candidates:
                return

    def _next(self, short: Mapping[str, int]) -> tuple[list[_Candidate], set[str]]:
        """Return the next candidates of each pool, and the pools whose pairs are used up."""
        ends = {pool: self._taken.get(pool, 0) + n for pool, n in short.items()}
        self._make_pairs(ends)
        candidates: list[_Candidate] = []
        exhausted: set[str] = set()
        for pool, end in ends.items():
            start = self._taken.get(pool, 0)
            pairs = self._pairs(pool)
            if start >= len(pairs):
                exhausted.add(pool)
            for pair in pairs[start:end]:
                if (context := self._contexts.take(pair.person)) is not None:
                    candidates.append(_Candidate(pool, pair, context))
                else:
                    self._asker.set_aside(DIALOGUES.name, f"{pool}: {pair.name}", NO_CONTEXT)
            self._taken[pool] = min(end, len(pairs))
        return candidates, exhausted

    def _make_pairs(self, ends: Mapping[str, int]) -> None:
        """Have enough pairs made for each pool, all languages and all domains at a time."""
        self._personas.ensure({pool: end for pool, end in ends.items() if pool in LANGUAGES})
        domains = {pool: end for pool, end in ends.items() if pool not in (*LANGUAGES, ID)}
        real = {REAL: -(-ends[ID] // self._per_pair)} if ID in ends else {}
        self._cast.ensure(domains | real)

    def _pairs(self, pool: str) -> list[Pair]:
        """Return the pairs of a pool; those of in-distribution dialogues as often as they talk."""
        if pool in LANGUAGES:
            return self._personas.pairs[pool]
        if pool == ID:
            return [pair for pair in self._cast.pairs[REAL] for _ in range(self._per_pair)]
        return self._cast.pairs[pool]

    def _write(self, candidates: list[_Candidate]) -> None:
        answers = self._asker.ask(DIALOGUES, {c.name: self._question(c) for c in candidates})
        for candidate in candidates:
            if candidate.name in answers:
                sample = _sample(candidate, answers[candidate.name])
                if fault := self._checks.take(sample):
                    self._asker.set_aside(DIALOGUES.name, candidate.name, fault)
                else:
                    self.samples[candidate.pool].append(sample)

    def _question(self, candidate: _Candidate) -> Question[Dialogue]:
        language = language_of(candidate.pool)
        prompt = self._asker.prompts.render(
            DIALOGUES.name,
            user_persona=candidate.pair.persona,
            agent_character=render_character(candidate.pair.character),
            context_seed=self._contexts.texts[candidate.context],
            language=language,
        )
        return Question(prompt, lambda a: fault_of_dialogue(a, ROUNDS, language, self._checks.languages))


def turns_of(dialogue: Dialogue) -> tuple[tuple[Turn, ...], Exchange]:
    """Return the rounds of a dialogue before its last, and the last."""
    return tuple(Turn(one.user_query, one.agent_response) for one in dialogue.rounds[:-1]), dialogue.rounds[-1]


def _sample(candidate: _Candidate, dialogue: Dialogue) -> Sample:
    turns, last = turns_of(dialogue)
    return Sample(
        sample_id=candidate.name,
        split=subset(candidate.pool).split,
        subset=candidate.pool,
        user_persona=candidate.pair.persona,
        agent_character=candidate.pair.character,
        turns=turns,
        last_query=last.user_query,
        golden_response=last.agent_response,
    )
