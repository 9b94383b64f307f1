"""The plan of a comparison: its stages with their keys, in an order in which each finds what it needs."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import RunStore, content_key
from benchmark.sample import Sample
from recipes.comparison import Comparison
from recipes.environment import Compute, package_versions
from recipes.reading import method_config
from recipes.schema import EstimatorRecipe, MethodRecipe
from recipes.stage import Stage
from recipes.stage_estimator import adopt_estimator, make_estimator
from recipes.stage_likelihoods import Column, score_columns
from recipes.stage_policy import train_policy
from recipes.stage_responses import generate_responses
from recipes.stage_scores import write_scores
from rpm_methods.method import TrainContext
from rpm_methods.registry import methods
from scoring.estimator import read_estimator
from scoring.models.generation import Sampling
from scoring.models.resolver import ModelLocation, locate_model


@dataclass(frozen=True)
class Planner:
    """Makes the stages of one comparison in one run directory."""

    comparison: Comparison
    compute: Compute
    store: RunStore
    progress: Progress

    def stages(self) -> list[Stage]:
        """Return all stages: policies, responses, the estimator, likelihoods, scores."""
        bases = {name: locate_model(name) for name in {recipe.base_model for recipe in self.comparison.recipes}}
        policies = [self._policy(recipe, bases[recipe.base_model]) for recipe in self.comparison.recipes]
        responses = [
            self._responses(recipe, policy) for recipe, policy in zip(self.comparison.recipes, policies, strict=True)
        ]
        estimator = self._estimator()
        columns = self._columns(estimator, responses)
        likelihoods = self._likelihoods(estimator, columns)
        return [*policies, *responses, estimator, likelihoods, self._scores(estimator, likelihoods, columns)]

    def name(self, recipe: MethodRecipe) -> str:
        """Return a method's name in this run; with several base models, below the base's name."""
        bases = {other.base_model for other in self.comparison.recipes}
        return recipe.method if len(bases) == 1 else f"{recipe.base_model.replace('/', '_')}/{recipe.method}"

    def folder(self, stage: Stage) -> Path:
        """Return the folder of a stage."""
        return self.store.stage_folder(stage.name, stage.key)

    def _policy(self, recipe: MethodRecipe, base: ModelLocation) -> Stage:
        method, config = methods()[recipe.method], method_config(recipe)
        others = method.models_needed(config).values()
        parts: list[object] = [
            recipe.method,
            config.model_dump(),
            [locate_model(name).fingerprint for name in others],
            base.fingerprint,
            self._hashes(self.comparison.train),
            self.comparison.renderer.content_hash(),
        ]

        def work(folder: Path) -> TrainContext:
            return TrainContext(
                base=base,
                dtype=self.compute.dtype,
                device=self.compute.device,
                samples=self.comparison.train,
                renderer=self.comparison.renderer,
                sampling=_sampling(recipe),
                seed=recipe.seed,
                folder=folder,
                progress=self.progress,
            )

        run = partial(train_policy, method, config, work)
        return Stage(f"policy/{self.name(recipe)}", self._key("policy", parts, recipe.seed), run)

    def _responses(self, recipe: MethodRecipe, policy: Stage) -> Stage:
        samples, sampling = self.comparison.test_samples, _sampling(recipe)
        run = partial(
            generate_responses,
            self.folder(policy),
            samples,
            sampling,
            self.comparison.renderer,
            self.compute,
            self.progress,
        )
        key = self._key("responses", [policy.key, self._hashes(samples), asdict(sampling)], recipe.seed)
        return Stage(f"responses/{self.name(recipe)}", key, run)

    def _estimator(self) -> Stage:
        source = self.comparison.estimator
        if isinstance(source, EstimatorRecipe):
            location = locate_model(source.model)
            parts: list[object] = [source.model_dump(), location.fingerprint, self.comparison.renderer.content_hash()]
            templates = self.comparison.shared.templates
            return Stage("estimator", self._key("estimator", parts), partial(make_estimator, source, templates))
        parts = [read_estimator(source).content_hash]
        return Stage("estimator", self._key("estimator", parts), partial(adopt_estimator, source))

    def _columns(self, estimator: Stage, responses: list[Stage]) -> list[Column]:
        """Return the golden column, then each recipe's; a column's key hashes what its blocks depend on."""
        parts: list[object] = [estimator.key, self._test_hashes(), self.comparison.shared.scoring.model_dump()]
        golden = self.store.stage_folder("blocks/golden", self._key("blocks", parts))
        columns = [Column("golden responses", None, golden)]
        for recipe, stage in zip(self.comparison.recipes, responses, strict=True):
            key = self._key("blocks", [*parts, stage.key])
            name = self.name(recipe)
            columns.append(Column(name, self.folder(stage), self.store.stage_folder(f"blocks/{name}", key)))
        return columns

    def _likelihoods(self, estimator: Stage, columns: list[Column]) -> Stage:
        run = partial(
            score_columns,
            self.folder(estimator),
            columns,
            self.comparison.test,
            self.comparison.shared.scoring,
            self.compute,
            self.progress,
        )
        return Stage("likelihoods", content_key([column.blocks.name for column in columns]), run)

    def _scores(self, estimator: Stage, likelihoods: Stage, columns: list[Column]) -> Stage:
        golden, *methods_columns = columns
        blocks = {
            (recipe.base_model, recipe.method): column.blocks
            for recipe, column in zip(self.comparison.recipes, methods_columns, strict=True)
        }
        seed = self.comparison.shared.seed
        run = partial(write_scores, self.folder(estimator), golden.blocks, blocks, self.comparison.test, seed)
        return Stage("scores", self._key("scores", [likelihoods.key], seed), run)

    def _key(self, kind: str, parts: list[object], seed: int = 0) -> str:
        """Hash what a stage depends on, with device, number format, threads and package versions."""
        return content_key([kind, parts, seed, asdict(self.compute), package_versions()])

    def _test_hashes(self) -> dict[str, list[str]]:
        return {key: self._hashes(samples) for key, samples in self.comparison.test.items()}

    @staticmethod
    def _hashes(samples: tuple[Sample, ...]) -> list[str]:
        return [sample.content_hash for sample in samples]


def _sampling(recipe: MethodRecipe) -> Sampling:
    settings = recipe.generation
    return Sampling(
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        temperature=settings.temperature,
        seed=recipe.seed,
        batch_tokens=settings.batch_tokens,
    )
