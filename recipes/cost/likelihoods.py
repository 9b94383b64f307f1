"""What it costs to answer the test samples and to find every pair's likelihood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recipes.cost import memory
from recipes.cost.estimator import POLICY
from recipes.cost.policies import Policy
from recipes.cost.population import Population
from recipes.cost.rollouts import Asked, answers
from recipes.cost.setting import Setting
from recipes.cost.work import Sequences, Work, begun, forward
from scoring.negatives import ALL_PAIRS_UP_TO, SAMPLED_A_ROW

WITHOUT = "policy_without_reasoning"


def responses(policy: Policy, setting: Setting, test: Mapping[str, Population]) -> list[Work]:
    """Return answering every test sample once."""
    settings = policy.recipe.generation
    asked = [
        Asked(
            population.size,
            policy.prompts(setting, population),
            policy.answer(setting, population),
            settings.max_new_tokens,
        )
        for population in test.values()
    ]
    return answers("responses", setting, asked, settings.batch_tokens)


@dataclass(frozen=True)
class Pairs:
    """Which pairs of a subset are scored."""

    every: bool
    """Whether all of them are, however large the subset is."""
    folds: int
    """Negatives of a row come from its own fold."""

    def negatives(self, size: int) -> float:
        """Return the negatives of a row in a subset of this size."""
        in_fold = size / self.folds - 1
        return in_fold if self.every or size <= ALL_PAIRS_UP_TO else min(float(SAMPLED_A_ROW), in_fold)


@dataclass(frozen=True)
class Columns:
    """The responses that are scored under an estimator."""

    limits: Sequence[int]
    """Of each method, the most new tokens of a response."""
    shown: float
    """Tokens of the reasoning in the estimator's prompt; 0 without."""
    reasons: bool

    def tokens(self, golden: float) -> float:
        """Return the tokens of all columns' responses to one sample, the golden one's and each method's."""
        return golden + sum(min(golden, limit) for limit in self.limits)


def likelihoods(
    setting: Setting, test: Mapping[str, Population], columns: Columns, pairs: Pairs, batch_tokens: int
) -> list[Work]:
    """Return the likelihood of every wanted pair: each input encoded once, all responses behind it in batches."""
    works = [_subset(setting, population, columns, pairs, batch_tokens) for population in test.values()]
    return begun(works, setting.shape, pairs.folds)


def _subset(setting: Setting, population: Population, columns: Columns, pairs: Pairs, batch_tokens: int) -> Work:
    lengths = setting.lengths
    golden = lengths.golden(population) + 1
    prefix = lengths.prompt(POLICY if columns.reasons else WITHOUT, population) + columns.shown
    count = 1 + pairs.negatives(population.size)
    n_columns = 1 + len(columns.limits)
    mean = columns.tokens(golden) / n_columns
    batches = n_columns * max(1.0, count * mean / batch_tokens)
    batch = memory.Batch(min(count, max(1.0, batch_tokens // mean)), mean, mean)
    return forward(
        f"pairs of {population.key}",
        setting.shape,
        Sequences(population.size, prefix),
        Sequences(population.size * count * n_columns, mean, before=prefix, scored=mean),
        passes=population.size * (1 + batches),
        precision=setting.precision,
        memory=memory.scoring(setting.shape, batch, prefix, setting.precision),
    )
