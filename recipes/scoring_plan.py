"""The part of a plan from responses to scores: the same for responses of this run and for those made elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

from benchmark.errors import Mistake, UserMistakes
from benchmark.progress import Progress
from benchmark.run_store import RunStore
from benchmark.sample import Sample
from recipes.columns import Column
from recipes.environment import Compute, stage_key
from recipes.estimator_source import EstimatorSource
from recipes.launch_config import ONE_DEVICE, Devices
from recipes.prepared_estimator import PreparedEstimator
from recipes.schema import BaseEstimatorRecipe, ScoringSettings
from recipes.scored_run import ScoredRun
from recipes.stage import Stage
from recipes.stage_baseline import BaselineStage
from recipes.stage_bounds import BoundStage
from recipes.stage_convergence import DRAWS, SHARES, ConvergenceStage
from recipes.stage_divergences import write_divergences
from recipes.stage_embeddings import embed_responses, embed_samples
from recipes.stage_estimator import adopt_estimator, make_estimator, training_stage
from recipes.stage_likelihoods import LikelihoodStage
from recipes.stage_reasoning import ReasoningStage
from recipes.stage_scores import FILES as SCORES
from recipes.stage_scores import ScoredMethod, ScoreStage
from recipes.stage_tokens import write_tokens
from recipes.subset_pairs import check_arithmetic
from scoring.embeddings import SentenceEmbedder
from scoring.estimator import read_estimator
from scoring.models.resolver import locate_model


@dataclass(frozen=True)
class ScoringInputs:
    """What is scored, and how."""

    estimator: EstimatorSource
    """A recipe of an estimator to make or to train, or the directory of one that exists."""
    templates: str | None
    template_hash: str
    train: Sequence[Sample]
    whole_test: Mapping[str, Sequence[Sample]]
    """All test samples of the chosen subsets."""
    test: Mapping[str, Sequence[Sample]]
    """Those drawn to be answered and scored."""
    settings: ScoringSettings
    seed: int


@dataclass(frozen=True)
class ResponseSource:
    """A method's responses as the plan knows them before they are there."""

    scored: ScoredMethod
    responses: Path
    key: str
    """Hash of what the responses depend on."""
    stage: str | None = None
    """Name of the stage that makes them; None where they are there."""


@dataclass(frozen=True)
class ScoringPlanner:
    """Makes the stages from responses to scores."""

    inputs: ScoringInputs
    compute: Compute
    store: RunStore
    progress: Progress
    devices: Devices = ONE_DEVICE
    """What an estimator is trained on."""

    def stages(self, sources: Sequence[ResponseSource]) -> list[Stage]:
        """Return the stages: estimator, its reasoning, likelihoods, scores, embeddings, divergences, bounds, extras.

        Raises:
            UserMistakes: the estimator's directory is none, is damaged, or does not go with the arithmetic.
        """
        estimator = self._estimator()
        reasoning = self._reasoning(estimator) if self._is_trained else None
        likelihoods = self._likelihoods(estimator, reasoning, sources)
        scores = self._scores(estimator, likelihoods, sources)
        samples = self._sample_embeddings()
        answers = {source.scored.column: self._response_embeddings(source) for source in sources}
        divergences = self._divergences(samples)
        made = {stage.name: stage for stage in (estimator, likelihoods, scores, samples, divergences)}
        bounds = self._bounds(made, answers, sources)
        convergence = self._convergence(made, sources)
        written = [] if reasoning is None else [reasoning]
        stages = [
            estimator,
            *written,
            likelihoods,
            scores,
            samples,
            *answers.values(),
            divergences,
            bounds,
            convergence,
        ]
        if self.inputs.settings.gaussian_baseline:
            stages.append(self._baseline(estimator, samples, answers, sources))
        if self.inputs.settings.token_log_probs:
            stages.append(self._tokens(estimator, likelihoods, sources))
        return stages

    def folder(self, stage: Stage) -> Path:
        """Return the folder of a stage."""
        return self.store.stage_folder(stage.name, stage.key)

    def key(self, kind: str, parts: Sequence[object], seed: int = 0) -> str:
        """Hash what a stage depends on, with device, number format, threads and package versions."""
        return stage_key(kind, parts, seed, self.compute)

    def _estimator(self) -> Stage:
        source, arithmetic = self.inputs.estimator, self.inputs.settings.arithmetic
        if isinstance(source, BaseEstimatorRecipe):
            location = locate_model(source.model)
            parts = [source.model_dump(), location.fingerprint, self.inputs.template_hash]
            make = partial(make_estimator, source, self.inputs.templates)
            return Stage("estimator", self.key("estimator", parts), make, uses_model=False)
        if isinstance(source, PreparedEstimator):
            _refuse(check_arithmetic(source.recipe.folds or 1, arithmetic, "estimator recipe: folds"))
            return training_stage(source, self.compute, self.store, self.progress, self.devices)
        found = read_estimator(source)
        _refuse(check_arithmetic(found.n_folds, arithmetic, str(source)))
        parts = [found.content_hash, *([found.description.plain()] if self._is_trained else [])]
        return Stage("estimator", self.key("estimator", parts), partial(adopt_estimator, source), uses_model=False)

    @cached_property
    def _is_trained(self) -> bool:
        """Whether the estimator has reasoning, and perhaps folds."""
        source = self.inputs.estimator
        if isinstance(source, Path):
            return read_estimator(source).description.reasoning
        return isinstance(source, PreparedEstimator)

    def _reasoning(self, estimator: Stage) -> Stage:
        work = ReasoningStage(
            estimator_folder=self.folder(estimator),
            test=self.inputs.test,
            compute=self.compute,
            run_folder=self.store.folder,
            progress=self.progress,
        )
        key = self.key("reasoning", [estimator.key, self._test_hashes])
        return Stage("reasoning", key, work, needs=_names(estimator), shards=work.shards)

    def _likelihoods(self, estimator: Stage, reasoning: Stage | None, sources: Sequence[ResponseSource]) -> Stage:
        work = LikelihoodStage(
            estimator_folder=self.folder(estimator),
            reasoning_folder=None if reasoning is None else self.folder(reasoning),
            columns=_columns(sources),
            test=self.inputs.test,
            settings=self.inputs.settings,
            seed=self.inputs.seed,
            compute=self.compute,
            run_folder=self.store.folder,
            progress=self.progress,
        )
        settings = self.inputs.settings.model_dump(include={"batch_tokens", "arithmetic", "pairs"})
        parts = [estimator.key, settings, self._test_hashes, [[s.scored.column, s.key] for s in sources]]
        key = self.key("likelihoods", parts, self.inputs.seed)
        needs = *_names(estimator, *([] if reasoning is None else [reasoning])), *_made(sources)
        return Stage("likelihoods", key, work, needs=needs, shards=work.shards)

    def _scores(self, estimator: Stage, likelihoods: Stage, sources: Sequence[ResponseSource]) -> Stage:
        work = ScoreStage(
            estimator_folder=self.folder(estimator),
            likelihoods_folder=self.folder(likelihoods),
            run_folder=self.store.folder,
            methods=[source.scored for source in sources],
            test=self.inputs.test,
            settings=self.inputs.settings,
            seed=self.inputs.seed,
        )
        scored = [asdict(source.scored) for source in sources]
        parts = [likelihoods.key, self.inputs.settings.resamples, scored, SCORES]
        key = self.key("scores", parts, self.inputs.seed)
        return Stage("scores", key, work, needs=_names(estimator, likelihoods), uses_model=False)

    @cached_property
    def _embedder(self) -> SentenceEmbedder:
        return SentenceEmbedder(self.inputs.settings.embedding, device=self.compute.device)

    def _sample_embeddings(self) -> Stage:
        whole = [sample for samples in self.inputs.whole_test.values() for sample in samples]
        work = partial(embed_samples, self._embedder, self.inputs.train, whole, self.progress)
        parts = [self._embedder.location.fingerprint, _hashes(self.inputs.train), _hashes(whole)]
        return Stage("embeddings/samples", self.key("embeddings", parts), work)

    def _response_embeddings(self, source: ResponseSource) -> Stage:
        drawn = [sample for samples in self.inputs.test.values() for sample in samples]
        work = partial(embed_responses, self._embedder, source.responses, drawn, self.progress)
        parts = [self._embedder.location.fingerprint, source.key, _hashes(drawn)]
        return Stage(f"embeddings/{source.scored.column}", self.key("embeddings", parts), work, needs=_made([source]))

    def _divergences(self, samples: Stage) -> Stage:
        work = partial(
            write_divergences,
            self.folder(samples),
            len(self.inputs.train),
            self.inputs.whole_test,
            self.inputs.settings.embedding,
            self.inputs.seed,
            self.progress,
        )
        parts = [samples.key, self.inputs.settings.embedding]  # its name stands in the rows
        key = self.key("divergences", parts, self.inputs.seed)
        return Stage("divergences", key, work, needs=_names(samples), uses_model=False)

    def _bounds(
        self, made: Mapping[str, Stage], answers: Mapping[str, Stage], sources: Sequence[ResponseSource]
    ) -> Stage:
        work = BoundStage(
            run=self._scored_run(made, sources),
            scores_folder=self.folder(made["scores"]),
            divergences_folder=self.folder(made["divergences"]),
            response_embeddings={column: self.folder(stage) for column, stage in answers.items()},
        )
        depends = [
            made["scores"].key,
            made["divergences"].key,
            [stage.key for stage in answers.values()],
            self.inputs.settings.h_hat,
        ]
        key = self.key("bounds", depends, self.inputs.seed)
        return Stage("bounds", key, work, needs=_names(*made.values(), *answers.values()), uses_model=False)

    def _convergence(self, made: Mapping[str, Stage], sources: Sequence[ResponseSource]) -> Stage:
        work = ConvergenceStage(self._scored_run(made, sources))
        scored = [asdict(source.scored) for source in sources]
        depends = [made["likelihoods"].key, made["embeddings/samples"].key, scored, SHARES, DRAWS]
        key = self.key("convergence", depends, self.inputs.seed)
        needs = _names(made["estimator"], made["likelihoods"], made["embeddings/samples"])
        return Stage("convergence", key, work, needs=needs, uses_model=False)

    def _scored_run(self, made: Mapping[str, Stage], sources: Sequence[ResponseSource]) -> ScoredRun:
        return ScoredRun(
            folder=self.store.folder,
            estimator_folder=self.folder(made["estimator"]),
            likelihoods_folder=self.folder(made["likelihoods"]),
            sample_embeddings=self.folder(made["embeddings/samples"]),
            methods=[source.scored for source in sources],
            n_train=len(self.inputs.train),
            whole_test=self.inputs.whole_test,
            test=self.inputs.test,
            settings=self.inputs.settings,
            seed=self.inputs.seed,
        )

    def _baseline(
        self, estimator: Stage, samples: Stage, answers: Mapping[str, Stage], sources: Sequence[ResponseSource]
    ) -> Stage:
        work = BaselineStage(
            estimator_folder=self.folder(estimator),
            sample_embeddings=self.folder(samples),
            response_embeddings={column: self.folder(stage) for column, stage in answers.items()},
            methods=[source.scored for source in sources],
            train=self.inputs.train,
            whole_test=self.inputs.whole_test,
            test=self.inputs.test,
            settings=self.inputs.settings,
            seed=self.inputs.seed,
        )
        settings = self.inputs.settings.model_dump(include={"arithmetic", "pairs", "resamples", "embedding"})
        depends = [samples.key, [stage.key for stage in answers.values()], self._test_hashes, settings]
        if self._is_trained:
            depends.append(estimator.key)  # of the others' one fold nothing depends
        key = self.key("baseline", depends, self.inputs.seed)
        return Stage("baseline", key, work, needs=_names(estimator, samples, *answers.values()), uses_model=False)

    def _tokens(self, estimator: Stage, likelihoods: Stage, sources: Sequence[ResponseSource]) -> Stage:
        folders = self.folder(estimator), self.folder(likelihoods), self.store.folder
        work = partial(write_tokens, *folders, _columns(sources), self.inputs.test)
        needs = *_names(estimator, likelihoods), *_made(sources)
        return Stage("tokens", self.key("tokens", [likelihoods.key]), work, needs=needs, uses_model=False)

    @cached_property
    def _test_hashes(self) -> dict[str, list[str]]:
        return {key: _hashes(samples) for key, samples in self.inputs.test.items()}


def _refuse(mistakes: list[Mistake]) -> None:
    if mistakes:
        raise UserMistakes(mistakes)


def _hashes(samples: Sequence[Sample]) -> list[str]:
    return [sample.content_hash for sample in samples]


def _columns(sources: Sequence[ResponseSource]) -> list[Column]:
    return [Column(source.scored.column, source.responses) for source in sources]


def _names(*stages: Stage) -> tuple[str, ...]:
    return tuple(stage.name for stage in stages)


def _made(sources: Sequence[ResponseSource]) -> tuple[str, ...]:
    """Return the names of the stages that make the responses."""
    return tuple(source.stage for source in sources if source.stage is not None)
