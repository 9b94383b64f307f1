"""What the logs of co-evolution say of trouble: rewards gained by a trick, and rewards that teach nothing."""

from collections.abc import Iterator
from statistics import fmean

from reports.training.markdown import number
from reports.training.phased_training import Phase

COPIED_MAX = "guards/copied_share_max"
CORRELATION = "guards/length_reward_correlation"
NO_SPREAD = "frac_reward_zero_std"

COPYING_LIMIT = 0.5
"""A reasoning that holds more than half of the golden response's word sequences repeats it; a teacher's
reasoning that does is left out of the cold start by default."""
CORRELATION_LIMIT = 0.9
"""Above it, length accounts for more than four fifths of the rewards' variance within a group (0.9 squared is 0.81)."""


def steps_without_spread(phase: Phase) -> tuple[int, int]:
    """Return in how many steps the rewards of no group differed, and how many steps say so or not."""
    shares = phase.values(NO_SPREAD)
    return sum(share >= 1 for share in shares), len(shares)


def warnings(phase: Phase) -> Iterator[str]:
    """Yield a sentence for each guard that is beyond its limit in this phase."""
    copied, correlations = phase.values(COPIED_MAX), phase.values(CORRELATION)
    if copied and max(copied) > COPYING_LIMIT:
        yield (
            f"a rollout repeats {number(100 * max(copied))} % of the golden response's word sequences, more than "
            f"{number(100 * COPYING_LIMIT)} %: the reward may be one for copying"
        )
    if correlations and fmean(correlations) > CORRELATION_LIMIT:
        yield (
            f"length and reward correlate by {number(fmean(correlations))} (mean of {len(correlations)} steps), more "
            f"than {number(CORRELATION_LIMIT)}: the reward may be one for length alone"
        )
    flat, steps = steps_without_spread(phase)
    if steps and flat == steps:
        yield f"in none of {steps} steps did the rewards of a group differ: nothing was learned from them"
