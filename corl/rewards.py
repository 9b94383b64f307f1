"""Rewards of co-evolution (section 3.3): of a reasoning the golden response's likelihood, of a response a ratio."""

from collections.abc import Callable, Mapping, Sequence

from benchmark.prompts import PromptRenderer
from benchmark.sample import Sample
from corl.reward_models import RewardModel
from corl.settings import ReasoningReward
from rpm_methods.rollout_source import RewardPart
from scoring.reasoning_text import ReasoningReader
from scoring.rewards import AnswerLikelihood, log_likelihood_rewards, percentage_ratio_rewards
from scoring.sampling import Rollout
from scoring.text_rewards import format_reward, length_reward


def likelihood_value(found: AnswerLikelihood, kind: str) -> float:
    """Return the reward that a likelihood is, by setting: nats a response, or a probability a token."""
    return found.sum_log_prob if kind == "sum" else found.mean_probability


def generator_rewards(
    reward: ReasoningReward, reader: ReasoningReader, renderer: PromptRenderer, policy: RewardModel
) -> list[RewardPart]:
    """Return the parts of the reasoning generator's reward.

    Args:
        reward: which parts there are.
        reader: finds in a rollout what the policy model is shown.
        renderer: renders the policy model's prompt.
        policy: the estimator's policy model of the iteration before.
    """

    def likelihood(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        shown = [reader.shown(rollout.text).text for rollout in rollouts]
        found = log_likelihood_rewards(policy.scorer, renderer, sample, shown)
        return [None if one is None else likelihood_value(one, reward.likelihood) for one in found]

    parts = [RewardPart("likelihood", likelihood, policy.lent)]
    if reward.form:
        parts.append(RewardPart("form", _of_text(reader, lambda text: format_reward(text, reader.form))))
    if reward.length:
        parts.append(RewardPart("length", _of_text(reader, lambda text: length_reward(text, reader.form))))
    return parts


def _of_text(
    reader: ReasoningReader, value: Callable[[str], float]
) -> Callable[[Sample, Sequence[Rollout]], list[float | None]]:
    """Return a reward that looks at the whole text of each rollout, with the opening that its prompt gave."""
    return lambda sample, rollouts: [value(reader.whole(r.text, ended=r.finish_reason == "stop")) for r in rollouts]


def response_rewards(
    reference: RewardModel, renderer: PromptRenderer, reasonings: Mapping[str, str]
) -> list[RewardPart]:
    """Return the reward of responses: how far the reference finds the features in them, beside the golden response.

    Args:
        reference: the frozen base model.
        renderer: renders `reward_features` (Table 19).
        reasonings: sample ID -> the features that the response was asked to have.
    """

    def ratio(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        texts = [rollout.text for rollout in rollouts]
        return percentage_ratio_rewards(reference.scorer, renderer, sample, reasonings[sample.sample_id], texts)

    return [RewardPart("ratio", ratio, reference.lent)]
