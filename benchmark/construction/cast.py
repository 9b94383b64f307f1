"""Step 1: from seed personas to pairs of a persona and a character, real people and fictional figures by domain.

Seed personas are asked for characters in waves, as many as are still needed. Proposals wait in queues, one of real
domains and one for each domain of the character shift; only as many as are wanted are described and classified. What a
character is decides the pool it comes to, whatever category it was proposed for: real people serve the in-distribution
data and the user shift, fictional figures the character shift of their domain.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

from benchmark.construction.answers import Kind, Profile, Proposal, Proposals
from benchmark.construction.asking import Asker, Question, Step
from benchmark.construction.languages import ENGLISH, LanguageCheck, character_texts
from benchmark.construction.retrieval import STEP as RETRIEVAL
from benchmark.construction.retrieval import Retrieval, folded
from benchmark.construction.seed_texts import SeedPersona
from benchmark.prompts import render_character
from benchmark.sample import AgentCharacter
from benchmark.subsets import SUBSETS

REAL = "real"
"""The pool of real people; the others are named by the subset keys of the character shift."""
POOL_OF_DOMAIN = {str(subset.tag): subset.key for subset in SUBSETS if subset.shift == "character"}
SHIFT_DESCRIPTIONS = {
    "Literature": "invented figures of novels, tales and poems",
    "Film & Television": "invented figures of films and series",
    "Theater": "invented figures of plays, operas and musicals",
    "Gaming": "invented figures of computer and board games",
}
NOTHING_FOUND = "(nothing)"

CHARACTERS = Step("characters", "characters proposed", Proposals)
PROFILES = Step("profiles", "characters described", Profile)
KINDS = Step("kinds", "characters classified", Kind)


@dataclass(frozen=True)
class Pair:
    """A user and a character to talk to."""

    person: str
    """Name of the user: equal exactly where the persona is."""
    persona: str
    character: AgentCharacter

    @property
    def name(self) -> str:
        """What tells this pair from others."""
        return f"{self.person} with {self.character.character_name}"


@dataclass(frozen=True)
class _Candidate:
    person: str
    proposal: Proposal


@dataclass(frozen=True)
class _Classified:
    character: AgentCharacter
    pool: str | None
    """None for a fictional figure of a domain that is not in the character shift."""


class Cast:
    """Pairs by pool, made when they are wanted."""

    def __init__(
        self,
        asker: Asker,
        personas: Mapping[str, SeedPersona],
        real_domains: Mapping[str, str],
        *,
        rounds: int,
        retrieval: Retrieval | None,
        languages: LanguageCheck,
    ) -> None:
        """Nothing is asked yet; personas are asked in the order given, `rounds` times."""
        self.pairs: dict[str, list[Pair]] = {REAL: [], **{pool: [] for pool in POOL_OF_DOMAIN.values()}}
        self._asker, self._retrieval, self._check = asker, retrieval, languages
        self._personas, self._real_domains = personas, real_domains
        self._requests = deque((number, person) for number in range(1, rounds + 1) for person in personas)
        self._queues: dict[str, deque[_Candidate]] = {pool: deque() for pool in self.pairs}
        self._proposed: dict[str, list[str]] = {person: [] for person in personas}
        self._met: set[tuple[str, str]] = set()
        self._classified: dict[str, _Classified | None] = {}

    def ensure(self, wanted: Mapping[str, int]) -> None:
        """Make pairs until each pool has as many as wanted, or the seeds are used up."""
        while short := {pool: n for pool, count in wanted.items() if (n := count - len(self.pairs[pool])) > 0}:
            lacking = max(n - len(self._queues[pool]) for pool, n in short.items())
            if lacking > 0 and self._requests:
                self._propose(lacking)
                continue
            batch = [self._queues[pool].popleft() for pool, n in short.items() for _ in range(n) if self._queues[pool]]
            if not batch:
                return
            self._settle(batch)

    def _propose(self, lacking: int) -> None:
        """Ask the next personas, one for each pair that lacks, but none twice in one wave."""
        number = self._requests[0][0]
        wave: list[str] = []
        while self._requests and self._requests[0][0] == number and len(wave) < lacking:
            wave.append(self._requests.popleft()[1])
        questions = {f"{person} round {number}": self._question(person) for person in wave}
        answers = self._asker.ask(CHARACTERS, questions)
        found = [self._sorted(p, answers[name]) for p, name in zip(wave, questions, strict=True) if name in answers]
        for candidate in _in_turns([real for real, _ in found]):
            self._queue(candidate)
        for place, domain in enumerate(POOL_OF_DOMAIN):
            first = place * len(found) // len(POOL_OF_DOMAIN)
            for _, invented in found[first:] + found[:first]:  # so that domains do not share their first users
                self._queue(invented[domain])

    def _queue(self, candidate: _Candidate) -> None:
        """Let a candidate wait in the queue of its category, unless its persona has had the character."""
        both = candidate.person, folded(candidate.proposal.character_name)
        if both not in self._met:
            self._met.add(both)
            self._queues[POOL_OF_DOMAIN.get(candidate.proposal.category, REAL)].append(candidate)

    def _question(self, person: str) -> Question[Proposals]:
        seed = self._personas[person]
        categories = {**self._real_domains, **SHIFT_DESCRIPTIONS}
        prompt = self._asker.prompts.render(
            CHARACTERS.name,
            user_persona=seed.persona,
            history=seed.history or NOTHING_FOUND,
            categories="\n".join(f"- {name}: {meaning}" for name, meaning in categories.items()),
            taken="; ".join(self._proposed[person]) or "none",
        )
        return Question(prompt, lambda answer: _fault_of_proposals(answer, set(categories)))

    def _sorted(self, person: str, answer: Proposals) -> tuple[list[_Candidate], dict[str, _Candidate]]:
        """Return the proposals for real domains, each persona beginning with another; the others by domain."""
        self._proposed[person] += [proposal.character_name for proposal in answer.characters]
        by_category = {proposal.category: _Candidate(person, proposal) for proposal in answer.characters}
        domains = list(self._real_domains)
        first = list(self._personas).index(person) % len(domains)
        invented = {domain: by_category[domain] for domain in POOL_OF_DOMAIN}
        return [by_category[domain] for domain in domains[first:] + domains[:first]], invented

    def _settle(self, batch: list[_Candidate]) -> None:
        """Describe and classify the new characters of a batch and put its pairs into their pools."""
        new: dict[str, Proposal] = {}
        for candidate in batch:
            name = folded(candidate.proposal.character_name)
            if name not in self._classified:
                new.setdefault(name, candidate.proposal)
        self._classify(new)
        for candidate in batch:
            classified = self._classified[folded(candidate.proposal.character_name)]
            if classified is not None and classified.pool is not None:
                persona = self._personas[candidate.person].persona
                self.pairs[classified.pool].append(Pair(candidate.person, persona, classified.character))

    def _classify(self, proposals: Mapping[str, Proposal]) -> None:
        texts = self._texts(proposals)
        profiles = self._asker.ask(PROFILES, {n: self._profile(proposals[n], text) for n, text in texts.items()})
        characters = {name: _character(proposals[name], profile) for name, profile in profiles.items()}
        render = self._asker.prompts.render
        kinds = self._asker.ask(
            KINDS, {n: Question(render(KINDS.name, agent_character=render_character(c))) for n, c in characters.items()}
        )
        for name in proposals:
            kind = kinds.get(name)
            self._classified[name] = None if kind is None else self._pooled(name, characters[name], kind)

    def _pooled(self, name: str, character: AgentCharacter, kind: Kind) -> _Classified:
        pool = REAL if kind.kind == "real" else POOL_OF_DOMAIN.get(character.character_domain)
        if pool is None:
            reason = (
                f"is fictional, but of the domain {character.character_domain}, which is not in the character shift"
            )
            self._asker.set_aside(KINDS.name, name, reason)
        return _Classified(character, pool)

    def _profile(self, proposal: Proposal, retrieved: str) -> Question[Profile]:
        prompt = self._asker.prompts.render(
            PROFILES.name,
            character_name=proposal.character_name,
            character_domain=proposal.category,
            character_description=proposal.character_description,
            retrieved=retrieved,
        )
        return Question(prompt, lambda a: self._check.fault(character_texts(_character(proposal, a)), ENGLISH))

    def _texts(self, proposals: Mapping[str, Proposal]) -> dict[str, str]:
        """Return what was looked up for each character; those that need a text and have none are set aside."""
        if self._retrieval is None:
            return dict.fromkeys(proposals, NOTHING_FOUND)
        texts: dict[str, str] = {}
        names = [proposal.character_name for proposal in proposals.values()]
        found = self._retrieval.find(names, self._asker.progress)
        for name, retrieved in zip(proposals, found, strict=True):
            if retrieved.text is None and self._retrieval.settings.required:
                self._asker.set_aside(RETRIEVAL, name, str(retrieved.problem))
            else:
                texts[name] = retrieved.text or NOTHING_FOUND
        return texts


def _fault_of_proposals(answer: Proposals, categories: set[str]) -> str | None:
    named = Counter(proposal.category for proposal in answer.characters)
    if unknown := len(set(named) - categories):
        return f"{unknown} of its categories are not in the list"
    wrong = sorted(category for category in categories if named[category] != 1)
    return f"there is not exactly one character for {', '.join(wrong)}" if wrong else None


def _character(proposal: Proposal, profile: Profile) -> AgentCharacter:
    return AgentCharacter(proposal.character_name, proposal.category, **profile.model_dump())


def _in_turns(lists: list[list[_Candidate]]) -> list[_Candidate]:
    """Return the first of every list, then the second of every list, and so on."""
    return [item for item in chain.from_iterable(zip_longest(*lists)) if item is not None]
