"""A limit on the number of requests a minute: requests start at least a fixed time apart."""

import threading
import time
from collections.abc import Callable


class RequestPace:
    """Makes the threads that ask wait for their turn."""

    def __init__(
        self,
        requests_a_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """None lets every request start at once. `clock` returns seconds."""
        self._seconds = 0.0 if requests_a_minute is None else 60.0 / requests_a_minute
        self._clock, self._sleep = clock, sleep
        self._next = float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when a request may start."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._seconds
        if start > now:
            self._sleep(start - now)
