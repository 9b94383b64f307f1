"""Threads that ask go on when what they brought is dealt with, and end when they are told to."""

import time

from benchmark.endpoint_replies import Completion
from benchmark.endpoint_threads import PromptThreads


def asking(prompts: int, parallel: int, begun: list[int]) -> PromptThreads:
    """Return threads that note each prompt as they begin it, and have its answer at once."""

    def attempt(index: int) -> Completion:
        begun.append(index)
        return Completion(f"answer {index}", "stop", 1, 1)

    return PromptThreads(attempt, prompts, attempts=1, parallel=parallel, seed=0, sleep=None)


def test_what_is_under_way_or_not_dealt_with_yet_is_never_more_than_parallel() -> None:
    begun = list[int]()
    items = asking(8, 3, begun).items()
    for taken in range(8):
        next(items)
        time.sleep(0.05)
        assert len(begun) == min(8, taken + 3)
    assert list(items) == []


def test_threads_that_wait_for_their_turn_end_when_they_are_stopped() -> None:
    begun = list[int]()
    threads = asking(8, 3, begun)
    items = threads.items()
    next(items)
    time.sleep(0.05)
    threads.stop()
    assert len(list(items)) == 2
    assert len(begun) == 3


def test_fewer_prompts_than_threads_and_none_at_all_end() -> None:
    begun = list[int]()
    assert len(list(asking(2, 5, begun).items())) == len(begun) == 2
    assert list(asking(0, 5, begun).items()) == []
