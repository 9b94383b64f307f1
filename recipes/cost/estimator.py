"""What it costs to train an estimator by co-evolution (paper, section 3.3 and appendix D), fold by fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.cost.coevolution import Texts, co_evolution_trainer, iteration
from recipes.cost.population import Population, Populations
from recipes.cost.rollouts import Asked, answers
from recipes.cost.setting import Setting
from recipes.cost.training import Rows, imitation
from recipes.cost.work import Work, repeated

if TYPE_CHECKING:
    from corl.settings import EstimatorSettings

POLICY = "policy_with_reasoning"
TRAIN = "train"
MIXED = 96
"""Texts that stand for several populations together."""


@dataclass(frozen=True)
class Reasoned:
    """How an estimator's reasoning is written."""

    template: str
    limit: int
    batch_tokens: int

    def shown(self, setting: Setting) -> float:
        """Return the mean tokens of what the policy model is shown."""
        return min(setting.lengths.traces.features, self.limit)

    def asked(self, setting: Setting, samples: Population) -> Asked:
        """Return the writing of a reasoning for each sample."""
        written = min(setting.lengths.traces.written(self.template), self.limit)
        return Asked(samples.size, setting.lengths.prompts(self.template, samples), written, self.limit)


def train_estimator(
    settings: "EstimatorSettings", setting: Setting, samples: Populations, fit_on: Sequence[str], folds: int | None
) -> list[Work]:
    """Return the cold start and all iterations, each done once a fold.

    Args:
        settings: of the recipe.
        setting: where.
        samples: what the recipe draws.
        fit_on: subset keys, or "train", that the models co-evolve on.
        folds: None for one pair of models.
    """
    traces = setting.lengths.traces
    limit = settings.max_reasoning_tokens
    evolved = _evolved(samples, fit_on)
    reasoned = Reasoned(settings.template, limit, settings.reasoning_batch_tokens)
    texts = Texts(
        samples=evolved,
        count=_evolve_count(settings, samples, fit_on, folds),
        asking=settings.template,
        reasoning=min(traces.written(settings.template), limit),
        shown=reasoned.shown(setting),
        answering=POLICY,
        tags=0.0,
        imitates_reasoning=False,
    )
    evolution = repeated(iteration(settings, setting, texts), settings.iterations)
    held_out = _held_out(settings, setting, evolved, reasoned, texts.count) if folds else []
    return repeated([*_cold_start(settings, setting, samples.train), *evolution, *held_out], folds or 1)


def reasoning(setting: Setting, reasoned: Reasoned, test: Mapping[str, Population], folds: int) -> list[Work]:
    """Return the writing of a reasoning for every test sample, each by the generator of its own fold."""
    asked = [reasoned.asked(setting, population) for population in test.values()]
    return answers("reasoning", setting, asked, reasoned.batch_tokens, models=folds)


def _cold_start(settings: "EstimatorSettings", setting: Setting, train: Population) -> list[Work]:
    """Return SFT of the generator on a teacher's reasoning, and of the policy model on responses behind it."""
    lengths, traces = setting.lengths, setting.lengths.traces
    count = min(settings.cold_start_samples or train.size, train.size)
    trainer = co_evolution_trainer(settings, settings.cold_start, setting)
    template = settings.template
    written = traces.written(template) + lengths.stop(template)
    generator = Rows(count, lengths.prompts(template, train), written)
    prompts = [prompt + traces.features for prompt in lengths.prompts(POLICY, train)]
    policy = Rows(count, prompts, lengths.response(POLICY, train))
    return [
        imitation("cold start of the generator", setting, trainer, generator),
        imitation("cold start of the policy model", setting, trainer, policy),
    ]


def _held_out(
    settings: "EstimatorSettings", setting: Setting, samples: Population, reasoned: Reasoned, count: int
) -> list[Work]:
    """Return the reasoning that is written for held-out samples while the generators learn, to measure perplexity."""
    held_out = settings.held_out.samples
    if not held_out:
        return []
    steps = co_evolution_trainer(settings, settings.reasoning_rl, setting).steps(count)
    looks = settings.iterations * (1 + steps // settings.held_out.every)
    asked = replace(reasoned.asked(setting, samples), count=held_out)
    return repeated(answers("held-out reasoning", setting, [asked], reasoned.batch_tokens), looks)


def _evolve_count(settings: "EstimatorSettings", samples: Populations, fit_on: Sequence[str], folds: int | None) -> int:
    """Return the samples that one fold co-evolves on: its own test samples are left out of them."""
    test = sum(population.size for key, population in samples.test.items() if key in fit_on)
    allowed = test if folds is None else test * (folds - 1) // folds
    allowed += samples.train.size if TRAIN in fit_on else 0
    return min(settings.samples or allowed, allowed)


def _evolved(samples: Populations, fit_on: Sequence[str]) -> Population:
    """Return a population like those that are co-evolved on, each shown by its share of them."""
    chosen = [population for key, population in samples.test.items() if key in fit_on]
    chosen += [samples.train] if TRAIN in fit_on else []
    size = sum(population.size for population in chosen)
    shown = [population.shown[: max(1, round(MIXED * population.size / size))] for population in chosen]
    return Population("co-evolved", size, tuple(sample for some in shown for sample in some))
