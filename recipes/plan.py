"""The plan of a comparison: its stages with their keys, in an order in which each finds what it needs."""

from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

from benchmark.progress import Progress
from benchmark.run_store import RunStore
from recipes.comparison import Comparison
from recipes.environment import Compute
from recipes.launch_config import ONE_DEVICE, Devices
from recipes.lineage import Key
from recipes.reading import method_config
from recipes.schema import MethodRecipe
from recipes.scoring_plan import ResponseSource, ScoringInputs, ScoringPlanner
from recipes.stage import Stage
from recipes.stage_policy import train_policy
from recipes.stage_responses import RESPONSES, generate_responses
from recipes.stage_scores import ScoredMethod
from rpm_methods.artifact import read_artifact
from rpm_methods.method import TrainContext
from rpm_methods.registry import methods
from scoring.models.generation import Sampling
from scoring.models.resolver import ModelLocation, locate_model


@dataclass(frozen=True)
class Planner:
    """Makes the stages of one comparison in one run directory."""

    comparison: Comparison
    compute: Compute
    store: RunStore
    progress: Progress
    devices: Devices = ONE_DEVICE
    """What models are trained on."""

    def stages(self) -> list[Stage]:
        """Return all stages: policies, responses, and those from responses to scores."""
        recipes = self.comparison.recipes
        bases = {name: locate_model(name) for name in {recipe.base_model for recipe in recipes}}
        policies: dict[Key, Stage] = {}
        for recipe in recipes:
            self._add_policy(recipe, bases[recipe.base_model], policies)
        responses = [self._responses(recipe, policies[recipe.base_model, recipe.method]) for recipe in recipes]
        sources = [self._source(recipe, stage) for recipe, stage in zip(recipes, responses, strict=True)]
        return [*policies.values(), *responses, *self._scoring.stages(sources)]

    def name(self, recipe: MethodRecipe) -> str:
        """Return a method's name in this run; with several base models, below the base's name."""
        bases = {other.base_model for other in self.comparison.recipes}
        return recipe.method if len(bases) == 1 else f"{recipe.base_model.replace('/', '_')}/{recipe.method}"

    @cached_property
    def _scoring(self) -> ScoringPlanner:
        shared = self.comparison.shared
        inputs = ScoringInputs(
            estimator=self.comparison.estimator,
            templates=shared.templates,
            template_hash=self.comparison.renderer.content_hash(),
            train=self.comparison.train,
            whole_test=self.comparison.whole_test,
            test=self.comparison.test,
            settings=shared.scoring,
            seed=shared.seed,
        )
        return ScoringPlanner(inputs, self.compute, self.store, self.progress, self.devices)

    def _source(self, recipe: MethodRecipe, stage: Stage) -> ResponseSource:
        scored = ScoredMethod(recipe.base_model, recipe.method, self.name(recipe))
        return ResponseSource(scored, self._scoring.folder(stage) / RESPONSES, stage.key, stage.name)

    def _add_policy(self, recipe: MethodRecipe, base: ModelLocation, made: dict[Key, Stage]) -> Stage:
        """Add the stage that trains a recipe's policy behind those of the policies that it starts from."""
        key = recipe.base_model, recipe.method
        if key not in made:
            parent_name = methods()[recipe.method].spec.starts_from
            above = self.comparison.parents.get((recipe.base_model, parent_name))
            parent = None if above is None else self._add_policy(above, base, made)
            made[key] = self._policy(recipe, base, parent)
        return made[key]

    def _policy(self, recipe: MethodRecipe, base: ModelLocation, parent: Stage | None) -> Stage:
        method, config = methods()[recipe.method], method_config(recipe)
        others = method.models_needed(config).values()
        parts: list[object] = [
            recipe.method,
            config.identity(),
            [locate_model(name).fingerprint for name in others],
            base.fingerprint,
            None if parent is None else parent.key,
            [sample.content_hash for sample in self.comparison.train],
            self.comparison.renderer.content_hash(),
            asdict(_sampling(recipe)) if method.spec.draws_answers else None,
            *(self.devices.identity() if method.spec.trains else []),
        ]

        def context(folder: Path) -> TrainContext:
            return TrainContext(
                base=base,
                dtype=self.compute.dtype,
                device=self.compute.device,
                samples=self.comparison.train,
                renderer=self.comparison.renderer,
                sampling=_sampling(recipe),
                seed=recipe.seed,
                folder=folder,
                parent=None if parent is None else read_artifact(self._scoring.folder(parent)),
                teacher_folder=self.store.folder / "teacher",
                progress=self.progress,
            )

        run = partial(train_policy, method, config, context)
        needs = () if parent is None else (parent.name,)
        key = self._scoring.key("policy", parts, recipe.seed)
        return Stage(f"policy/{self.name(recipe)}", key, run, needs, trains=method.spec.trains)

    def _responses(self, recipe: MethodRecipe, policy: Stage) -> Stage:
        samples, sampling = self.comparison.test_samples, _sampling(recipe)
        run = partial(
            generate_responses,
            self._scoring.folder(policy),
            samples,
            sampling,
            recipe.generation,
            self.comparison.renderer,
            self.compute,
            self.progress,
        )
        parts = [policy.key, [sample.content_hash for sample in samples], asdict(sampling)]
        backend = recipe.generation.identity(recipe.method)
        parts += [] if backend is None else [backend]
        key = self._scoring.key("responses", parts, recipe.seed)
        gpus = recipe.generation.vllm.tensor_parallel if recipe.generation.backend == "vllm" else 1
        return Stage(f"responses/{self.name(recipe)}", key, run, needs=(policy.name,), gpus=gpus)


def _sampling(recipe: MethodRecipe) -> Sampling:
    settings = recipe.generation
    return Sampling(
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        temperature=settings.temperature,
        seed=recipe.seed,
        batch_tokens=settings.batch_tokens,
    )
