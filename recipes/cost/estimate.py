"""The estimate of a whole comparison: its stages, under the names and in the order that the plan gives them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.prompts import PromptRenderer
from recipes.cost import processor
from recipes.cost.embedding import Embedder
from recipes.cost.estimator import reasoning, train_estimator
from recipes.cost.hardware import Hardware
from recipes.cost.inputs import CostInputs
from recipes.cost.lengths import Lengths
from recipes.cost.likelihoods import Columns, Pairs, likelihoods, responses
from recipes.cost.model_shape import find_shape
from recipes.cost.policies import Policy, make_policy
from recipes.cost.scorer import Scorer, scorer_of
from recipes.cost.setting import Setting
from recipes.cost.stage_cost import StageCost
from recipes.cost.teacher import Asking, asked_of_teacher
from recipes.cost.tokens import token_counter
from recipes.cost.work import Precision, Work

if TYPE_CHECKING:
    from recipes.schema import MethodRecipe


@dataclass(frozen=True)
class CostPlan:
    """Makes the estimates of the stages of one comparison on one machine."""

    inputs: CostInputs
    hardware: Hardware
    _settings: dict[str, Setting] = field(default_factory=dict)

    @cached_property
    def stages(self) -> tuple[StageCost, ...]:
        """The estimate of every stage of a run from nothing.

        Raises:
            UserMistakes: the size of a model, or its tokenizer, is not known here.
        """
        made = [self._made(self._policy(recipe)) for recipe in self.inputs.trained]
        policies = [self._policy(recipe) for recipe in self.inputs.recipes]
        answered = [self._answered(policy) for policy in policies]
        return (*made, *answered, *self._scored(policies), *self._arrays(len(policies)))

    @property
    def assumptions(self) -> list[str]:
        """What the estimate takes for granted beside the machine's own figures; asked for behind `stages`."""
        unread = sorted(name for name, setting in self._settings.items() if not setting.lengths.counter.measured)
        return [
            *self.inputs.samples.assumptions,
            *([f"tokens are counted by characters, as no tokenizer is here of {', '.join(unread)}"] if unread else []),
            "answers are as long as golden responses, and reasoning as that recorded for the mini benchmark, up to the "
            "limits of the recipes; a batch of answers is decoded up to its limit",
            "nothing is reused from earlier runs",
        ]

    def _made(self, policy: Policy) -> StageCost:
        """Return the stage that makes a policy."""
        setting = self._setting(policy.recipe.base_model, "base_model")
        works = make_policy(policy, setting)
        if works is not None and policy.embedding_model is not None:
            works = [*self._embedder(policy.embedding_model).inputs([policy.train]), *works]
        asking = asked_of_teacher(policy.config, policy.train.size, setting.lengths, policy.train)
        return self._stage(f"policy/{self.inputs.name(policy.recipe)}", works, asking)

    def _answered(self, policy: Policy) -> StageCost:
        """Return the stage in which a policy answers all test samples."""
        test = self.inputs.samples.test
        works = responses(policy, self._setting(policy.recipe.base_model, "base_model"), test)
        if policy.embedding_model is not None:
            works = [*self._embedder(policy.embedding_model).inputs(list(test.values())), *works]
        return self._stage(f"responses/{self.inputs.name(policy.recipe)}", works)

    def _scored(self, policies: Sequence[Policy]) -> list[StageCost]:
        """Return the stages from the estimator to the likelihoods."""
        scorer, test = self._scorer, self.inputs.samples.test
        setting = self._setting(scorer.model, "estimator recipe: model")
        stages = [self._estimator(setting)]
        shown = 0.0
        if scorer.reasoned is not None:
            stages.append(self._stage("reasoning", reasoning(setting, scorer.reasoned, test, scorer.folds)))
            shown = scorer.reasoned.shown(setting)
        limits = [policy.recipe.generation.max_new_tokens for policy in policies]
        columns = Columns(limits, shown, reasons=scorer.reasoned is not None)
        pairs = likelihoods(setting, test, columns, self._pairs, self.inputs.shared.scoring.batch_tokens)
        return [*stages, self._stage("likelihoods", pairs)]

    def _arrays(self, methods: int) -> list[StageCost]:
        """Return the stages behind the likelihoods: scores, embeddings, and what is made of these."""
        inputs, settings = self.inputs, self.inputs.shared.scoring
        embedder = self._embedder(settings.embedding)
        whole = {key: inputs.whole.test[key] for key in inputs.samples.test}
        bases, width = len(inputs.bases), embedder.shape.hidden
        test, pairs = inputs.samples.test, self._pairs
        table = processor.Table(test, whole, methods, bases, settings.resamples, pairs, width)
        answered = embedder.responses(test.values())
        return [
            self._stage("scores", [processor.scores(table)]),
            self._stage("embeddings/samples", embedder.samples([inputs.samples.train, *whole.values()])),
            *(self._stage(f"embeddings/{inputs.name(recipe)}", answered) for recipe in inputs.recipes),
            self._stage("divergences", [processor.divergences(table)]),
            self._stage("bounds", [processor.bounds(table)]),
            self._stage("convergence", [processor.convergence(table)]),
            *([self._stage("baseline", [processor.baseline(table)])] if settings.gaussian_baseline else []),
        ]

    def _estimator(self, setting: Setting) -> StageCost:
        """Return the stage that makes the estimator; one that exists or is a plain model takes next to nothing."""
        from recipes.schema import CoRLEstimatorRecipe

        recipe, samples = self.inputs.estimator, self.inputs.estimator_samples
        if not isinstance(recipe, CoRLEstimatorRecipe) or samples is None:
            return self._stage("estimator", [])
        works = train_estimator(recipe.config, setting, samples, recipe.fit_on, recipe.folds)
        count = min(recipe.config.cold_start_samples or samples.train.size, samples.train.size)
        asking = asked_of_teacher(recipe.config, count, setting.lengths, samples.train)
        return self._stage("estimator", works, asking)

    @cached_property
    def _scorer(self) -> Scorer:
        return scorer_of(self.inputs.estimator)

    @property
    def _pairs(self) -> Pairs:
        return Pairs(every=self.inputs.shared.scoring.pairs == "all", folds=self._scorer.folds)

    @cached_property
    def _renderer(self) -> PromptRenderer:
        return PromptRenderer(self.inputs.shared.templates)

    def _policy(self, recipe: "MethodRecipe") -> Policy:
        from recipes.reading import method_config
        from rpm_methods.registry import methods

        return Policy(recipe, methods()[recipe.method].spec, method_config(recipe), self.inputs.samples.train)

    def _setting(self, model: str, where: str) -> Setting:
        """Return where a model works; its shape and its lengths are found once."""
        if model not in self._settings:
            lengths = Lengths(token_counter(model, where), self._renderer)
            precision: Precision = "float32" if self.inputs.shared.compute.dtype == "float32" else "bfloat16"
            self._settings[model] = Setting(self.hardware, find_shape(model, where), lengths, precision)
        return self._settings[model]

    def _embedder(self, model: str) -> Embedder:
        setting = self._setting(model, "scoring.embedding")
        return Embedder(setting.shape, setting.lengths.counter)

    def _stage(self, name: str, works: Sequence[Work] | None, asking: Asking | None = None) -> StageCost:
        return StageCost(name, None if works is None else tuple(works), self.hardware, asking)
