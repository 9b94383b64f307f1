"""A study of known degradations: golden responses damaged step by step, and what R-EMI and EMI make of it.

It works in a run directory of its own. Each estimator has its own stages, so that adding one costs that one alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.loading import load_benchmark
from benchmark.progress import Progress
from benchmark.run_store import RunStore
from benchmark.sample import Sample
from recipes.degradation_content import BASELINE, StudyFacts, study_content, study_notes
from recipes.degradation_design import Design, make_design
from recipes.degradation_likelihoods import DegradationLikelihoods
from recipes.degradation_report import write_study
from recipes.degradation_settings import DegradationSettings
from recipes.degradation_stages import EmiTrends, RemiTrends, embed_distinct
from recipes.environment import Compute, settle_compute, stage_key
from recipes.samples import draw_samples
from recipes.schema import BenchmarkSettings
from recipes.stage import RunObserver, Stage, run_stages
from recipes.stage_embeddings import embed_samples
from recipes.stage_estimator import adopt_estimator
from recipes.stage_reasoning import ReasoningStage
from scoring.embeddings import SentenceEmbedder
from scoring.estimator import Estimator, read_estimator
from scoring.models.resolver import check_model
from scoring.stratified import MINIMUM_SAMPLES


@dataclass(frozen=True)
class Study:
    """A study, checked and ready to be run."""

    benchmark: str
    design: Design
    estimators: Mapping[str, Estimator]
    """By the name that each has in files and stages."""

    @property
    def has_baseline(self) -> bool:
        """Whether EMI is computed: it is asked for, and there are samples to train its network on."""
        return self.design.settings.scoring.gaussian_baseline and len(self.design.train) >= MINIMUM_SAMPLES


@dataclass(frozen=True)
class FinishedStudy:
    """What a study left."""

    summary: str
    """What fell and what did not, and the table of averages, as Markdown."""
    files: list[Path]
    """The page first."""


def prepare_study(benchmark: str, estimators: Sequence[Path], settings: DegradationSettings) -> Study:
    """Read and check everything before anything heavy runs.

    Raises:
        UserMistakes: in the benchmark, else all those in the estimators and the embedding's name.
    """
    loaded = load_benchmark(benchmark)
    chosen = BenchmarkSettings(source=benchmark, test_samples=settings.test_samples, subsets=settings.subsets)
    train, test = draw_samples(loaded, chosen, settings.seed)
    mistakes = check_model(settings.scoring.embedding, "scoring.embedding")
    if not test:
        mistakes.append(Mistake(benchmark, "has no test samples in the chosen subsets"))
    found: list[Estimator] = []
    for folder in estimators:
        try:
            found.append(read_estimator(folder))
            mistakes += check_model(found[-1].description.base_model, f"{folder}: base_model")
        except UserMistakes as error:
            mistakes += error.mistakes
    mistakes += _twice(found)
    if mistakes:
        raise UserMistakes(mistakes)
    return Study(benchmark, make_design(train, test, settings), _named(found))


def _twice(estimators: Sequence[Estimator]) -> list[Mistake]:
    """Return a mistake for each estimator that gives the likelihoods of one before it."""
    first: dict[str, Estimator] = {}
    mistakes = []
    for estimator in estimators:
        same = first.setdefault(estimator.content_hash, estimator)
        if same is not estimator:
            mistakes.append(Mistake(str(estimator.folder), f"is the same estimator as {same.folder}", "name it once"))
    return mistakes


def _named(estimators: Sequence[Estimator]) -> dict[str, Estimator]:
    """Name estimators by their folders, where several are called alike by the folders around them.

    What is still alike, or is the baseline's name, gets a number behind it.
    """
    folders = [estimator.folder.resolve() for estimator in estimators]
    same = Counter(folder.name for folder in folders)
    taken = Counter({BASELINE: 1})
    named: dict[str, Estimator] = {}
    for folder, estimator in zip(folders, estimators, strict=True):
        name = folder.name if same[folder.name] == 1 else folder.parent.name
        taken[name] += 1
        named[name if taken[name] == 1 else f"{name}-{taken[name]}"] = estimator
    return named


def run_study(
    study: Study, out: Path, *, progress: Progress, observer: RunObserver, command: str = ""
) -> FinishedStudy:
    """Run all stages that are not done yet, then write `degradations.{md,json,csv,svg,png}`.

    Args:
        study: what to run.
        out: the run directory.
        progress: told of the units of work within a stage.
        observer: told of the stages.
        command: what makes the run again, for the JSON file.

    Raises:
        RunFailure: a stage failed; what was finished stays, and the same call goes on from it.
    """
    for note in study_notes(study.design):
        observer.note(note)
    compute = settle_compute(study.design.settings.compute)
    store = RunStore(out)
    with store.held():
        planner = _Planner(study, compute, store, progress)
        folders, records = run_stages(planner.stages(), store, observer)
        facts = StudyFacts(study.benchmark, command, compute, records)
        summary, files = write_study(out, study_content(study.design, study.estimators, folders, facts))
        return FinishedStudy(summary, files)


@dataclass(frozen=True)
class _Planner:
    """Makes the stages of a study."""

    study: Study
    compute: Compute
    store: RunStore
    progress: Progress

    def stages(self) -> list[Stage]:
        """Return the stages: estimator by estimator, then the baseline."""
        of_estimators = [stage for name in self.study.estimators for stage in self._estimator_stages(name)]
        return [*of_estimators, *(self._baseline_stages() if self.study.has_baseline else [])]

    @property
    def _design(self) -> Design:
        return self.study.design

    @cached_property
    def _test(self) -> dict[str, tuple[Sample, ...]]:
        return {key: found.samples for key, found in self._design.subsets.items()}

    @cached_property
    def _pair_settings(self) -> dict[str, object]:
        return self._design.settings.scoring.model_dump(include={"batch_tokens", "pairs"})

    def _folder(self, stage: Stage) -> Path:
        return self.store.stage_folder(stage.name, stage.key)

    def _key(self, kind: str, parts: Sequence[object], seed: int = 0) -> str:
        return stage_key(kind, parts, seed, self.compute)

    def _estimator_stages(self, name: str) -> list[Stage]:
        source, seed = self.study.estimators[name], self._design.settings.seed
        parts = [source.content_hash, source.description.plain()]
        adopted = Stage(f"estimator/{name}", self._key("estimator", parts), partial(adopt_estimator, source.folder))
        reasoning = self._reasoning(name, adopted) if source.description.reasoning else None
        scoring = DegradationLikelihoods(
            estimator_folder=self._folder(adopted),
            reasoning_folder=None if reasoning is None else self._folder(reasoning),
            design=self._design,
            compute=self.compute,
            run_folder=self.store.folder,
            progress=self.progress,
        )
        key = self._key("likelihoods", [adopted.key, self._design.key, self._pair_settings], seed)
        likelihoods = Stage(f"likelihoods/{name}", key, scoring)
        work = RemiTrends(self._folder(adopted), self._folder(likelihoods), self._design, self.store.folder)
        trends = Stage(f"trends/{name}", self._trends_key([likelihoods.key]), work)
        return [adopted, *([] if reasoning is None else [reasoning]), likelihoods, trends]

    def _reasoning(self, name: str, adopted: Stage) -> Stage:
        work = ReasoningStage(
            estimator_folder=self._folder(adopted),
            test=self._test,
            compute=self.compute,
            run_folder=self.store.folder,
            progress=self.progress,
        )
        hashes = {key: [sample.content_hash for sample in samples] for key, samples in self._test.items()}
        return Stage(f"reasoning/{name}", self._key("reasoning", [adopted.key, hashes]), work)

    def _trends_key(self, parts: Sequence[object]) -> str:
        settings = self._design.settings
        return self._key("trends", [*parts, self._pair_settings, settings.scoring.resamples], settings.seed)

    def _baseline_stages(self) -> list[Stage]:
        design = self._design
        embedder = SentenceEmbedder(design.settings.scoring.embedding, device=self.compute.device)
        print_ = embedder.location.fingerprint
        hashes = [sample.content_hash for sample in (*design.train, *design.samples)]
        samples = Stage(
            "embeddings/samples",
            self._key("embeddings", [print_, hashes]),
            partial(embed_samples, embedder, design.train, design.samples, self.progress),
        )
        responses = Stage(
            "embeddings/responses",
            self._key("embeddings", [print_, design.key]),
            partial(embed_distinct, embedder, design, self.progress),
        )
        work = EmiTrends(self._folder(samples), self._folder(responses), design)
        return [samples, responses, Stage(f"trends/{BASELINE}", self._trends_key([samples.key, responses.key]), work)]
