"""The reward of GRPO and ThinkingRL: the probability of "100%" under the base model before SFT (Table 24)."""

from collections.abc import Callable, Sequence

from benchmark.sample import Sample
from rpm_methods.method import TrainContext
from rpm_methods.rollout_source import RewardPart
from scoring.likelihood import REWARD_SETTING, LikelihoodScorer
from scoring.models.causal_lm import load_causal_lm
from scoring.rewards import percentage_rewards
from scoring.sampling import Rollout


def full_marks_reward(
    context: TrainContext, batch_tokens: int, response: Callable[[str], str | None] = lambda text: text
) -> RewardPart:
    """Return the reward, with its model loaded in float32.

    Args:
        context: names the base model.
        batch_tokens: memory setting of the scorer.
        response: takes the response out of a rollout's text; None for a malformed one, which gets reward 0.
    """
    lm = load_causal_lm(context.base, dtype="float32", device=context.device)
    scorer = LikelihoodScorer(lm, batch_tokens=batch_tokens, setting=REWARD_SETTING)

    def score(sample: Sample, rollouts: Sequence[Rollout]) -> list[float | None]:
        texts = [response(rollout.text) for rollout in rollouts]
        found = iter(percentage_rewards(scorer, context.renderer, sample, [text for text in texts if text is not None]))
        return [0.0 if text is None else next(found) for text in texts]

    return RewardPart("full_marks", score)
