"""Builds a benchmark of shifts, step by step as the paper's appendix A does, into a folder of its own.

The folder holds every answer of the model (`answers/`), what was looked up (`retrieved.jsonl`), what is set aside and
why (`set_aside.jsonl`), and at the end the benchmark, which answers each sample is made of (`provenance.jsonl`), and a
report (`report.json`, `report.md`). The same call goes on wherever another one was stopped.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmark.construction.answer_store import AnswerStore
from benchmark.construction.asking import REPAIR, Asker
from benchmark.construction.audit import Audit, audit
from benchmark.construction.cast import POOL_OF_DOMAIN, REAL, Cast
from benchmark.construction.checks import Checks
from benchmark.construction.composition import TURN_LEVEL, WORD_LEVEL, Composition, Sources
from benchmark.construction.contexts import ContextSeeds
from benchmark.construction.dialogues import ID, Dialogues
from benchmark.construction.languages import ENGLISH, LanguageCheck, identifier
from benchmark.construction.pace import RequestPace
from benchmark.construction.personas import Personas
from benchmark.construction.prompts import ConstructionPrompts
from benchmark.construction.report import STEPS, make_report, render_report, spending_rows, spending_table
from benchmark.construction.retrieval import Retrieval
from benchmark.construction.seed_texts import SeedPersona, Seeds, read_seeds
from benchmark.construction.settings import LANGUAGES, BuildSettings
from benchmark.construction.splits import draw_test, turn_level_sources
from benchmark.construction.writing import final_names, renamed, sample_rows
from benchmark.endpoint import Endpoint
from benchmark.errors import Mistake, UserMistakes
from benchmark.loading import load_benchmark
from benchmark.progress import Progress, SilentProgress
from benchmark.run_store import RunStore, write_json, write_jsonl, write_text
from benchmark.sample import Sample
from benchmark.seeds import derive_seed
from benchmark.spending import Ledger
from benchmark.subsets import TRAIN_SPLIT

PHASES = ("characters", "personas", "dialogues", "compositions", "checks")
BENCHMARK, SET_ASIDE, PROVENANCE = "benchmark.json", "set_aside.jsonl", "provenance.jsonl"
REPORT, REPORT_PAGE = "report.json", "report.md"

PartT = TypeVar("PartT")


def tell_nobody(phase: str) -> None:
    """Pass over the name of a phase."""


@dataclass(frozen=True)
class Built:
    """What a build left."""

    benchmark: Path
    """The file that `load_benchmark` reads."""
    report: dict[str, Any]
    """The content of `report.json`; `benchmark.construction.report.shortages` says what is missing."""


class Builder:
    """A build that is ready to run, once: what can be checked before anything is sent has been."""

    def __init__(
        self, settings: BuildSettings, folder: Path, *, sleep: Callable[[float], object] | None = None
    ) -> None:
        """Look whether all that is needed is there. The folder is left as it is.

        Args:
            settings: what to build; relative paths are taken from the current directory.
            folder: where everything is kept.
            sleep: what waits between attempts; see `Endpoint`.

        Raises:
            UserMistakes: all mistakes in seeds, retrieval, environment and installation.
        """
        self.settings, self.folder, self._sleep = settings, folder, sleep
        mistakes: list[Mistake] = []
        self.seeds = read_seeds(settings.seeds, mistakes)
        self.retrieval = _collect(mistakes, lambda: _retrieval(settings))
        identify = _collect(mistakes, identifier) if settings.checks.languages else None
        _collect(mistakes, lambda: Endpoint(settings.endpoint))
        self.languages = LanguageCheck(identify)
        mistakes += _foreign_seeds(self.seeds, self.languages)
        if mistakes:
            raise UserMistakes(mistakes)
        self.ledger = Ledger(dict.fromkeys((step.name for step in STEPS), settings.prices), settings.limits)

    def run(self, *, progress: Progress | None = None, tell: Callable[[str], object] = tell_nobody) -> Built:
        """Build the benchmark.

        Args:
            progress: what shows how far each step is.
            tell: called with the name of each of PHASES as it begins.

        Raises:
            RunFailure: another run holds the folder; what earlier ones left is damaged; the endpoint refuses all
                requests or is down, a limit is reached, or a step brings nothing of use. What was finished stays, and
                a new build in the folder goes on from it.
        """
        with RunStore(self.folder).held():
            asker = self._asker(progress or SilentProgress())
            if self.retrieval is not None:
                self.retrieval.keep_in(self.folder)
            try:
                return _Work(self, asker).finish(tell)
            finally:
                write_jsonl(self.folder / SET_ASIDE, [asdict(one) for _, one in sorted(asker.aside.items())])

    def spending(self) -> str:
        """Return what every step has cost so far, earlier runs included, as a table."""
        return spending_table(spending_rows(self.ledger.spent, self.settings.prices))

    def seed(self, name: str) -> int:
        """Return the seed of one of the draws."""
        return derive_seed(self.settings.seed, "construction", name)

    def _asker(self, progress: Progress) -> Asker:
        """Return the asker, with what earlier runs spent on its account."""
        store = AnswerStore(self.folder)
        for step, kept in store.earlier:
            if step in self.ledger.spent:
                repair = kept.attempt == REPAIR
                self.ledger.count(
                    step, repair=repair, prompt_tokens=kept.prompt_tokens, completion_tokens=kept.completion_tokens
                )
        return Asker(
            settings=self.settings.endpoint,
            prompts=ConstructionPrompts(),
            store=store,
            ledger=self.ledger,
            pace=RequestPace(self.settings.requests_a_minute),
            seed=self.settings.seed,
            give_up_after=self.settings.give_up_after,
            sleep=self._sleep,
            progress=progress,
        )


class _Work:
    """The steps of one run."""

    def __init__(self, builder: Builder, asker: Asker) -> None:
        self._builder, self._asker, self._settings = builder, asker, builder.settings
        self._checks = Checks(self._settings.checks, builder.languages)
        self._cast = Cast(
            asker,
            _shuffled(builder.seeds.personas, builder.seed("personas")),
            self._settings.real_domains,
            rounds=self._settings.rounds,
            retrieval=builder.retrieval,
            languages=builder.languages,
        )
        self._personas = Personas(asker, self._cast, builder.languages)
        contexts = ContextSeeds(builder.seeds.contexts, builder.seed("contexts"))
        per_pair = self._settings.dialogues_per_pair
        self._dialogues = Dialogues(asker, self._cast, self._personas, contexts, self._checks, per_pair)

    def finish(self, tell: Callable[[str], object]) -> Built:
        """Do all steps and write what comes of them."""
        self._write_dialogues(tell)
        samples = self._split_and_compose(tell)
        tell("checks")
        names = final_names(samples)
        final = [renamed(sample, names) for sample in samples]
        found = audit(final, self._settings.checks, LanguageCheck(self._builder.languages.identify))
        for name, fault in found.faults.items():
            self._asker.set_aside("checks", name, fault)
        made_of = [{"sample_ID": names[sample.sample_id], "answers": sample.sample_id} for sample in samples]
        good = [row for row in made_of if row["sample_ID"] not in found.faults]
        write_jsonl(self._builder.folder / PROVENANCE, good)
        return self._publish([sample for sample in final if sample.sample_id not in found.faults], found)

    def _write_dialogues(self, tell: Callable[[str], object]) -> None:
        """Make characters, users and dialogues of four rounds."""
        counts = self._settings.counts
        languages, domains = counts.of(LANGUAGES), counts.of(tuple(POOL_OF_DOMAIN.values()))
        inside = counts.train + counts.id
        tell("characters")
        real = max(-(-inside // self._settings.dialogues_per_pair), *languages.values(), 0)
        self._cast.ensure({REAL: real, **domains})
        tell("personas")
        self._personas.ensure(languages)
        tell("dialogues")
        self._dialogues.ensure({ID: inside, **languages, **domains})

    def _split_and_compose(self, tell: Callable[[str], object]) -> list[Sample]:
        """Return all samples in the order of the splits, under their working names."""
        tell("compositions")
        counts, drafts = self._settings.counts, dict(self._dialogues.samples)
        inside = drafts.pop(ID)
        seed = self._builder.seed("test")
        drawn = draw_test(inside, min(counts.id, len(inside)), counts.turn_level, seed)
        split = [s if place in drawn else replace(s, split=TRAIN_SPLIT) for place, s in enumerate(inside)]
        train = [sample for place, sample in enumerate(split) if place not in drawn]
        test = [sample for place, sample in enumerate(split) if place in drawn]
        pairs = [(split[one], split[other]) for one, other in turn_level_sources(split, drawn)]
        composition = Composition(self._asker, Sources(train, test, pairs), self._checks)
        composition.ensure({TURN_LEVEL: counts.turn_level, WORD_LEVEL: counts.word_level})
        shifted = [sample for samples in drafts.values() for sample in samples]
        return [*train, *test, *shifted, *composition.samples[TURN_LEVEL], *composition.samples[WORD_LEVEL]]

    def _publish(self, samples: list[Sample], found: Audit) -> Built:
        """Write the benchmark and what is said of it; it is read back as any user's would be."""
        folder, asker = self._builder.folder, self._asker
        write_json(folder / BENCHMARK, sample_rows(samples))
        benchmark = load_benchmark(folder / BENCHMARK)
        spent, retrieval = asker.ledger.spent, self._builder.retrieval
        report = make_report(self._settings, benchmark, found, spent, asker.aside.values(), retrieval)
        write_json(folder / REPORT, report)
        write_text(folder / REPORT_PAGE, render_report(report))
        return Built(folder / BENCHMARK, report)


def _collect(mistakes: list[Mistake], make: Callable[[], PartT]) -> PartT | None:
    """Return what is made, or None after recording the mistakes that stand in the way."""
    try:
        return make()
    except UserMistakes as error:
        mistakes += error.mistakes
        return None


def _foreign_seeds(seeds: Seeds, languages: LanguageCheck) -> list[Mistake]:
    """Return a mistake for each seed persona that is not in English: every dialogue with it would be set aside."""
    faults = {name: languages.fault([("it", seed.persona)], ENGLISH) for name, seed in seeds.personas.items()}
    remedy = "write it in English, or set checks.languages: false"
    return [Mistake(f"seeds.personas: {name}", fault, remedy) for name, fault in faults.items() if fault]


def _retrieval(settings: BuildSettings) -> Retrieval | None:
    if settings.retrieval is None:
        return None
    endpoint = settings.endpoint
    return Retrieval(settings.retrieval, parallel=endpoint.parallel, secret_variable=endpoint.api_key_variable)


def _shuffled(personas: dict[str, SeedPersona], seed: int) -> dict[str, SeedPersona]:
    names = list(personas)
    random.Random(seed).shuffle(names)
    return {name: personas[name] for name in names}
