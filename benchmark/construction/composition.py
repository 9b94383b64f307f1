"""Step 3, second part: dialogues composed of in-distribution ones, by turns and by words.

Turn level: two dialogues of the same people, one at least from the test, become one of eight rounds with a new end.
Word level: in a test dialogue's last query a word is changed; of five candidates those that really change little go on
to the choice, which names a number and so cannot alter the query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.construction.answers import Dialogue, Exchange, WordChoice, WordVariants
from benchmark.construction.asking import Asker, Question, Step
from benchmark.construction.checks import Checks, fault_of_dialogue
from benchmark.construction.composed_checks import fault_of_mixture, fault_of_query, fault_of_response, queries
from benchmark.construction.dialogues import turns_of
from benchmark.construction.languages import ENGLISH
from benchmark.construction.leakage import Leakage
from benchmark.prompts import render_character
from benchmark.sample import Sample, Turn

TURN_LEVEL, WORD_LEVEL = "turn_level", "word_level"
SPLIT = "OOD3Test"
ROUNDS = 8
CANDIDATES = 5
REFERENCES = 20
"""Most queries of other conversations that a word may be taken from."""

TURNS = Step(TURN_LEVEL, "dialogues of eight rounds composed", Dialogue)
WORDS = Step("word_candidates", "changes of a word proposed", WordVariants)
CHOICES = Step("word_choice", "changes of a word chosen", WordChoice)


@dataclass(frozen=True)
class Sources:
    """The in-distribution samples that dialogues are composed of."""

    train: Sequence[Sample]
    test: Sequence[Sample]
    pairs: Sequence[tuple[Sample, Sample]]
    """For the turn level, in the order in which they are used."""


class Composition:
    """Composed samples by subset, made when they are wanted."""

    def __init__(self, asker: Asker, sources: Sources, checks: Checks) -> None:
        """Nothing is asked yet."""
        self.samples: dict[str, list[Sample]] = {TURN_LEVEL: [], WORD_LEVEL: []}
        self._asker, self._sources, self._checks = asker, sources, checks
        self._leakage = Leakage(sources.train)
        self._taken = {TURN_LEVEL: 0, WORD_LEVEL: 0}

    def ensure(self, wanted: Mapping[str, int]) -> None:
        """Compose until each subset has as many as wanted, or the sources are used up."""
        while missing := wanted.get(TURN_LEVEL, 0) - len(self.samples[TURN_LEVEL]):
            pairs = self._sources.pairs[self._taken[TURN_LEVEL] :][:missing]
            self._taken[TURN_LEVEL] += len(pairs)
            if not pairs:
                break
            self._compose_turns(pairs)
        while missing := wanted.get(WORD_LEVEL, 0) - len(self.samples[WORD_LEVEL]):
            sources = self._sources.test[self._taken[WORD_LEVEL] :][:missing]
            self._taken[WORD_LEVEL] += len(sources)
            if not sources:
                break
            self._change_words(sources)

    def _take(self, step: str, sample: Sample) -> None:
        fault = self._leakage.fault(sample) or self._checks.take(sample)
        if fault:
            self._asker.set_aside(step, sample.sample_id, fault)
        else:
            self.samples[sample.subset].append(sample)

    # ---- turn level ----

    def _compose_turns(self, pairs: Sequence[tuple[Sample, Sample]]) -> None:
        by_name = {f"{TURN_LEVEL}: {one.sample_id} + {other.sample_id}": (one, other) for one, other in pairs}
        questions = {name: self._turn_question(*pair) for name, pair in by_name.items()}
        for name, answer in self._asker.ask(TURNS, questions).items():
            one, other = by_name[name]
            turns, last = turns_of(answer)
            made = _composed(TURN_LEVEL, name, one, last, (one.sample_id, other.sample_id))
            self._take(TURNS.name, replace(made, turns=turns))

    def _turn_question(self, one: Sample, other: Sample) -> Question[Dialogue]:
        settings = self._checks.settings
        prompt = self._asker.prompts.render(
            TURNS.name,
            user_persona=one.user_persona,
            agent_character=render_character(one.agent_character),
            dialogue_one=_whole(one),
            dialogue_two=_whole(other),
            least_queries=str(settings.least_queries_from_each),
            language=ENGLISH,
        )

        def check(answer: Dialogue) -> str | None:
            asked = [exchange.user_query for exchange in answer.rounds]
            return fault_of_dialogue(answer, ROUNDS, ENGLISH, self._checks.languages) or fault_of_mixture(
                asked, (one, other), settings
            )

        return Question(prompt, check)

    # ---- word level ----

    def _change_words(self, sources: Sequence[Sample]) -> None:
        by_name = {f"{WORD_LEVEL}: {source.sample_id}": source for source in sources}
        proposed = self._asker.ask(WORDS, {name: self._word_question(source) for name, source in by_name.items()})
        small = {name: self._small(by_name[name], answer) for name, answer in proposed.items()}
        questions = {name: self._choice_question(by_name[name], variants) for name, variants in small.items()}
        for name, choice in self._asker.ask(CHOICES, questions).items():
            source = by_name[name]
            last = Exchange(user_query=small[name][choice.choice - 1].user_query, agent_response=choice.agent_response)
            self._take(CHOICES.name, _composed(WORD_LEVEL, name, source, last, (source.sample_id,)))

    def _small(self, source: Sample, answer: WordVariants) -> list[Exchange]:
        """Return the candidates that change as little as they should."""
        settings = self._checks.settings
        return [v for v in answer.variants if fault_of_query(source.last_query, v.user_query, settings) is None]

    def _word_question(self, source: Sample) -> Question[WordVariants]:
        prompt = self._asker.prompts.render(
            WORDS.name,
            **_situation(source),
            reference_queries="\n".join(self._references(source)),
            most_words=str(self._checks.settings.most_changed_words),
            language=ENGLISH,
        )
        return Question(prompt, lambda answer: self._fault_of_candidates(source, answer))

    def _fault_of_candidates(self, source: Sample, answer: WordVariants) -> str | None:
        if len(answer.variants) != CANDIDATES:
            return f"it has {len(answer.variants)} variants, not {CANDIDATES}"
        if self._small(source, answer):
            return None
        settings = self._checks.settings
        faults = [str(fault_of_query(source.last_query, v.user_query, settings)) for v in answer.variants]
        return "no variant can be used: " + "; ".join(f"{number}. {fault}" for number, fault in enumerate(faults, 1))

    def _choice_question(self, source: Sample, variants: Sequence[Exchange]) -> Question[WordChoice]:
        listed = [
            f"{number}. {variant.user_query}\n   Answer: {variant.agent_response}"
            for number, variant in enumerate(variants, start=1)
        ]
        prompt = self._asker.prompts.render(
            CHOICES.name, **_situation(source), variants="\n".join(listed), language=ENGLISH
        )

        def check(answer: WordChoice) -> str | None:
            if not 1 <= answer.choice <= len(variants):
                return f"there is no variant {answer.choice}: they are numbered 1 to {len(variants)}"
            response = answer.agent_response
            return self._checks.languages.fault([("agent_response", response)], ENGLISH) or fault_of_response(
                source.golden_response, response, self._checks.settings
            )

        return Question(prompt, check)

    def _references(self, source: Sample) -> list[str]:
        """Return what the same user says in training dialogues; where there are none, earlier in this one."""
        trained = [q for s in self._sources.train if s.user_persona == source.user_persona for q in queries(s)]
        return (trained or queries(source)[:-1])[:REFERENCES]


def _composed(subset: str, name: str, source: Sample, last: Exchange, sources: tuple[str, ...]) -> Sample:
    """Return a sample with the people and the rounds of a source, but another end."""
    return replace(
        source,
        sample_id=name,
        split=SPLIT,
        subset=subset,
        last_query=last.user_query,
        golden_response=last.agent_response,
        source_sample_ids=sources,
    )


def _situation(source: Sample) -> dict[str, str]:
    return {
        "user_persona": source.user_persona,
        "agent_character": render_character(source.agent_character),
        "dialogue": _rounds(source.turns),
        "last_query": source.last_query,
        "golden_response": source.golden_response,
    }


def _whole(sample: Sample) -> str:
    """Return a dialogue with its golden response."""
    return _rounds((*sample.turns, Turn(sample.last_query, sample.golden_response)))


def _rounds(turns: Sequence[Turn]) -> str:
    lines = (
        (f"User Query {k}: {t.user_query}", f"Agent Response {k}: {t.agent_response}") for k, t in enumerate(turns, 1)
    )
    return "\n".join(line for pair in lines for line in pair)
