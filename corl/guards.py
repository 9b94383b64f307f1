"""What is measured of rollouts beside their rewards, so that rewards gained by a trick show in the curves.

Copying: a reasoning that foretells the golden response word for word would be paid for it in training. Length: a
correlation of reward and length near 1 in every group says that length alone is paid. Collapse of the rewards' spread
is logged by the trainer and stops it.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np

from benchmark.statistics import text_length
from corl.copying import copied_share
from rpm_methods.rollout_source import StepRollouts


def reasoning_guards(shown: Callable[[str], str]) -> Callable[[StepRollouts], Mapping[str, float]]:
    """Return the measure; `shown` takes out of a rollout's text what the policy model sees of it."""

    def measure(step: StepRollouts) -> dict[str, float]:
        texts = [[shown(rollout.text) for rollout in rollouts] for _, rollouts in step.groups]
        goldens = [sample.golden_response for sample, _ in step.groups]
        shares = [copied_share(text, y) for group, y in zip(texts, goldens, strict=True) for text in group]
        lengths = [[text_length(text) for text in group] for group in texts]
        found = {
            "guards/copied_share": fmean(shares),
            "guards/copied_share_max": max(shares),
            "guards/shown_words": fmean(length for group in lengths for length in group),
        }
        pairs = [_correlation(group, rewards) for group, rewards in zip(lengths, step.rewards, strict=True)]
        known = [value for value in pairs if value is not None]
        return found | ({"guards/length_reward_correlation": fmean(known)} if known else {})

    return measure


def _correlation(lengths: Sequence[int], rewards: Sequence[float | None]) -> float | None:
    """Return Pearson's correlation within a group; None where one of the two does not vary or a reward is missing."""
    values = [value for value in rewards if value is not None]
    if len(values) < len(rewards) or len(set(lengths)) < 2 or len(set(values)) < 2:
        return None
    return float(np.corrcoef(lengths, values)[0, 1])
