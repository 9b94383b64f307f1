"""Seeds derived by name, so that the order in which things run changes nothing."""

import hashlib


def derive_seed(base: int, *names: str) -> int:
    """Return a seed in 0 .. 2**31 - 1 that depends on the base seed and the names alone."""
    digest = hashlib.sha256("\x1f".join((str(base), *names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
