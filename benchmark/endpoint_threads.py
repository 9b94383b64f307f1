"""Threads that ask one list of prompts, each until it has an answer or no attempt left.

They are daemons: an interrupted program does not wait for requests under way. A thread begins its next prompt when the
outcome of the last has been dealt with, so that a program that ends at any moment loses no more answers than threads.
"""

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from numpy.random import default_rng

from benchmark.endpoint_replies import Completion, Failure
from benchmark.seeds import derive_seed

LONGEST_PAUSE = 60.0
"""Seconds; pauses between attempts double from one second up to this."""


@dataclass(frozen=True)
class Finished:
    """What became of one prompt: a completion or the failure of its last attempt."""

    index: int
    result: Completion | Failure
    attempts: int
    """Requests that it took."""


class PromptThreads:
    """Runs `attempt(index)` for each prompt; exceptions of it come out as items."""

    def __init__(
        self,
        attempt: Callable[[int], Completion | Failure],
        prompts: int,
        *,
        attempts: int,
        parallel: int,
        seed: int,
        sleep: Callable[[float], object] | None,
    ) -> None:
        """`sleep` takes seconds; None waits in a way that ends when the run stops. `seed` jitters the pauses."""
        self._attempt, self._attempts, self._seed = attempt, attempts, seed
        self._threads = min(parallel, prompts)
        self._turns = threading.Semaphore(self._threads)
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait
        self._done: queue.SimpleQueue[Finished | Exception | None] = queue.SimpleQueue()
        self._pending: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(prompts):
            self._pending.put(index)

    def items(self) -> Generator[Finished | Exception, None, None]:
        """Start the threads and yield what they finish until all have ended."""
        for _ in range(self._threads):
            threading.Thread(target=self._work, daemon=True).start()
        running = self._threads
        while running:
            item = self._done.get()
            if item is None:
                running -= 1
            else:
                yield item
                self._turns.release()

    def stop(self) -> None:
        """Let the threads end after the requests under way; no prompt is asked again."""
        self._stop.set()
        for _ in range(self._threads):
            self._turns.release()

    def _work(self) -> None:
        try:
            while self._turns.acquire() and not self._stop.is_set():
                finished = self._ask(self._pending.get_nowait())
                if finished is not None:
                    self._done.put(finished)
        except queue.Empty:
            pass
        except Exception as error:  # handed to the thread that started these, which raises it
            self._done.put(error)
        finally:
            self._done.put(None)

    def _ask(self, index: int) -> Finished | None:
        """Return what became of a prompt; None when the run stops before that is known."""
        for attempt in range(1, self._attempts + 1):
            result = self._attempt(index)
            if isinstance(result, Completion) or result.kind == "refused" or attempt == self._attempts:
                return Finished(index, result, attempt)
            if result.kind == "busy":
                self._sleep(self._pause(index, attempt, result.retry_after))
            if self._stop.is_set():
                break
        return None

    def _pause(self, index: int, attempt: int, retry_after: float | None) -> float:
        """Return 0.5 to 1 times a doubling pause, or up to a second more than the endpoint asked for."""
        share = float(default_rng(derive_seed(self._seed, str(index), str(attempt))).random())
        if retry_after is not None:
            return retry_after + share
        return min(2.0 ** (attempt - 1), LONGEST_PAUSE) * (0.5 + 0.5 * share)
