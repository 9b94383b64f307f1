"""Seeds derived by name, so that the order in which things run changes nothing, and draws by them."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

ItemT = TypeVar("ItemT")


def derive_seed(base: int, *names: str) -> int:
    """Return a seed in 0 .. 2**31 - 1 that depends on the base seed and the names alone; names may be any strings."""
    digest = hashlib.sha256("\x1f".join((str(base), *names)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def draw_in_order(items: Sequence[ItemT], size: int | None, seed: int) -> tuple[ItemT, ...]:
    """Return a seeded draw in the items' own order; all of them where `size` is None or there are no more."""
    if size is None or size >= len(items):
        return tuple(items)
    return tuple(items[index] for index in sorted(random.Random(seed).sample(range(len(items)), size)))
