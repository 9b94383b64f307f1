"""Several sources of items read at once, each in a thread of its own, by one reader in the calling thread.

The threads are daemons: an interrupted program does not wait for them. A source goes on when the reader has dealt with
its last item, as if it were read alone.
"""

import queue
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import TypeVar

ItemT = TypeVar("ItemT")


def side_by_side(
    sources: Mapping[str, Callable[[], Generator[ItemT, None, None]]],
) -> Generator[tuple[str, ItemT | Exception], None, None]:
    """Yield (name of the source, item) as items come; an exception ends its source and is its last item.

    A closed generator drops what still comes; to end sources early is their maker's affair.
    """
    items: queue.SimpleQueue[tuple[str, ItemT | Exception | None]] = queue.SimpleQueue()
    turns = {name: threading.Semaphore(0) for name in sources}
    closed = threading.Event()

    def read(name: str) -> None:
        try:
            with closing(sources[name]()) as source:
                for item in source:
                    items.put((name, item))
                    if not closed.is_set():
                        turns[name].acquire()
        except Exception as error:  # handed to the reader
            items.put((name, error))
        finally:
            items.put((name, None))

    for name in sources:
        threading.Thread(target=read, args=(name,), daemon=True).start()
    running = len(sources)
    try:
        while running:
            name, item = items.get()
            if item is None:
                running -= 1
            else:
                yield name, item
                turns[name].release()
    finally:
        closed.set()
        for turn in turns.values():
            turn.release()
